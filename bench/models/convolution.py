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


class Convolution2d(nn.Conv2d):
    """A 2D convolution, computed by `convolve`."""

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride, self.padding)


class Convolution3d(nn.Conv3d):
    """A 3D convolution, computed by `convolve`."""

    def forward(self, x: Tensor) -> Tensor:
        return convolve(x, self.weight, self.bias, self.stride, self.padding)


def double(x: Tensor) -> Tensor:
    """A map of twice the size, by linear interpolation; (B, C, *S) to (B, C, *2S)."""
    return F.interpolate(x, scale_factor=2, mode=LINEAR[x.ndim], align_corners=False)


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] | int = 1,
    padding: Sequence[int] | int | str = 0,
) -> Tensor:
    """What `torch.nn.functional.conv2d` or `conv3d` returns, under autocast as well.

    On a processor the gradient of the weights takes the way of `weight_gradient` where that is
    faster. And volumes of at most two voxels along the first or second axis are computed in
    float32: with AVX-512 BF16 the gradient of the weights comes out as whatever lay in memory
    there (oneDNN 3.12, torch 2.13).
    """
    if _is_small_volume(x.shape, x.device):
        with torch.autocast("cpu", enabled=False):
            return CONVOLVE[x.ndim](x.float(), weight, bias, stride, padding)
    each = [stride] * (x.ndim - 2) if isinstance(stride, int) else list(stride)
    around = [padding] * (x.ndim - 2) if isinstance(padding, int) else list(padding)
    if (
        _is_for_gradients()
        and weight.requires_grad
        and all(step == 1 for step in each)
        and around == _same(weight)
        and _few_left(x, weight)
    ):
        return _apply(x, weight, bias, doubles=False)
    return CONVOLVE[x.ndim](x, weight, bias, stride, padding)


def convolve_doubled(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolves `double(x)` by an odd kernel, keeping the size, without keeping the doubled map.

    What the gradients need of it is interpolated anew.
    """
    shape = [*x.shape[:2], *[2 * size for size in x.shape[2:]]]
    if not _is_for_gradients() or _is_small_volume(shape, x.device):
        return convolve(double(x), weight, bias, padding=_same(weight))
    return _apply(x, weight, bias, doubles=True)


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
    layout = CHANNELS_LAST[x.ndim]
    few = gradient[:, full:].contiguous(memory_format=layout)
    turned = _gradients(few, x, weight[full:].transpose(0, 1), (False, True))[1]
    rest = turned.transpose(0, 1).flip(list(range(2, x.ndim)))
    if not full:
        return rest
    most = gradient[:, :full].contiguous(memory_format=layout)
    return torch.cat([_gradients(x, most, weight[:full], (False, True))[1], rest])


class _Convolution(torch.autograd.Function):
    """A convolution of odd kernel that keeps the size, of a map or of the doubled map."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None, doubles: bool) -> Tensor:
        return CONVOLVE[x.ndim](double(x) if doubles else x, weight, bias, padding=_same(weight))

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, bool], output: Tensor
    ) -> None:
        x, weight, _, ctx.doubles = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias, _ = ctx.needs_input_grad
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
        return by_x, by_weight, by_bias, None


def _apply(x: Tensor, weight: Tensor, bias: Tensor | None, doubles: bool) -> Tensor:
    """`_Convolution`, in autocast's precision."""
    device = x.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    return _Convolution.apply(x, weight, bias, doubles)


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
    x: Tensor, gradient: Tensor, weight: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to map and weights, those that are wanted."""
    axes = x.ndim - 2
    by_x, by_weight, _ = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [1] * axes,
        _same(weight),
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
