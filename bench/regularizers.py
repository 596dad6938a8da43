"""Regularizers R(u): what makes a displacement plausible. Zero is best.

A regularizer is a callable `regularizer(u) -> scalar` on displacements (B, D, *S) in voxels;
its weight λ and its YAML are in `conf/regularizer/`. Derivatives are forward differences.
"""

from collections.abc import Callable, Iterator, Mapping

import torch.nn.functional as F
from torch import Tensor

from bench.config.numbers import is_number
from bench.config.overrides import quoted
from bench.config.terms import check_terms
from bench.errors import ConfigError
from bench.spatial.jacobian import forward_differences, forward_jacobian, jacobian_determinant

Regularizer = Callable[[Tensor], Tensor]


class Diffusion:
    """Mean squared forward difference of the displacement.

    Squared differences are summed over the axes and divided by their number, then averaged over
    channels and voxels; at the far border the difference is zero (replicate padding). Source:
    Czolbe et al., MIA 2023.
    """

    def __call__(self, u: Tensor) -> Tensor:
        """Scalar, at least 0; 0 for constant displacements."""
        total = u.new_zeros(())
        for before, after in _neighbours(u):
            total = total + F.mse_loss(after, before, reduction="sum")
        return total / (u.shape[1] * u.numel())

    def each(self, u: Tensor) -> Tensor:
        """(B,), of each displacement as if it were alone."""
        total = u.new_zeros(len(u))
        for before, after in _neighbours(u):
            total = total + (after - before).square().flatten(1).sum(1)
        return total / (u.shape[1] * u[0].numel())


def _neighbours(u: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """For each axis the vectors that have a neighbour beyond, and these."""
    for axis in range(2, u.ndim):
        size = u.shape[axis] - 1
        yield u.narrow(axis, 0, size), u.narrow(axis, 1, size)


class Bending:
    """Bending energy: mean squared second difference of the displacement.

    Squares of all second derivatives, mixed ones counted twice, are summed and divided by the
    squared number of axes, then averaged over channels and voxels; where a difference reaches
    over the border it is zero. 0 for affine maps. Source: Rueckert et al., IEEE TMI 1999.
    """

    def __call__(self, u: Tensor) -> Tensor:
        """Scalar, at least 0."""
        ndim = u.shape[1]
        total = u.new_zeros(())
        for first in range(ndim):
            difference = forward_differences(u, first)
            for second in range(first, ndim):
                twice = 1 if first == second else 2
                total = total + twice * forward_differences(difference, second).square().sum()
        return total / (ndim**2 * u.numel())


class Elastic:
    """Energy of linear elasticity: mean over voxels of λ/2 (div u)² + μ Σ ε².

    ε is the symmetric part of ∂u/∂p, so rotations by small angles cost nothing. Taken where all
    forward differences exist. Source: Broit 1981; Modersitzki, Numerical Methods for Image
    Registration, 2004.

    Args:
        mu: Shear modulus μ.
        lam: Lamé's first parameter λ, which weighs changes of volume.
    """

    def __init__(self, mu: float = 1.0, lam: float = 1.0) -> None:
        for name, value in (("mu", mu), ("lam", lam)):
            if not (is_number(value) and value >= 0):
                raise ConfigError(
                    f"regularizer.{name}={quoted(value)}: must be a finite number of at least 0."
                )
        self.mu = mu
        self.lam = lam

    def __call__(self, u: Tensor) -> Tensor:
        """Scalar, at least 0."""
        ndim = u.shape[1]
        rows = forward_jacobian(u)  # rows[j][:, i] is ∂u_i/∂p_j
        divergence = sum((rows[i][:, i] for i in range(1, ndim)), start=rows[0][:, 0])
        energy = self.lam / 2 * divergence.square().mean()
        for i in range(ndim):
            energy = energy + self.mu * rows[i][:, i].square().mean()
            for j in range(i + 1, ndim):
                energy = energy + self.mu / 2 * (rows[j][:, i] + rows[i][:, j]).square().mean()
        return energy


class Folding:
    """Mean over voxels of how far the Jacobian determinant lies below a margin.

    0 where nothing folds, so it goes together with another regularizer. Source: Mok and Chung,
    CVPR 2020.

    Args:
        margin: Determinants below it cost; 0 or more.
    """

    def __init__(self, margin: float = 0.0) -> None:
        if not (is_number(margin) and margin >= 0):
            raise ConfigError(
                f"regularizer.margin={quoted(margin)}: must be a finite number of at least 0."
            )
        self.margin = margin

    def __call__(self, u: Tensor) -> Tensor:
        """Scalar, at least 0."""
        return (self.margin - jacobian_determinant(u)).clamp(min=0).mean()


class WeightedSum:
    """R = `sum of factors[name] * terms[name](u)`.

    Args:
        terms: Regularizers by name.
        factors: A factor for each of them, by the same names.
    """

    def __init__(self, terms: Mapping[str, Regularizer], factors: Mapping[str, float]) -> None:
        check_terms("regularizer", terms, factors)
        self.terms = dict(terms)
        self.factors = dict(factors)

    def __call__(self, u: Tensor) -> Tensor:
        """Scalar."""
        first, *others = (self.factors[name] * term(u) for name, term in self.terms.items())
        return sum(others, start=first)
