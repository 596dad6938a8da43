"""Normalized mutual information."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.pair import Pair
from bench.similarity.base import Similarity

SIGMA = 1 / (2 * math.sqrt(2 * math.log(2)))  # of a Gaussian of full width 1 at half maximum
REACH = 2  # bins on each side in which a voxel's window is not below 1e-7
SMALLEST = 1e-12
STEPS = 16  # of rounding, that an image may differ by and still be constant
CHUNK = {"cpu": 1 << 15, "cuda": 1 << 18}  # voxels that are looked at at a time


class NMI(Similarity):
    """D = 2 - (H(I) + H(J)) / H(I, J), with entropies of Parzen-window histograms.

    Each voxel spreads over the bins by a Gaussian whose full width at half maximum is one bin,
    normalized to 1. Each image's intensities, from the least to the largest, cover all bins but
    two at both ends, so that no window is cut off. A channel's D is computed for each image of
    the batch, then averaged. D lies in [0, 1]; equal images do not reach 0, since the windows blur
    their joint histogram. Source: Studholme et al., Pattern Recognition 1999; window and number
    of bins as in Czolbe et al., MIA 2023.

    Differentiable in the warped image. Neither pass holds more than a few values per voxel.

    Args:
        bins: Number of bins of each image, at least 6.
        fraction: Share of the voxels that is looked at, drawn anew each time by torch's random
            numbers; the papers' is 0.1. 1 takes all.
    """

    def __init__(self, bins: int = 64, fraction: float = 1.0) -> None:
        if not is_count(bins, 2 * REACH + 2):
            raise ConfigError(
                f"metric.bins={quoted(bins)}: must be a whole number of at least {2 * REACH + 2}, "
                "such as 64."
            )
        if not 0 < fraction <= 1:
            raise ConfigError(f"metric.fraction={quoted(fraction)}: must be above 0 and at most 1.")
        self.bins = bins
        self.fraction = fraction

    def __call__(self, pair: Pair) -> Tensor:
        first = self._positions(pair.warped, pair.moving)
        second = self._positions(pair.fixed, pair.fixed)
        if self.fraction < 1:
            count = max(1, round(self.fraction * first.shape[1]))
            chosen = torch.randint(first.shape[1], (count,), device=first.device)
            first, second = first[:, chosen], second[:, chosen]
        return 2 - _NMI.apply(first, second.detach(), self.bins).mean()

    def _positions(self, image: Tensor, whole: Tensor) -> Tensor:
        """Intensities in bins, (B * C, voxels); the range is that of `whole`."""
        flat = whole.detach().flatten(0, 1).flatten(1)
        low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
        rounding = STEPS * torch.finfo(flat.dtype).eps * torch.maximum(low.abs(), high.abs())
        spread = high - low
        inner = (self.bins - 1 - 2 * REACH) / spread.clamp(min=SMALLEST)
        scale = torch.where(spread > rounding, inner, 0)  # a constant image stays in one bin
        positions = (image.flatten(0, 1).flatten(1) - low) * scale + REACH
        # interpolation leaves the range by rounding, which a narrow range magnifies
        return positions.clamp(REACH - 0.5, self.bins - 0.5 - REACH)


class _NMI(torch.autograd.Function):
    """(H(I) + H(J)) / H(I, J) of each row, and its gradient with respect to the first.

    A voxel reaches 5 bins of each image, so it adds 25 products of windows to the joint
    histogram. The backward pass computes the windows once more in place of keeping them.
    """

    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor, bins: int) -> Tensor:
        joint = torch.stack(
            [_histogram(a, b, bins) for a, b in zip(first, second, strict=True)]
        ).clamp_(min=SMALLEST)
        log = joint.log()
        ours, theirs = joint.sum(2), joint.sum(1)
        whole = -(joint * log).sum((1, 2))
        parts = -(ours * ours.log()).sum(1) - (theirs * theirs.log()).sum(1)
        nmi = parts / whole
        # ∂/∂joint of parts / whole, up to a constant, which a normalized histogram does not see
        gradient = -(ours.log()[:, :, None] + theirs.log()[:, None] - nmi[:, None, None] * log)
        ctx.save_for_backward(first, second, gradient / whole[:, None, None])
        return nmi.to(first.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        first, second, of_joint = ctx.saved_tensors
        result = torch.empty_like(first)
        for row, (a, b) in enumerate(zip(first, second, strict=True)):
            table = (of_joint[row] * (gradient[row] / a.numel())).to(a.dtype).flatten()
            for part in _chunks(a):
                index, ours, theirs = _windows(a[part], b[part], of_joint.shape[1])
                offsets = torch.arange(-REACH, REACH + 1, device=a.device, dtype=a.dtype)[:, None]
                by_window = (table[index] * theirs).sum(1)
                centre = (ours * offsets).sum(0)
                result[row, part] = (by_window * ours * (offsets - centre)).sum(0) / SIGMA**2
        return result, None, None


def _histogram(first: Tensor, second: Tensor, bins: int) -> Tensor:
    """Joint histogram (bins, bins) of sum 1, float64, of two rows of positions."""
    total = first.new_zeros(bins * bins, dtype=torch.float64)
    for part in _chunks(first):
        index, ours, theirs = _windows(first[part], second[part], bins)
        weights = (ours[:, None] * theirs).flatten()
        total += weights.new_zeros(bins * bins).scatter_add_(0, index.flatten(), weights)
    return (total / first.numel()).view(bins, bins)


def _chunks(row: Tensor) -> Iterator[slice]:
    size = CHUNK.get(row.device.type, CHUNK["cuda"])
    return (slice(start, start + size) for start in range(0, row.numel(), size))


def _windows(first: Tensor, second: Tensor, bins: int) -> tuple[Tensor, Tensor, Tensor]:
    """Where N voxels fall: joint bins (5, 5, N), and the windows (5, N) of both images."""
    offsets = torch.arange(-REACH, REACH + 1, device=first.device)[:, None]
    found = []
    for positions in (first, second):
        nearest = positions.round().clamp(REACH, bins - 1 - REACH)
        distance = positions - nearest - offsets
        window = torch.exp(distance.square() * (-0.5 / SIGMA**2))
        found.append((nearest.long() + offsets, window / window.sum(0)))
    (rows, ours), (columns, theirs) = found
    return rows[:, None] * bins + columns, ours, theirs
