"""Normalized cross-correlation, local and global."""

from typing import Any

import torch
from torch import Tensor

from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.errors import ConfigError, Unsupported
from bench.pair import Pair
from bench.similarity.base import Similarity
from bench.similarity.box import box_moments, box_sum_
from bench.similarity.masks import check_mask, mask_shares, mask_supports

EPSILON = 1e-5
SMALLEST = 1e-20
WHOLE = "whole"


class NCC(Similarity):
    """D = 1 - mean over voxels of the squared correlation in a box window around each.

    With sums over the window, cc = cross^2 / (var_I var_J + 1e-5), where cross and var are the
    unnormalized (co)variances; windows reach into a border of zeros. Windows without variance
    count as cc = 0. Invariant to gain and bias of each window, up to the 1e-5. Several channels
    are averaged. Source: Balakrishnan et al., IEEE TMI 2019; Czolbe et al., MIA 2023.

    `mask` and `floor` are this suite's: without a mask, windows in padding are a constant share
    of D; without a floor, windows that hold nothing but faint noise weigh as much as edges.

    Args:
        window: Edge of the window in voxels, odd and at most the image's shortest axis; `whole`
            takes the image as one window.
        mask: Which voxels' windows count, see `bench.similarity.masks`; a global window sees
            nothing but these.
        floor: Variance of a voxel that is added to both variances of a window, in squared
            intensities: about that of the noise. Not used by a global window.
    """

    def __init__(self, window: int | str = 9, mask: str | None = None, floor: float = 0.0) -> None:
        odd = is_count(window) and window % 2 == 1
        if not odd and window != WHOLE:
            raise ConfigError(
                f"metric.window={quoted(window)}: must be an odd whole number, such as 9, or "
                f"{WHOLE} for the whole image."
            )
        if not floor >= 0:
            raise ConfigError(f"metric.floor={quoted(floor)}: must be a variance of at least 0.")
        self.window = window
        self.mask = check_mask(mask)
        self.floor = floor

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        return mask_supports(self.mask, labels)

    def __call__(self, pair: Pair) -> Tensor:
        return self.each(pair).mean()

    def each(self, pair: Pair) -> Tensor:
        shares = mask_shares(self.mask, pair)
        if shares is not None:
            shares = shares * len(shares)
        if isinstance(self.window, str):
            return _global_ncc(pair.warped, pair.fixed, shares)
        smallest = min(pair.fixed.shape[2:])
        if self.window > smallest:
            raise Unsupported(
                f"NCC's window={self.window} is larger than the images, whose shortest axis has "
                f"{smallest} voxels. Choose a smaller metric.window (metric.terms.NAME.window in a "
                f"sum), or {WHOLE} for the whole image."
            )
        return _LocalNCC.apply(pair.warped, pair.fixed, shares, self.window, self.floor)

    def local(self, pair: Pair) -> Tensor | None:
        if isinstance(self.window, str):
            return None
        noise = self.floor * self.window ** (pair.fixed.ndim - 2)
        *_, variance, other, cross = box_moments(pair.warped, pair.fixed, self.window)
        return 1 - (cross * cross / ((variance + noise) * (other + noise) + EPSILON)).mean(1)


def _global_ncc(warped: Tensor, fixed: Tensor, shares: Tensor | None) -> Tensor:
    """1 - mean over channels of the squared correlation of all voxels, for each pair."""
    axes = list(range(2, fixed.ndim))
    if shares is None:
        shares = torch.full_like(fixed[:, :1], 1 / fixed[0, 0].numel())
    i, j = (image - (image * shares).sum(axes, keepdim=True) for image in (warped, fixed))
    cross = (i * j * shares).sum(axes)
    variances = (i * i * shares).sum(axes) * (j * j * shares).sum(axes)
    present = shares.sum(axes)  # 1, or 0 where a mask is empty
    return (present - cross * cross / variances.clamp(min=SMALLEST)).mean(1)


class _LocalNCC(torch.autograd.Function):
    """The local metric of each pair and, by hand, its gradient.

    The gradient with respect to I is J·box(a) + 2 I·box(b) - box(a mean_J + 2 b mean_I), with
    a = ∂D/∂cross and b = ∂D/∂var_I: three more box filters, so that forward and backward
    together keep one map instead of the dozens that automatic differentiation would. A processor
    takes one pair after the other, which needs less memory; a GPU all at once.
    """

    @staticmethod
    def forward(
        ctx: Any, warped: Tensor, fixed: Tensor, shares: Tensor | None, window: int, floor: float
    ) -> Tensor:
        values = warped.new_ones(len(warped))
        if shares is not None:
            values = shares.flatten(1).sum(1)
        gradients = [
            torch.empty_like(image) if needed else None
            for image, needed in zip((warped, fixed), ctx.needs_input_grad[:2], strict=True)
        ]
        together = 1 if warped.device.type == "cpu" else len(warped)
        for start in range(0, len(warped), together):
            some = slice(start, start + together)
            share: float | Tensor = 1 / warped[0].numel()
            if shares is not None:
                share = shares[some] / warped.shape[1]
            first, second = (None if whole is None else whole[some] for whole in gradients)
            values[some] -= _correlation(warped[some], fixed[some], share, window, floor, first)
            if second is not None:
                _correlation(fixed[some], warped[some], share, window, floor, second)
        ctx.save_for_backward(*gradients)
        return values

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        first, second = (
            None if saved is None else saved * gradient.view(-1, *[1] * (saved.ndim - 1))
            for saved in ctx.saved_tensors
        )
        return first, second, None, None, None


def _correlation(
    image: Tensor,
    other: Tensor,
    share: float | Tensor,
    window: int,
    floor: float,
    gradient: Tensor | None,
) -> Tensor:
    """Weighted sum of the squared correlations of each pair, (B,).

    Writes the gradient of its negative with respect to `image`. Buffers are used again as soon as
    what they hold is not needed any more.
    """
    noise = floor * window ** (image.ndim - 2)
    mean, other_mean, variance, other_variance, cross = box_moments(image, other, window)
    other_variance.add_(noise)
    ratio = variance.add_(noise).mul_(other_variance).add_(EPSILON)
    torch.div(cross, ratio, out=ratio)
    total = cross.mul_(ratio).mul_(share).flatten(1).sum(1)
    if gradient is None:
        return total
    d_cross = torch.mul(ratio, share, out=cross).mul_(-2)
    twice_d_variance = ratio.mul_(d_cross).mul_(other_variance).neg_()
    del other_variance
    offset = other_mean.mul_(d_cross).add_(mean.mul_(twice_d_variance))
    del mean
    torch.mul(box_sum_(d_cross, window), other, out=gradient)
    del cross, d_cross
    gradient.addcmul_(image, box_sum_(twice_d_variance, window))
    del ratio, twice_d_variance
    gradient.sub_(box_sum_(offset, window))
    return total
