"""Convolutions as `torch.nn` has them, with less memory for the gradients of large maps."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import grad

aten = torch.ops.aten
CONVOLVE = {4: F.conv2d, 5: F.conv3d}
WEIGHT_GRADIENT = {4: grad.conv2d_weight, 5: grad.conv3d_weight}
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
LINEAR = {4: "bilinear", 5: "trilinear"}
VECTOR = 16  # output channels that a processor computes at a time
FEW = 8  # channels beyond full vectors from which on another vector is as fast
SLABS, LEAST_SLAB = 8, 8  # of a map, one used at a time; thickness in voxels
SMALL = 2**22  # elements of a map that is used as a whole


class Convolution2d(nn.Conv2d):
    """A 2D convolution, computed by `convolve`."""

    def forward(self, x: Tensor, slope: float | None = None) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride, self.padding, slope)


class Convolution3d(nn.Conv3d):
    """A 3D convolution, computed by `convolve`."""

    def forward(self, x: Tensor, slope: float | None = None) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride, self.padding, slope)


class Chain(nn.Sequential):
    """Layers in a row; a convolution computes the LeakyReLU before it and its gradient in place."""

    def forward(self, x: Tensor) -> Tensor:
        return run(list(self), x)


def run(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Applies layers in a row, as `Chain` does."""
    slope = None
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        convolves = isinstance(following, Convolution2d | Convolution3d)
        if convolves and isinstance(layer, nn.LeakyReLU) and layer.inplace:
            slope = layer.negative_slope
        elif slope is not None:
            x, slope = layer(x, slope), None
        else:
            x = layer(x)
    return x


def double(x: Tensor) -> Tensor:
    """A map of twice the size, by linear interpolation; (B, C, *S) to (B, C, *2S)."""
    return F.interpolate(x, scale_factor=2, mode=LINEAR[x.ndim], align_corners=False)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int | str = 0,
    slope: float | None = None,
) -> Tensor:
    """What `torch.nn.functional.conv2d` or `conv3d` returns, under autocast as well.

    On a processor the gradient of the weights is summed over slabs of a large map. And volumes of
    at most two voxels along the first or second axis are computed in float32: with AVX-512 BF16
    the gradient of the weights comes out as whatever lay in memory there (oneDNN 3.12, torch 2.13).

    Args:
        x: (B, C, *S).
        weight: (O, C, *K).
        bias: (O,).
        stride: As for `conv3d`.
        padding: As for `conv3d`.
        slope: If given, x goes through a LeakyReLU of that slope first, in place: nothing but this
            convolution may need it, not even the gradient of what made it.
    """
    device = x.device.type
    if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        small = device == "cpu" and x.ndim == 5 and min(x.shape[2:4]) <= 2
        dtype = torch.float32 if small else torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    around = [padding] * (x.ndim - 2) if isinstance(padding, int) else list(padding)
    keeps_size = stride in (1, (1,) * (x.ndim - 2)) and around == _same(weight)
    with torch.autocast(device, enabled=False):
        if keeps_size and _is_for_gradients() and device == "cpu" and x.numel() > SMALL:
            return _BySlabs.apply(x, weight, bias, slope)
        if slope is not None:
            x = F.leaky_relu(x, slope, inplace=True)
        return CONVOLVE[x.ndim](x, weight, bias, stride, padding)


def convolve_doubled(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolves `double(x)` by an odd kernel, keeping the size but not the doubled map.

    For the gradients it is interpolated anew from x.
    """
    doubled = double(x)
    if not _is_for_gradients():
        return convolve(doubled, weight, bias, padding=_same(weight))
    half, size = x.detach(), doubled.shape

    def keep(saved: Tensor) -> tuple[Tensor, torch.dtype | None]:
        return (half, saved.dtype) if saved.shape == size else (saved, None)

    def give(kept: tuple[Tensor, torch.dtype | None]) -> Tensor:
        saved, dtype = kept
        return saved if dtype is None else double(saved).to(dtype)

    with saved_tensors_hooks(keep, give):
        return convolve(doubled, weight, bias, padding=_same(weight))


class _BySlabs(torch.autograd.Function):
    """A convolution of odd kernel that keeps the size, differentiable once."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, slope: float | None
    ) -> Tensor:
        if slope is not None:
            F.leaky_relu_(x, slope)
        ctx.slope = slope
        ctx.save_for_backward(x, weight)
        return CONVOLVE[x.ndim](x, weight, bias, padding=_same(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        by_x = by_weight = by_bias = None
        if ctx.needs_input_grad[2]:
            by_bias = gradient.sum([0, *range(2, gradient.ndim)])
        if ctx.needs_input_grad[1]:
            by_weight = weight_gradient(x, gradient, weight)
        if ctx.needs_input_grad[0]:
            by_x = _input_gradient(x, gradient, weight)
            if ctx.slope is not None:
                aten.leaky_relu_backward.grad_input(by_x, x, ctx.slope, True, grad_input=by_x)
        return by_x, by_weight, by_bias, None


def _input_gradient(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient with respect to the map, in its layout, which `torch.nn.grad` does not know."""
    axes = x.ndim - 2
    steps, padding = [1] * axes, _same(weight)
    wanted = [True, False, False]
    return aten.convolution_backward(
        gradient, x, weight, None, steps, padding, steps, False, [0] * axes, 1, wanted
    )[0]


def weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient with respect to the weights of a convolution of odd kernel that keeps the size.

    Output channels beyond a multiple of 16 cost a processor as much as 16 do, or more. Where they
    are few, map and gradient change places for them: the gradient is convolved, to as many outputs
    as the map has channels, which is the same sum with the kernel turned round.

    Args:
        x: (B, C, *S), what is convolved.
        gradient: (B, O, *S), with respect to the result.
        weight: (O, C, *K), of which only shape and type matter.

    Returns:
        (O, C, *K).
    """
    if not 0 < len(weight) % VECTOR <= FEW < x.shape[1]:
        return _slab_by_slab(x, gradient, weight)
    full = len(weight) - len(weight) % VECTOR
    turned = _slab_by_slab(gradient[:, full:], x, weight[full:].transpose(0, 1))
    rest = turned.transpose(0, 1).flip(list(range(2, x.ndim)))
    if not full:
        return rest
    return torch.cat([_slab_by_slab(x, gradient[:, :full], weight[:full]), rest])


def _slab_by_slab(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """A sum over slabs: oneDNN copies map and gradient, and the copies of a slab are small."""
    layout, padding = CHANNELS_LAST[x.ndim], [0, *_same(weight)[1:]]
    size, halo = x.shape[2], weight.shape[2] // 2
    thickness = max(LEAST_SLAB, -(-size // SLABS))
    total = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
    for first in range(0, size, thickness):
        end = min(first + thickness, size)
        slab = x[:, :, max(first - halo, 0) : end + halo]
        around = [max(halo - first, 0), max(end + halo - size, 0)]
        if any(around):
            slab = F.pad(slab, [0, 0] * (x.ndim - 3) + around)
        slab = slab.contiguous(memory_format=layout)
        part = gradient[:, :, first:end].contiguous(memory_format=layout)
        total += WEIGHT_GRADIENT[x.ndim](slab, weight.shape, part, padding=padding)
    return total.to(weight.dtype)


def _is_for_gradients() -> bool:
    """Whether gradients may be asked for, and no compiler sees to them."""
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _same(weight: Tensor) -> list[int]:
    """The padding that keeps the size under an odd kernel; -1 for an even one."""
    return [k // 2 if k % 2 else -1 for k in weight.shape[2:]]
