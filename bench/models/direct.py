"""Registration without a network: the displacement of each pair is optimized by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from bench.config.numbers import is_count, is_number
from bench.config.overrides import quoted
from bench.errors import ConfigError, Unsupported
from bench.models.checks import is_list, require
from bench.models.control_grid import Axis, expand
from bench.models.convex import convex_start
from bench.models.descent import Stop, minimize
from bench.models.levels import (
    block_centres,
    factors_for,
    pooled_displacement,
    pooled_pair,
)
from bench.models.method import Objective
from bench.pair import Pair
from bench.spatial.displacement import compose, integrate

GRIDS = ("bspline", "dense", "velocity")
STARTS = ("identity", "convex")


@dataclass(frozen=True)
class Level:
    """One stage from coarse to fine.

    Attributes:
        spacing: Voxels of the image between two control points.
        pooling: Edge in voxels of the blocks that images are averaged over.
        steps: The most steps of descent.
        rate: Learning rate in voxels.
    """

    spacing: float
    pooling: int
    steps: int
    rate: float


class Direct:
    """Optimizes the displacement of each pair for D + λR by Adam, from coarse to fine.

    Args:
        ndim: Spatial axes of the images, 2 or 3.
        image_channels: Channels of the images.
        grid: `bspline`: cubic B-splines; `dense`: a vector for each voxel of a level's images;
            `velocity`: cubic B-splines of a velocity, which is integrated and regularized.
        spacing: Voxels between two control points, a number for each level. Not used by `dense`.
        pooling: Edge in voxels of the blocks that images are averaged over, for each level; the
            last is 1. Short axes are pooled less.
        steps: The most steps, for each level.
        rate: Adam's learning rate in voxels, for each level.
        patience: Steps between two looks at whether a pair still gains; 0 makes all steps.
        gain: Share of its loss that a pair must gain between two looks to go on.
        start: `identity`, or `convex`: a search over whole displacements first, for metrics with
            `descriptors`; see `bench.models.convex`.
        batch: Pairs that are registered at once when a run is tested.
    """

    needs = ("metric", "regularizer")

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        grid: str = "bspline",
        spacing: Sequence[float] = (32, 16, 8, 4),
        pooling: Sequence[int] = (8, 4, 2, 1),
        steps: Sequence[int] = (40, 40, 20, 10),
        rate: Sequence[float] = (2, 1, 0.5, 0.3),
        patience: int = 5,
        gain: float = 1e-3,
        start: str = "identity",
        batch: int = 1,
    ) -> None:
        require("grid", grid, grid in GRIDS, f"one of {', '.join(GRIDS)}")
        require("start", start, start in STARTS, f"one of {', '.join(STARTS)}")
        schedule = {"spacing": spacing, "pooling": pooling, "steps": steps, "rate": rate}
        levels = f"{len(spacing)} numbers" if is_list(spacing) else "numbers"
        for name, values in schedule.items():
            require(name, values, is_list(values), f"a list of {levels}, one for each level")
            if len(values) != len(spacing):
                raise ConfigError(
                    f"model.{name}={quoted(values)}: has {len(values)} numbers, but model.spacing "
                    f"has {len(spacing)}; each level needs one of both."
                )
        for name, values in (("pooling", pooling), ("steps", steps)):
            whole = all(is_count(value) for value in values)
            require(name, list(values), whole, "whole numbers of at least 1")
        wide = all(is_number(value) and value >= 1 for value in spacing)
        require("spacing", list(spacing), wide, "numbers of at least 1")
        positive = all(is_number(value) and value > 0 for value in rate)
        require("rate", list(rate), positive, "numbers above 0")
        require("pooling", list(pooling), pooling[-1] == 1, "1 at the last level")
        require("patience", patience, is_count(patience, 0), "a whole number of at least 0")
        require("gain", gain, is_number(gain) and 0 <= gain < 1, "a share from 0 to below 1")
        require("batch", batch, is_count(batch), "a whole number of at least 1")
        self.batch = batch
        self.ndim = ndim
        self.grid = grid
        self.levels = [Level(*level) for level in zip(spacing, pooling, steps, rate, strict=True)]
        self.stop = Stop(patience, gain)
        self.start = start

    def accepts(self, objective: Objective) -> str | None:
        """Why it cannot minimize an objective; None if it can."""
        if self.start == "convex" and not hasattr(objective.similarity, "descriptors"):
            return "model.start=convex needs a metric of features, such as mind or deepsim_ae"
        return None

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32, voxels; no pair's depends on the others."""
        start = None
        if self.start == "convex":
            start = convex_start(pair, objective.similarity)
        return self._descend(pair, objective, start, self.levels)[0]

    def inverse(self, pair: Pair, objective: Objective) -> Tensor | None:
        """Displacement (B, D, *S) of the inverse transforms, from registering once more.

        None unless the whole displacement is an integrated velocity.
        """
        if self.grid != "velocity" or self.start != "identity":
            return None
        return integrate(-self._descend(pair, objective, None, self.levels)[1])

    def refine(self, pair: Pair, objective: Objective, u: Tensor, steps: int) -> Tensor:
        """Goes on from a displacement, at the finest level.

        Args:
            pair: The batch.
            objective: What is minimized.
            u: (B, D, *S) float32, voxels.
            steps: The most steps.
        """
        return self._descend(pair, objective, u, [replace(self.levels[-1], steps=steps)])[0]

    def _descend(
        self,
        pair: Pair,
        objective: Objective,
        start: Tensor | None,
        levels: Sequence[Level],
    ) -> tuple[Tensor, Tensor]:
        """u, and the displacement or velocity that the splines of the last level are."""
        control: Tensor | None = None
        axes: list[Axis] | None = None
        for level in levels:
            stage = _Stage(self.grid, pair, objective, start, level)
            if axes is None or control is None:
                control = stage.zeros()
            else:
                control = stage.from_coarser(control, axes)
            axes = stage.axes
            control, _ = minimize(stage.losses, control, level.steps, level.rate, self.stop)
        assert axes is not None
        assert control is not None
        whole = [axis.values(block_centres(axis.size, 1)).to(control) for axis in axes]
        field = expand(control, whole)
        return combined(self.grid, field, start)[0], field


