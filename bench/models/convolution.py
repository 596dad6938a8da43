"""Convolutions as `torch.nn` has them, with gradients of the weights that suit a processor."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CONVOLVE = {4: F.conv2d, 5: F.conv3d}
CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
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
    plain = CONVOLVE[x.ndim]
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return plain(x, weight, bias, stride, padding)
    if x.ndim == 5 and min(x.shape[2:4]) <= 2:
        with torch.autocast("cpu", enabled=False):
            return plain(x.float(), weight, bias, stride, padding)
    if not (torch.is_grad_enabled() and _has_few_left(x, weight, stride, padding)):
        return plain(x, weight, bias, stride, padding)
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight = x.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    return _Convolution.apply(x, weight, bias)


def weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """Gradient with respect to the weights of a convolution of odd kernel that keeps the size.

    Output channels beyond a multiple of 16 cost a processor as much as 16 do, or more. For those,
    map and gradient change places: the gradient is convolved, to as many outputs as the map has
    channels, which is the same sum with the kernel turned round.

    Args:
        x: (B, C, *S), what is convolved.
        gradient: (B, O, *S), with respect to the result.
        weight: (O, C, *K), of which only shape and type matter.

    Returns:
        (O, C, *K).
    """
    full = len(weight) - len(weight) % VECTOR
    layout = CHANNELS_LAST[x.ndim]
    few = gradient[:, full:].contiguous(memory_format=layout)
    turned = _plain_weight_gradient(few, x, weight[full:].transpose(0, 1))
    rest = turned.transpose(0, 1).flip(list(range(2, x.ndim)))
    if not full:
        return rest
    most = gradient[:, :full].contiguous(memory_format=layout)
    return torch.cat([_plain_weight_gradient(x, most, weight[:full]), rest])


class _Convolution(torch.autograd.Function):
    """A convolution of odd kernel that keeps the size."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return CONVOLVE[x.ndim](x, weight, bias, padding=_same(weight))

    @staticmethod
    def setup_context(
        ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor
    ) -> None:
        x, weight, _ = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        by_bias = gradient.sum([0, *range(2, gradient.ndim)]) if of_bias else None
        by_weight = weight_gradient(x, gradient, weight) if of_weight else None
        by_x = _gradients(x, gradient, weight, (True, False))[0] if of_x else None
        return by_x, by_weight, by_bias


def _has_few_left(
    x: Tensor, weight: Tensor, stride: Sequence[int] | int, padding: Sequence[int] | int | str
) -> bool:
    """Whether `weight_gradient` can be used and was measured to be faster."""
    each = [stride] * (x.ndim - 2) if isinstance(stride, int) else list(stride)
    around = [padding] * (x.ndim - 2) if isinstance(padding, int) else list(padding)
    return (
        weight.requires_grad
        and 0 < len(weight) % VECTOR <= FEW
        and x.shape[1] > FEW
        and all(step == 1 for step in each)
        and around == _same(weight)
        and x.is_contiguous(memory_format=CHANNELS_LAST[x.ndim])
    )


def _same(weight: Tensor) -> list[int]:
    """The padding that keeps the size under an odd kernel; -1 for an even one."""
    return [k // 2 if k % 2 else -1 for k in weight.shape[2:]]


def _plain_weight_gradient(x: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    return _gradients(x, gradient, weight, (False, True))[1]


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
