"""Convolutions as `torch.nn` has them, with less work and memory for their gradients."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLVE = {4: F.conv2d, 5: F.conv3d}
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
    """Layers in a row, with LeakyReLUs that cost no memory of their own."""

    def forward(self, x: Tensor) -> Tensor:
        return run(list(self), x)


def run(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Applies layers one after the other.

    A LeakyReLU between two convolutions is computed in place, and so is its gradient, by the
    second one.
    """
    slope = None
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        if (
            isinstance(layer, nn.LeakyReLU)
            and layer.inplace
            and isinstance(following, Convolution2d | Convolution3d)
            and _is_for_gradients()
        ):
            slope = layer.negative_slope
            F.leaky_relu_(x.detach(), slope)
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

    On a processor the gradient of the weights takes the way of `weight_gradient` where that is
    faster. And volumes of at most two voxels along the first or second axis are computed in
    float32: with AVX-512 BF16 the gradient of the weights comes out as whatever lay in memory
    there (oneDNN 3.12, torch 2.13).

    Args:
        x: (B, C, *S).
        weight: (O, C, *K).
        bias: (O,).
        stride: As for `conv3d`.
        padding: As for `conv3d`.
        slope: If x went through a LeakyReLU of that slope unseen by autograd, whose gradient is
            then computed here. The convolution must keep the size.
    """
    each = [stride] * (x.ndim - 2) if isinstance(stride, int) else list(stride)
    around = [padding] * (x.ndim - 2) if isinstance(padding, int) else list(padding)
    keeps_size = all(step == 1 for step in each) and around == _same(weight)
    assert keeps_size or slope is None
    tensors = _cast(x, weight, bias, x.shape[2:])
    with torch.autocast(x.device.type, enabled=False):
        if _is_for_gradients() and (slope is not None or (keeps_size and _few_left(x, weight))):
            return _Convolution.apply(*tensors, False, slope)
        return CONVOLVE[x.ndim](*tensors, stride, padding)


def convolve_doubled(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolves `double(x)` by an odd kernel, keeping the size, without keeping the doubled map.

    What the gradients need of it is interpolated anew.
    """
    if _is_for_gradients():
        tensors = _cast(x, weight, bias, [2 * size for size in x.shape[2:]])
        with torch.autocast(x.device.type, enabled=False):
            return _Convolution.apply(*tensors, True, None)
    return convolve(double(x), weight, bias, padding=_same(weight))


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
    if not _few_left(x, weight):
        return _gradients(x, gradient, weight, (False, True))[1]
    full = len(weight) - len(weight) % VECTOR
    turned = _slab_by_slab(gradient[:, full:], x, weight[full:].transpose(0, 1))
    rest = turned.transpose(0, 1).flip(list(range(2, x.ndim)))
    if not full:
        return rest
    return torch.cat([_slab_by_slab(x, gradient[:, :full], weight[:full]), rest])


def _slab_by_slab(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient of the weights as a sum over slabs of a large map, which need little memory."""
    layout = CHANNELS_LAST[x.ndim]
    if x.numel() <= SMALL:
        x, gradient = (map_.contiguous(memory_format=layout) for map_ in (x, gradient))
        return _gradients(x, gradient, weight, (False, True))[1]
    size, halo = x.shape[2], weight.shape[2] // 2
    thickness = max(LEAST_SLAB, -(-size // SLABS))
    total = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
    for first in range(0, size, thickness):
        end = min(first + thickness, size)
        slab = x[:, :, max(first - halo, 0) : end + halo]
        around = [max(halo - first, 0), max(end + halo - size, 0)]
        if any(around):
            slab = F.pad(slab, [0, 0] * (x.ndim - 3) + around)
        own = gradient[:, :, first:end].contiguous(memory_format=layout)
        slab = slab.contiguous(memory_format=layout)
        total += _gradients(slab, own, weight, (False, True), [0, *_same(weight)[1:]])[1]
    return total.to(weight.dtype)


class _Convolution(torch.autograd.Function):
    """A convolution of odd kernel that keeps the size, of a map or of the doubled map.

    Its gradients have none of their own.
    """

    @staticmethod
    def forward(
        x: Tensor, weight: Tensor, bias: Tensor | None, doubles: bool, slope: float | None
    ) -> Tensor:
        return CONVOLVE[x.ndim](double(x) if doubles else x, weight, bias, padding=_same(weight))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, _, ctx.doubles, ctx.slope = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, *_ = ctx.needs_input_grad
        by_x = by_weight = by_bias = None
        if of_bias:
            by_bias = gradient.sum([0, *range(2, gradient.ndim)])
        convolved = double(x) if ctx.doubles else x
        if of_weight:
            by_weight = weight_gradient(convolved, gradient, weight)
        if of_x:
            by_x = _gradients(convolved, gradient, weight, (True, False))[0]
            if ctx.doubles:
                by_x = _double_gradient(by_x, x.shape)
            if ctx.slope is not None:
                torch.ops.aten.leaky_relu_backward.grad_input(
                    by_x, x, ctx.slope, True, grad_input=by_x
                )
        return by_x, by_weight, by_bias, None, None


def _cast(
    x: Tensor, weight: Tensor, bias: Tensor | None, size: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor | None]:
    """In autocast's precision, or float32 for small volumes; vmap would hide them from autocast.

    Args:
        x: Map.
        weight: Of the convolution.
        bias: Of the convolution.
        size: Of the map that is convolved.
    """
    device = x.device.type
    if not torch.is_autocast_enabled(device) or x.dtype == torch.float64:
        return x, weight, bias
    small = device == "cpu" and len(size) == 3 and min(size[:2]) <= 2
    dtype = torch.float32 if small else torch.get_autocast_dtype(device)
    return x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


def _is_for_gradients() -> bool:
    """Whether gradients may be asked for, and neither a compiler nor vmap sees to them."""
    return (
        torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
        and torch._C._functorch.peek_interpreter_stack() is None
    )


def _few_left(x: Tensor, weight: Tensor) -> bool:
    """Whether changing places was measured to be faster."""
    return (
        x.device.type == "cpu"
        and 0 < len(weight) % VECTOR <= FEW < x.shape[1]
        and x.is_contiguous(memory_format=CHANNELS_LAST[x.ndim])
    )


def _same(weight: Tensor) -> list[int]:
    """The padding that keeps the size under an odd kernel; -1 for an even one."""
    return [k // 2 if k % 2 else -1 for k in weight.shape[2:]]


def _gradients(
    x: Tensor,
    gradient: Tensor,
    weight: Tensor,
    wanted: tuple[bool, bool],
    padding: list[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to map and weights, those that are wanted."""
    axes = x.ndim - 2
    by_x, by_weight, _ = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [1] * axes,
        _same(weight) if padding is None else padding,
        [1] * axes,
        False,
        [0] * axes,
        1,
        [*wanted, False],
    )
    return by_x, by_weight


def _double_gradient(gradient: Tensor, shape: Sequence[int]) -> Tensor:
    """Gradient with respect to a map of that shape, from that with respect to the doubled one."""
    size, factors = gradient.shape[2:], [2.0] * (gradient.ndim - 2)
    if gradient.ndim == 4:
        backward = torch.ops.aten.upsample_bilinear2d_backward
    else:
        backward = torch.ops.aten.upsample_trilinear3d_backward
    return backward(gradient, size, shape, False, *factors)
