"""Regularizers R(u): what makes a displacement plausible. Zero is best.

A regularizer is a callable `regularizer(u) -> scalar` on displacements (B, D, *S) in voxels;
its weight λ and its YAML are in `conf/regularizer/`.
"""

import torch
from torch import Tensor

from bench.spatial import forward_differences


class Diffusion:
    """Mean squared forward difference of the displacement.

    Squared differences are summed over the axes and divided by their number, then averaged over
    channels and voxels; at the far border the difference is zero (replicate padding). Source:
    Czolbe et al., MIA 2023.
    """

    def __call__(self, u: Tensor) -> Tensor:
        """Scalar, at least 0; 0 for constant displacements."""
        ndim = u.shape[1]
        squares = [forward_differences(u, axis).square().sum() for axis in range(ndim)]
        return torch.stack(squares).sum() / (ndim * u.numel())