class _Stage:
    """What a level minimizes, as a function of control values in voxels of the image."""

    def __init__(
        self, grid: str, pair: Pair, objective: Objective, start: Tensor | None, level: Level
    ) -> None:
        shape = pair.fixed.shape[2:]
        self.grid = grid
        self.factors = factors_for(shape, level.pooling)
        self.objective = objective.coarser(min(self.factors))
        self.pair = pooled_pair(pair, self.factors)
        self.parts: tuple[list[int], Pair] = (list(range(len(pair.fixed))), self.pair)
        self.start = None if start is None else pooled_displacement(start, self.factors)
        if grid == "dense":
            self.axes = [
                Axis.covering(size, factor, 1, (factor - 1) / 2)
                for size, factor in zip(shape, self.factors, strict=True)
            ]
        else:
            self.axes = [Axis.covering(size, level.spacing, 3) for size in shape]
        self.matrices = [
            axis.values(block_centres(axis.size, factor)).to(pair.fixed)
            for axis, factor in zip(self.axes, self.factors, strict=True)
        ]
        self.scale = pair.fixed.new_tensor(self.factors).view(1, -1, *[1] * len(shape))

    def zeros(self) -> Tensor:
        """Control values of the identity."""
        counts = [axis.count for axis in self.axes]
        return self.pair.fixed.new_zeros(len(self.pair.fixed), len(counts), *counts)

    def from_coarser(self, control: Tensor, axes: Sequence[Axis]) -> Tensor:
        """Control values of this grid that say what another grid's say."""
        both = zip(self.axes, axes, strict=True)
        return expand(control, [ours.from_coarser(theirs).to(control) for ours, theirs in both])

    def losses(self, control: Tensor, active: list[int]) -> Tensor:
        """D + λR of some of the pairs; (b,)."""
        if active != self.parts[0]:
            self.parts = active, self.pair.some(active)
        u, regularized = self._fields(control, None if self.start is None else self.start[active])
        similarity, regularization = self.objective.each(self.parts[1].at(u), regularized)
        if not similarity.requires_grad:
            raise Unsupported(
                "model=direct needs a metric that is differentiable in the displacement, and "
                f"{_name(self.objective.similarity)} is not. Choose another metric."
            )
        return similarity + self.objective.weight * regularization

    def _fields(self, control: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor]:
        """u and what is regularized, in voxels of the level."""
        field = expand(control, self.matrices)
        if any(factor > 1 for factor in self.factors):
            field = field / self.scale
        return combined(self.grid, field, start)


def combined(grid: str, field: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor]:
    """u, which begins at `start`, and what of it is regularized: u or the velocity."""
    if grid == "velocity":
        u = integrate(field)
        return (u if start is None else compose(u, start)), field
    u = field if start is None else field + start
    return u, u


def _name(metric: Any) -> str:
    return getattr(metric, "__name__", type(metric).__name__)
