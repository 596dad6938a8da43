"""Where an intensity metric looks."""

import torch
from torch import Tensor

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.pair import Pair
from bench.similarity.labels import NEEDS_LABELS

MASKS = (None, "foreground", "labels")


def check_mask(mask: str | None) -> str | None:
    """The name of a mask; ConfigError if there is no such mask."""
    if mask not in MASKS:
        raise ConfigError(f"metric.mask={quoted(mask)}: must be null, foreground or labels.")
    return mask


def mask_supports(mask: str | None, labels: bool) -> str | None:
    """Why a mask cannot be had, or None."""
    return NEEDS_LABELS if mask == "labels" and not labels else None


def mask_shares(mask: str | None, pair: Pair) -> Tensor | None:
    """Shares of the voxels, of sum 1 over the batch, the same for each of its pairs.

    Args:
        mask: `foreground`: where the fixed image is above its least intensity, which padding has;
            `labels`: where it has a label other than background; None: everywhere.
        pair: The pair.

    Returns:
        (B, 1, *S) float32; None for None. A pair whose mask is empty has no share.
    """
    if mask is None:
        return None
    fixed = pair.fixed
    if mask == "labels":
        inside = pair.segmentations[1] > 0
    else:
        least = fixed.flatten(2).amin(2).view(*fixed.shape[:2], *[1] * (fixed.ndim - 2))
        inside = (fixed > least).any(dim=1, keepdim=True)
    return normalized(inside.to(fixed.dtype))


def normalized(shares: Tensor) -> Tensor:
    """Shares (B, 1, *S) of at least 0, scaled to sum 1/B for each of the batch."""
    sums = shares.flatten(1).sum(1).mul(len(shares)).view(-1, *[1] * (shares.ndim - 1))
    return torch.where(sums > 0, shares / sums.clamp(min=1e-12), torch.zeros_like(shares))
