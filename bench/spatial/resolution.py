"""Coarser grids, and grids that fit them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.spatial.displacement import warp


def coarsen(field: Tensor, factor: int, shape: torch.Size) -> Tensor:
    """Means over blocks of `factor` voxels along each axis; the far border is repeated.

    Args:
        field: (B, C, *S).
        factor: Edge of a block.
        shape: Spatial shape of the result, at most S / factor rounded up.

    Returns:
        (B, C, *shape).
    """
    if factor > 1:
        pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[field.ndim - 2]
        field = pool(pad_to_multiple(field, factor), factor)
    return crop_to(field, shape)


def warp_level(features: Tensor, displacement: Tensor, factor: int) -> Tensor:
    """Samples a level of a feature pyramid at p + u(p), in the level's voxels.

    Args:
        features: (B, C, *S_l) floating, S_l being S / factor, rounded up or down.
        displacement: (B, D, *S) in voxels of the image; its mean over each block is taken.
        factor: How much coarser the level is than the image.
    """
    u = coarsen(displacement, factor, features.shape[2:]) / factor
    return warp(features, u)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Repeats the far border until every spatial axis is divisible.

    Args:
        image: (B, C, *S).
        multiple: What each axis of the result is a multiple of.
    """
    widths: list[int] = []
    for size in reversed(image.shape[2:]):
        widths += [0, -size % multiple]
    return F.pad(image, widths, mode="replicate") if any(widths) else image


def crop_to(image: Tensor, shape: torch.Size) -> Tensor:
    """Cuts (B, C, *S) at the far borders to the spatial shape; undoes `pad_to_multiple`."""
    return image[(slice(None), slice(None), *(slice(0, size) for size in shape))]
