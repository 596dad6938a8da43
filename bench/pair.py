"""A pair of images: what is registered, and what a similarity metric may look at."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.errors import DataError
from bench.spatial.displacement import displacement_at, inside_grid, warp

T = TypeVar("T")


class Pair:
    """A batch of moving and fixed images and the displacement between them.

    What is derived is computed when first asked for, and once: a metric that only looks at
    images never pays for labels.

    Args:
        moving: (B, C, *S) float32.
        fixed: (B, C, *S) float32.
        u: Displacement (B, D, *S) float32, voxels; None for the pair as it is.
        segmentations: Called when labels are first asked for; gives the label maps (B, 1, *S)
            of moving and fixed, whole numbers 0..classes-1. None if there are no labels.
        classes: Number of classes, background included.
        ids: Moving and fixed subject of each pair; None where images have been changed.
        landmarks: Called when points are first asked for; gives those of moving and fixed
            (B, N, D), voxels, NaN where one is missing. None if there are none.
        change: Where the fixed images show what the moving ones lack or the other way round
            (B, 1, *S) bool; None if that is not known.
    """

    def __init__(
        self,
        moving: Tensor,
        fixed: Tensor,
        u: Tensor | None = None,
        segmentations: Callable[[], tuple[Tensor, Tensor]] | None = None,
        classes: int = 0,
        ids: Sequence[tuple[str, str]] | None = None,
        landmarks: Callable[[], tuple[Tensor, Tensor]] | None = None,
        change: Tensor | None = None,
    ) -> None:
        self.moving = moving
        self.fixed = fixed
        self._u = u
        self.classes = classes
        self.change = change
        self.ids = None if ids is None else list(ids)
        self._read_segmentations = segmentations
        self._read_landmarks = landmarks
        self._kept: dict[Any, Any] = {}

    def keep(self, key: Any, compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once for this pair under all displacements.

        For what a metric needs of the images alone, such as features of the fixed image.

        Args:
            key: Tells what is kept from all else, such as the metric itself.
            compute: Called when it is first asked for; must not look at u.
        """
        if key not in self._kept:
            self._kept[key] = compute()
        return self._kept[key]

    def at(self, u: Tensor) -> "Pair":
        """The same pair under another displacement; label maps are read once for both.

        Args:
            u: (B, D, *S) float32, voxels.
        """
        read = (lambda: self.segmentations) if self.has_labels else None
        points = (lambda: self.landmarks) if self.has_landmarks else None
        ours = (self.classes, self.ids, points, self.change)
        pair = Pair(self.moving, self.fixed, u, read, *ours)
        pair._kept = self._kept
        return pair

    def reversed(self) -> "Pair":
        """Fixed onto moving, not displaced; changes on that grid are not known."""
        read = (lambda: self.segmentations[::-1]) if self.has_labels else None
        ids = None if self.ids is None else [(fixed, moving) for moving, fixed in self.ids]
        points = (lambda: self.landmarks[::-1]) if self.has_landmarks else None
        return Pair(self.fixed, self.moving, None, read, self.classes, ids, points)

    def one(self, index: int) -> "Pair":
        """One pair of the batch, as a batch of one; asked for again, it has kept what it kept."""
        part = self.some([index])
        part._kept = self.keep(("one", index), dict)
        return part

    def some(self, indices: list[int]) -> "Pair":
        """Some pairs of the batch, in this order."""
        first, count = indices[0], len(indices)
        part: Any = indices
        if indices == list(range(first, first + count)):
            part = slice(first, first + count)  # a view

        def segmentations() -> tuple[Tensor, Tensor]:
            moving, fixed = self.segmentations
            return moving[part], fixed[part]

        def landmarks() -> tuple[Tensor, Tensor]:
            moving, fixed = self.landmarks
            return moving[part], fixed[part]

        return Pair(
            self.moving[part],
            self.fixed[part],
            None if self._u is None else self._u[part],
            segmentations if self.has_labels else None,
            self.classes,
            None if self.ids is None else [self.ids[index] for index in indices],
            landmarks if self.has_landmarks else None,
            None if self.change is None else self.change[part],
        )

    @property
    def has_labels(self) -> bool:
        """Whether the pair has label maps."""
        return self._read_segmentations is not None

    @property
    def has_landmarks(self) -> bool:
        """Whether the pair has points."""
        return self._read_landmarks is not None

    @cached_property
    def u(self) -> Tensor:
        """Displacement (B, D, *S) float32, voxels."""
        if self._u is not None:
            return self._u
        batch, _, *shape = self.moving.shape
        return self.moving.new_zeros(batch, len(shape), *shape)

    @cached_property
    def warped(self) -> Tensor:
        """The moving image at p + u(p); (B, C, *S), differentiable in u."""
        return warp(self.moving, self.u)

    @cached_property
    def warped_labels(self) -> Tensor:
        """One-hot moving labels, warped linearly; (B, K, *S) in [0, 1], differentiable in u."""
        return warp(one_hot(self.segmentations[0], self.classes), self.u)

    @cached_property
    def fixed_labels(self) -> Tensor:
        """One-hot fixed labels; (B, K, *S) float32."""
        return one_hot(self.segmentations[1], self.classes)

    @cached_property
    def segmentations(self) -> tuple[Tensor, Tensor]:
        """Label maps of moving and fixed, as whole numbers; (B, 1, *S) each.

        Raises:
            DataError: If the data set has no labels.
        """
        return _asked_for("labels", self._read_segmentations)

    @cached_property
    def landmarks(self) -> tuple[Tensor, Tensor]:
        """Corresponding points of moving and fixed; (B, N, D) float32 each, voxels, NaN if missing.

        Raises:
            DataError: If the data set has no landmarks.
        """
        return _asked_for("landmarks", self._read_landmarks)

    @cached_property
    def mapped_landmarks(self) -> Tensor:
        """The fixed points p at p + u(p), in the moving image; (B, N, D), differentiable in u."""
        _, fixed = self.landmarks
        return fixed + displacement_at(self.u, fixed)

    @cached_property
    def counted_landmarks(self) -> Tensor:
        """Which points both images have, and inside; (B, N)."""
        shape = self.fixed.shape[2:]
        moving, fixed = self.landmarks
        return inside_grid(moving, shape) & inside_grid(fixed, shape)


def _asked_for(what: str, read: Callable[[], T] | None) -> T:
    """What a metric asks for, which not every data set has."""
    if read is None:
        raise DataError(
            f"the metric asks for {what}, but the data set has none: choose a metric that works "
            f"without {what}, or add {what} to the data set"
        )
    return read()


def each(metric: Any, pair: Pair) -> Tensor:
    """D of each pair of a batch, (B,), as if it were alone; for any callable on pairs."""
    separate = getattr(metric, "each", None)
    return separate(pair) if separate else one_by_one(metric, pair)


def one_by_one(metric: Callable[[Pair], Tensor], pair: Pair) -> Tensor:
    """A metric of each pair of a batch, computed one after the other; (B,)."""
    if len(pair.fixed) == 1:
        return metric(pair)[None]
    return torch.stack([metric(pair.one(index)) for index in range(len(pair.fixed))])


def one_hot(segmentation: Tensor, classes: int) -> Tensor:
    """(B, 1, *S) whole numbers to (B, classes, *S) float32."""
    return F.one_hot(segmentation.squeeze(1).long(), classes).movedim(-1, 1).float()
