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
SLABS, LEAST_SLAB = 8, 8  # of a map, one copied at a time; thickness in voxels


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
    if _is_for_gradients() and (slope is not None or (keeps_size and _few_left(x, weight))):
        return _apply(x, weight, bias, doubles=False, slope=slope)
    if _is_small_volume(x.shape, x.device):
        with torch.autocast("cpu", enabled=False):
            return CONVOLVE[x.ndim](x.float(), weight, bias, stride, padding)
    return CONVOLVE[x.ndim](x, weight, bias, stride, padding)


def convolve_doubled(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolves `double(x)` by an odd kernel, keeping the size, without keeping the doubled map.

    What the gradients need of it is interpolated anew.
    """
    if _is_for_gradients():
        return _apply(x, weight, bias, doubles=True, slope=None)
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
    """Gradient of the weights as a sum over slabs, each of which needs little memory."""
    size, halo, layout = x.shape[2], weight.shape[2] // 2, CHANNELS_LAST[x.ndim]
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
    """A convolution of odd kernel that keeps the size, of a map or of the doubled map."""

    generate_vmap_rule = True

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
                _times_slope(by_x, x, ctx.slope)
        return by_x, by_weight, by_bias, None, None


def _apply(
    x: Tensor, weight: Tensor, bias: Tensor | None, doubles: bool, slope: float | None
) -> Tensor:
    """`_Convolution` in autocast's precision, or in float32 where `convolve` wants that."""
    device = x.device.type
    shape = [*x.shape[:2], *[(2 if doubles else 1) * size for size in x.shape[2:]]]
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    if dtype is not None and _is_small_volume(shape, x.device):
        dtype = torch.float32
    if dtype is not None:
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    with torch.autocast(device, enabled=False):
        return _Convolution.apply(x, weight, bias, doubles, slope)


def _is_for_gradients() -> bool:
    """Whether gradients may be asked for; a compiler sees to them by itself."""
    return torch.is_grad_enabled() and not torch.compiler.is_compiling()


def _is_small_volume(shape: Sequence[int], device: torch.device) -> bool:
    return device.type == "cpu" and len(shape) == 5 and min(shape[2:4]) <= 2


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


def _times_slope(gradient: Tensor, activated: Tensor, slope: float) -> None:
    """LeakyReLU's gradient from what it returned, in place; slab by slab, vmap wants copies."""
    for g, a in zip(gradient.chunk(SLABS, 2), activated.chunk(SLABS, 2), strict=True):
        g.copy_(torch.ops.aten.leaky_relu_backward(g, a, slope, True))


def _double_gradient(gradient: Tensor, shape: Sequence[int]) -> Tensor:
    """Gradient with respect to a map of that shape, from that with respect to the doubled one."""
    size, factors = gradient.shape[2:], [2.0] * (gradient.ndim - 2)
    if gradient.ndim == 4:
        backward = torch.ops.aten.upsample_bilinear2d_backward
    else:
        backward = torch.ops.aten.upsample_trilinear3d_backward
    return backward(gradient, size, shape, False, *factors)
