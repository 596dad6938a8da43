"""The prior of displacements as the published code computes it, to compare with.

Against `bench.models.prior`, in the code of Czolbe, Feragen and Krause (arXiv:2106.08233): each
edge counts twice in μᵀ L μ and once in the trace; voxels at the border have as many neighbours as
others; in 2D a third axis of mean 0 and variance 1 enters the traces, while D stays 2; and the KL
divergence lacks its constants, which only shift a map.
"""

import math

from torch import Tensor

from bench.models.prior import Strength, roughness, squared_sums

DUMMY_VARIANCE = 1.0  # of the third axis of 2D images


def published_strength(mean: Tensor, log_variance: Tensor) -> Strength:
    """α and β; arguments as of `bench.models.prior.fitted_strength`."""
    count, ndim = mean[0, 0].numel(), mean.shape[1]
    variance = _variances(log_variance)
    along = 2 * ndim * variance + 2 * roughness(mean)
    total = variance.flatten(1).sum(1) + squared_sums(mean)
    log_alpha = math.log((count - 1) * ndim) - along.flatten(1).sum(1).mean().log()
    return Strength(log_alpha, math.log(count**2 * ndim) - total.mean().log())


def published_kl_map(mean: Tensor, log_variance: Tensor, strength: Strength) -> Tensor:
    """KL divergence without constants, (B, *S); arguments as of `bench.models.prior.kl_map`."""
    count, ndim = mean[0, 0].numel(), mean.shape[1]
    alpha, beta = strength.log_alpha.exp(), strength.log_beta.exp()
    determinants = ((count - 1) * strength.log_alpha + strength.log_beta) * ndim / count
    shared = beta / count**3 * squared_sums(mean) - determinants
    of_voxels = (
        (2 * ndim * alpha + beta / count**2) * _variances(log_variance)
        + 2 * alpha * roughness(mean)
        - log_variance.sum(1)
    )
    return (of_voxels + shared.view(-1, *[1] * ndim)) / 2


def _variances(log_variance: Tensor) -> Tensor:
    """Sum over axes of the variance at each voxel, (B, *S), with that of the third axis in 2D."""
    variance = log_variance.exp().sum(1)
    return variance + DUMMY_VARIANCE if log_variance.shape[1] == 2 else variance
