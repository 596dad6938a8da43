"""A search over whole displacements, made smooth and consistent both ways: a start for descent."""

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.models.levels import SMALLEST_AXIS, block_centres, pooled
from bench.pair import Pair
from bench.spatial.displacement import warp

BLOCK = 4  # voxels, along each axis, that share a displacement
REACH = 4  # blocks, in which a displacement is looked for
COUPLING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # in shares of the mean spread of a block's costs
CONSISTENCY_STEPS = 15


def convex_start(pair: Pair, metric: Any) -> Tensor:
    """Displacement of each pair that a coupled convex search over features gives.

    Features are averaged over blocks and compared at all displacements of whole blocks; the
    search takes the best of each block in turn with smoothing, ever more closely coupled, both
    ways, and the two results are made inverse to each other. Source: Siebert et al., IEEE TMI
    2024; Heinrich et al., MICCAI 2014.

    Args:
        pair: The batch.
        metric: Offers `descriptors(image)`, a map (B, C, *S_l) of features.

    Returns:
        (B, D, *S) float32, voxels.
    """
    descriptors = metric.descriptors
    return torch.cat([_search(pair.one(i), descriptors) for i in range(len(pair.fixed))])


@torch.no_grad()
def _search(pair: Pair, descriptors: Any) -> Tensor:
    shape = pair.fixed.shape[2:]
    fixed, moving = (
        _blocks(descriptors(image).float(), shape) for image in (pair.fixed, pair.moving)
    )
    factors = [-(-size // blocks) for size, blocks in zip(shape, fixed.shape[2:], strict=True)]
    blocks = _consistent(_coupled(fixed, moving), _coupled(moving, fixed))
    scale = blocks.new_tensor(factors).view(1, -1, *[1] * len(shape))
    return _to_voxels(blocks * scale, shape, factors)


def _blocks(features: Tensor, shape: torch.Size) -> Tensor:
    """Means over blocks of `BLOCK` voxels of the image, fewer where an axis is short."""
    wanted = [max(1, min(BLOCK, size // (SMALLEST_AXIS // 2))) for size in shape]
    factors = [
        max(1, round(factor * ours / size))
        for factor, ours, size in zip(wanted, features.shape[2:], shape, strict=True)
    ]
    return pooled(features, factors)


def _coupled(fixed: Tensor, moving: Tensor) -> Tensor:
    """Smooth displacement (1, D, *G), in blocks, of least cost."""
    shape = fixed.shape[2:]
    ndim = len(shape)
    reach = [min(REACH, size - 1) for size in shape]
    steps = list(itertools.product(*(range(-r, r + 1) for r in reach)))
    padded = F.pad(moving, [r for r in reversed(reach) for _ in range(2)], mode="replicate")

    def cost(step: tuple[int, ...]) -> Tensor:
        seen = padded
        for axis, (by, size) in enumerate(zip(step, shape, strict=True)):
            seen = seen.narrow(axis + 2, reach[axis] + by, size)
        return (fixed - seen).square().mean((0, 1))

    costs = torch.stack([cost(step) for step in steps])  # (K, *G)
    costs = _smooth(costs[None])[0]
    costs /= (costs.mean(0) - costs.amin(0)).mean().clamp(min=1e-12)
    options = fixed.new_tensor(steps)  # (K, D)
    u = options[costs.flatten(1).argmin(0)].T.reshape(1, ndim, *shape)
    for coupling in COUPLING:
        u = _smooth(u)
        distance = sum(
            (options[:, axis].view(-1, *[1] * ndim) - u[0, axis]).square() for axis in range(ndim)
        )
        best = (costs + coupling * distance).flatten(1).argmin(0)
        u = options[best].T.reshape(1, ndim, *shape)
    return _smooth(_smooth(u))


def _smooth(field: Tensor) -> Tensor:
    """Means over 3 blocks along each axis, the border repeated."""
    ndim = field.ndim - 2
    pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[ndim]
    return pool(F.pad(field, [1] * (2 * ndim), mode="replicate"), 3, stride=1)


def _consistent(forward: Tensor, backward: Tensor) -> Tensor:
    """The first of two displacements, each of which is moved towards the other one's inverse."""
    for _ in range(CONSISTENCY_STEPS):
        forward, backward = (
            (forward - warp(backward, forward)) / 2,
            (backward - warp(forward, backward)) / 2,
        )
    return forward


def _to_voxels(field: Tensor, shape: torch.Size, factors: list[int]) -> Tensor:
    """Linear interpolation between the middles of blocks; constant beyond the outermost."""
    for axis, (size, factor) in enumerate(zip(shape, factors, strict=True)):
        centres = block_centres(size, factor)
        position = (torch.arange(size, dtype=torch.float64) - centres[0]) / factor
        position = position.clamp(0, len(centres) - 1)
        blocks = torch.arange(len(centres), dtype=torch.float64)
        weights = (1 - (position[:, None] - blocks).abs()).clamp(min=0)
        weights = (weights / weights.sum(1, keepdim=True)).to(field)
        field = (field.movedim(axis + 2, -1) @ weights.T).movedim(-1, axis + 2)
    return field.contiguous()
