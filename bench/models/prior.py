"""A Gaussian prior of displacements, smooth and near no translation, whose strength is solved for.

Each axis of a displacement is drawn, by itself, from a Gaussian of mean 0 and precision

    Λ = α L + (β / n²) 1 1ᵀ,

L being the Laplacian of the grid of n voxels, in which neighbours along an axis are joined: zᵀ L z
is the sum over edges of the squared difference of z. α punishes roughness; β, which the constant
fields that L does not see need, punishes a mean translation. The posterior is Gaussian and
independent for each voxel and axis. Source: Czolbe, Feragen and Krause, "Spot the Difference",
arXiv:2106.08233. The published code differs: it counts each edge twice in zᵀ L z and once in the
trace, voxels at the border as if they had neighbours outside, and in 2D a third axis.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Strength(NamedTuple):
    """How strong the prior is, scalars.

    Attributes:
        log_alpha: log α, of roughness.
        log_beta: log β, of the mean translation.
    """

    log_alpha: Tensor
    log_beta: Tensor


def fitted_strength(mean: Tensor, log_variance: Tensor) -> Strength:
    """The α and β of least KL divergence from the prior, on average over a batch of posteriors.

    Args:
        mean: (B, D, *S), voxels.
        log_variance: The same shape, of squared voxels.
    """
    count, ndim = mean[0, 0].numel(), mean.shape[1]
    variance = log_variance.exp()
    along = variance.sum(1) * degrees(mean) + roughness(mean)
    total = variance.flatten(1).sum(1) + squared_sums(mean)
    log_alpha = math.log((count - 1) * ndim) - along.flatten(1).sum(1).mean().log()
    return Strength(log_alpha, math.log(count**2 * ndim) - total.mean().log())


def kl_map(mean: Tensor, log_variance: Tensor, strength: Strength) -> Tensor:
    """KL divergence of posteriors from the prior, voxel by voxel.

    Args:
        mean: (B, D, *S), voxels.
        log_variance: The same shape.
        strength: α and β.

    Returns:
        (B, *S), whose sum over voxels is the divergence. What no voxel has for itself, such as
        log det Λ, is shared among all equally.
    """
    count, ndim = mean[0, 0].numel(), mean.shape[1]
    alpha, beta = strength.log_alpha.exp(), strength.log_beta.exp()
    variance = log_variance.exp().sum(1)
    shared = beta / count**3 * squared_sums(mean) - ndim * (
        log_determinant(strength, mean.shape[2:]) / count + 1
    )
    of_voxels = (
        (alpha * degrees(mean) + beta / count**2) * variance
        + alpha * roughness(mean)
        - log_variance.sum(1)
    )
    return (of_voxels + shared.view(-1, *[1] * ndim)) / 2


def log_determinant(strength: Strength, shape: torch.Size) -> Tensor:
    """log det Λ of one axis on a grid of shape *S."""
    count = math.prod(shape)
    further = _log_pseudodeterminant(tuple(shape)) - math.log(count)
    return (count - 1) * strength.log_alpha + strength.log_beta + further


@lru_cache(maxsize=16)
def _log_pseudodeterminant(shape: tuple[int, ...]) -> float:
    """Sum of the logarithms of the eigenvalues of L that are not 0.

    Those of a path of N voxels are 2 - 2 cos(π k / N); a grid has the sums of those of its axes.
    """
    total = torch.zeros(1, dtype=torch.float64)
    for size in shape:
        line = 2 - 2 * torch.cos(torch.arange(size, dtype=torch.float64) * math.pi / size)
        total = (total[:, None] + line).flatten()
    return float(total[1:].log().sum())


def degrees(field: Tensor) -> Tensor:
    """Number of neighbours of each voxel, (*S), for a field (B, C, *S)."""
    shape = field.shape[2:]
    found = field.new_zeros(shape)
    for axis, size in enumerate(shape):
        inside = field.new_full((size,), 2.0)
        inside[0] -= 1
        inside[-1] -= 1
        found += inside.view([-1 if i == axis else 1 for i in range(len(shape))])
    return found


def roughness(mean: Tensor) -> Tensor:
    """Half the squared differences from all neighbours, summed over axes of the displacement.

    Args:
        mean: (B, D, *S), voxels.

    Returns:
        (B, *S), whose sum over voxels is the sum over axes of μᵀ L μ: each edge counts once, half
        at either end.
    """
    found = torch.zeros_like(mean[:, 0])
    for axis in range(1, found.ndim):
        halves = mean.diff(dim=axis + 1).square().sum(1) / 2
        none = torch.zeros_like(halves.narrow(axis, 0, 1))
        found = found + torch.cat([none, halves], axis) + torch.cat([halves, none], axis)
    return found


def squared_sums(mean: Tensor) -> Tensor:
    """Squared sum over voxels of each axis, summed over axes; (B,)."""
    return mean.flatten(2).sum(2).square().sum(1)
