"""Methods: how a displacement comes about (group `model`).

A method is a class with `register`; any `torch.nn.Module` that maps two images to a displacement
is a network, which the suite trains and wraps (`bench.models.network`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from bench.errors import Diverged
from bench.pair import Pair, each


@dataclass(frozen=True)
class Objective:
    """What a registration minimizes: D(I∘Φ, J) + λ R.

    Attributes:
        similarity: D, a callable on pairs; None if the method does not use one.
        regularizer: R, a callable on displacements (B, D, *S) or velocities; None likewise.
        weight: λ.
    """

    similarity: Any
    regularizer: Callable[[Tensor], Tensor] | None
    weight: float

    def losses(self, pair: Pair, regularized: Tensor) -> dict[str, Tensor]:
        """`loss`, `similarity` and unweighted `regularization` of a batch, scalars.

        Args:
            pair: The batch under its displacement.
            regularized: What R is of: u, or the velocity that u comes from.
        """
        assert self.regularizer is not None
        regularization = self.regularizer(regularized)
        similarity = self.similarity(pair)
        return {
            "loss": similarity + self.weight * regularization,
            "similarity": similarity,
            "regularization": regularization,
        }

    def coarser(self, factor: int) -> "Objective":
        """The objective for images whose voxels are `factor` times as large.

        A metric that depends on the voxel's size says how by its method `coarser(factor)`.
        """
        adapt = getattr(self.similarity, "coarser", None)
        return replace(self, similarity=adapt(factor)) if adapt and factor > 1 else self

    def each(self, pair: Pair, regularized: Tensor) -> tuple[Tensor, Tensor]:
        """D and R of each pair of a batch, as if it were alone; (B,) both.

        Args:
            pair: The batch under its displacement.
            regularized: What R is of: u, or the velocity that u comes from.
        """
        assert self.regularizer is not None
        separate = getattr(self.regularizer, "each", None)
        if separate and len(regularized) > 1:
            regularization = separate(regularized)
        else:
            regularization = torch.stack([self.regularizer(u) for u in regularized.split(1)])
        return each(self.similarity, pair), regularization


class Method(Protocol):
    """What registers pairs.

    A section of the configuration names the class by `_target_`, `ndim` and `image_channels` are
    added to its arguments. `uses` in the section lists what the method needs of `metric` and
    `regularizer`; what it does not list is no part of a run's identity.

    Optional: `needs` names what `uses` must list; `batch`, a key of the section, is how many pairs
    it wants at once in tests; `connect(setup)` is called once when it is built;
    `accepts(objective)` and `supports(ndim, channels, labels)` say why it cannot work, or None;
    `inverse(pair, objective)` gives the inverse displacements, and `seconds(pair)` how long it took
    where that is not to be measured here.
    """

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels of a batch of pairs."""


def displacement_by(method: Method, pair: Pair, objective: Objective) -> Tensor:
    """Displacement (B, D, *S) of a batch, finite.

    Raises:
        Diverged: If the method gives another one.
    """
    u = method.register(pair, objective)
    finite = u.flatten(1).isfinite().all(1).tolist()
    if not all(finite):
        first = finite.index(False)
        moving, fixed = pair.ids[first] if pair.ids else ("the moving", "the fixed image")
        raise Diverged(
            f"The displacement of {moving} to {fixed} has NaN or infinite values. If the metric is "
            "yours, look for a root or logarithm of 0; otherwise try a larger regularizer.weight."
        )
    return u


def inverse_of(method: Any, pair: Pair, objective: Objective) -> Tensor | None:
    """Displacement (B, D, *S) of the inverse transforms; None if the method has none."""
    inverse = getattr(method, "inverse", None)
    return inverse(pair, objective) if inverse else None


def reason_against(method: Any, ndim: int, channels: int, labels: bool) -> str | None:
    """Why a method or metric cannot work on such images; None if it can or does not say."""
    supports = getattr(method, "supports", None)
    return supports(ndim, channels, labels) if supports else None


def reason_against_objective(method: Any, objective: Objective) -> str | None:
    """Why a method cannot minimize an objective; None if it can or does not say."""
    accepts = getattr(method, "accepts", None)
    return accepts(objective) if accepts else None
