"""Local normalized cross-correlation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import ConfigError
from bench.similarity.base import Similarity
from bench.similarity.pair import Pair

EPSILON = 1e-5


class NCC(Similarity):
    """D = 1 - mean over voxels of the squared correlation in a box window around each.

    With sums over the window, cc = cross^2 / (var_I var_J + 1e-5), where cross and var are the
    unnormalized (co)variances; windows reach into a border of zeros. Windows without variance
    count as cc = 0. Invariant to gain and bias of each window, up to the 1e-5. Several channels
    are averaged. Source: Balakrishnan et al., IEEE TMI 2019; Czolbe et al., MIA 2023.

    Args:
        window: Edge of the window in voxels, odd.
    """

    def __init__(self, window: int = 9) -> None:
        if not isinstance(window, int) or window < 1 or window % 2 == 0:
            raise ConfigError(f"metric.window={window}: must be an odd whole number, such as 9.")
        self.window = window

    def __call__(self, pair: Pair) -> Tensor:
        return _LocalNCC.apply(pair.warped, pair.fixed, self.window)


class _LocalNCC(torch.autograd.Function):
    """The metric and, by hand, its gradient.

    The gradient with respect to I is J·box(a) + 2 I·box(b) - box(a mean_J + 2 b mean_I), with
    a = ∂D/∂cross and b = ∂D/∂var_I: three more box filters, so that forward and backward
    together keep one map instead of the dozens that automatic differentiation would.
    """

    @staticmethod
    def forward(ctx: Any, warped: Tensor, fixed: Tensor, window: int) -> Tensor:
        voxels = window ** (warped.ndim - 2)
        mean_i = box_sum(warped, window) / voxels
        mean_j = box_sum(fixed, window) / voxels
        variance_i = _variance(warped, mean_i, window)
        variance_j = _variance(fixed, mean_j, window)
        cross = box_sum(warped * fixed, window).sub_(mean_i * mean_j, alpha=voxels)
        denominator = (variance_i * variance_j).add_(EPSILON)
        ratio = cross / denominator
        d_cross = ratio * (-2 / warped.numel())
        squared = (ratio * ratio).div_(warped.numel())
        saved: list[Tensor | None] = []
        for needed, image, mean, other, other_mean, other_variance in (
            (ctx.needs_input_grad[0], warped, mean_i, fixed, mean_j, variance_j),
            (ctx.needs_input_grad[1], fixed, mean_j, warped, mean_i, variance_i),
        ):
            if needed:
                twice_d_variance = 2 * squared * other_variance
                offset = (d_cross * other_mean).addcmul_(twice_d_variance, mean)
                gradient = other * box_sum(d_cross, window)
                gradient.addcmul_(image, box_sum(twice_d_variance, window))
                saved.append(gradient.sub_(box_sum(offset, window)))
            else:
                saved.append(None)
        ctx.save_for_backward(*saved)
        return 1 - (cross * ratio).mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        first, second = (None if saved is None else saved * gradient for saved in ctx.saved_tensors)
        return first, second, None


def _variance(image: Tensor, mean: Tensor, window: int) -> Tensor:
    """Unnormalized variance in the window; rounding cannot make it negative."""
    voxels = window ** (image.ndim - 2)
    return box_sum(image * image, window).sub_(mean * mean, alpha=voxels).clamp_(min=0)


def box_sum(image: Tensor, window: int) -> Tensor:
    """Sums over a box of `window` voxels along each axis, with zeros outside the image.

    One axis after the other, each in log2(window) additions of shifted copies: sums of 2, 4,
    8, ... voxels, put together as the bits of the window say.

    Args:
        image: (B, C, *S).
        window: Odd edge of the box.

    Returns:
        (B, C, *S).
    """
    for axis in range(2, image.ndim):
        size = image.shape[axis]
        widths = [0] * (2 * (image.ndim - axis))
        widths[-2:] = [window // 2, window // 2]
        block = F.pad(image, widths)
        length, offset, rest = 1, 0, window
        total: Tensor | None = None
        while rest:
            if rest & 1:
                part = block.narrow(axis, offset, size)
                total = part if total is None else total + part
                offset += length
            rest >>= 1
            if rest:
                remaining = block.shape[axis] - length
                block = block.narrow(axis, 0, remaining) + block.narrow(axis, length, remaining)
                length *= 2
        assert total is not None
        image = total
    return image
