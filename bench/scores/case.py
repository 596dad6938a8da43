"""The input of scores: a test pair under a displacement."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")

GIVEN = {  # what a score can need, and the attributes of a case that are it
    "displacement": ("displacement",),
    "reverse": ("displacement", "reverse"),
    "labels": ("warped", "fixed"),
    "seconds": ("seconds",),
    "similarity": ("similarity",),
    "landmarks": ("displacement", "landmarks"),
    "change": ("change",),
}


@dataclass
class Case:
    """A pair under a displacement; None means unknown, and the scores that need it do not apply.

    Attributes:
        displacement: u (1, D, *S), voxels.
        warped: Warped moving label map (*S), whole numbers 0..classes-1.
        fixed: Fixed label map (*S), likewise.
        classes: Number of classes, background included.
        spacing: Edge lengths of a voxel.
        spacing_unit: Their unit: mm, µm, nm or px.
        seconds: Time of the registration.
        similarity: D of the pair under the displacement.
        reverse: Displacement (1, D, *S) of the registration of fixed to moving, voxels.
        landmarks: Points of moving and fixed (N, D) each, voxels, NaN where one is missing.
        mask: Where scores of labels and of the displacement count (*S); None for everywhere.
        change: Where the fixed image shows what the moving one lacks, or the other way round, (*S)
            bool; None if that is not known.
        maps: What is large where a method suspects a change (*S), by name.
        counted: Which voxels count (*S) bool; None for all.
    """

    displacement: Tensor | None = None
    warped: Any = None
    fixed: Any = None
    classes: int = 0
    spacing: Sequence[float] = ()
    spacing_unit: str = "mm"
    seconds: float | None = None
    similarity: float | None = None
    reverse: Tensor | None = None
    landmarks: tuple[Tensor, Tensor] | None = None
    mask: Tensor | None = None
    change: Any = None
    maps: Mapping[str, Any] = field(default_factory=dict)
    counted: Any = None
    _kept: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def has(self, needs: Collection[str]) -> bool:
        """Whether everything that a score needs, of `GIVEN`, is known."""
        return all(getattr(self, part) is not None for need in needs for part in GIVEN[need])

    def only(self, needs: Collection[str]) -> "Case":
        """The case without what none of some scores needs."""
        without: dict[str, Any] = {
            part: None for need, parts in GIVEN.items() if need not in needs for part in parts
        }
        return replace(self, **without)

    def keep(self, name: str, compute: Callable[[], T]) -> T:
        """What `compute` gives, computed once for this case: what several scores need."""
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]

    def __getstate__(self) -> dict[str, Any]:
        state = {one.name: getattr(self, one.name) for one in fields(self)} | {"_kept": {}}
        for name in ("displacement", "reverse"):
            if state[name] is not None:
                state[name] = state[name].cpu()
        return state


def within(values: Tensor, mask: Tensor | None) -> Tensor:
    """The values at voxels that a mask holds.

    Args:
        values: (B, *T) of voxels p, or of differences, which leave voxels out at the border: of
            one voxel the last, of more as many at both ends.
        mask: (*S), at least as large; None for all.

    Returns:
        (B, N), or the values as they are.
    """
    if mask is None:
        return values
    sizes = zip(mask.shape, values.shape[1:], strict=True)
    places = tuple(slice((size - n) // 2, (size - n) // 2 + n) for size, n in sizes)
    return values[:, mask[places].to(values.device)]
