"""Coarser copies of images and pairs, for registration from coarse to fine."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.pair import Pair, one_hot

SMALLEST_AXIS = 16  # voxels that pooling leaves of an axis, so that windows and networks fit


def factors_for(shape: Sequence[int], factor: int) -> list[int]:
    """By how much to pool each axis: as asked, less where few voxels would be left."""
    return [max(1, min(factor, size // SMALLEST_AXIS)) for size in shape]


def pooled(image: Tensor, factors: Sequence[int]) -> Tensor:
    """Means over blocks; the last block of an axis may be smaller.

    Args:
        image: (B, C, *S).
        factors: Edges of a block in voxels.

    Returns:
        (B, C, *S_l), S_l being S / factors rounded up.
    """
    if all(factor == 1 for factor in factors):
        return image
    pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[len(factors)]
    return pool(image, tuple(factors), ceil_mode=True)


def block_centres(size: int, factor: int) -> Tensor:
    """Where the blocks of `pooled` lie along an axis, in voxels; (size / factor rounded up,)."""
    line = torch.arange(size, dtype=torch.float64)
    return F.avg_pool1d(line[None], factor, ceil_mode=True)[0]


def pooled_pair(pair: Pair, factors: Sequence[int]) -> Pair:
    """A pair on a coarser grid, without displacement; label maps take a block's commonest label."""
    if all(factor == 1 for factor in factors):
        return pair

    def segmentations() -> tuple[Tensor, Tensor]:
        moving, fixed = (
            pooled(one_hot(labels, pair.classes), factors).argmax(1, keepdim=True)
            for labels in pair.segmentations
        )
        return moving, fixed

    def landmarks() -> tuple[Tensor, Tensor]:
        edges = pair.fixed.new_tensor(factors)
        moving, fixed = ((points - (edges - 1) / 2) / edges for points in pair.landmarks)
        return moving, fixed

    return Pair(
        pooled(pair.moving, factors),
        pooled(pair.fixed, factors),
        None,
        segmentations if pair.has_labels else None,
        pair.classes,
        landmarks=landmarks if pair.has_landmarks else None,
    )


def pooled_displacement(u: Tensor, factors: Sequence[int]) -> Tensor:
    """A displacement (B, D, *S) on a coarser grid and in its voxels; (B, D, *S_l)."""
    if all(factor == 1 for factor in factors):
        return u
    scale = u.new_tensor(factors).view(1, -1, *[1] * len(factors))
    return pooled(u, factors) / scale
