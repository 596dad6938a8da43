"""What scores are computed from: a test pair under a displacement."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from bench.scores.overlap import dice_per_class, hd95_per_class

GIVEN = {  # what a score can need, and the attributes of a case that are it
    "displacement": ("displacement",),
    "reverse": ("displacement", "reverse"),
    "labels": ("warped", "fixed"),
    "seconds": ("seconds",),
    "similarity": ("similarity",),
}


@dataclass
class Case:
    """A pair under a displacement; what is None is not known, and its scores do not apply.

    Attributes:
        displacement: u (1, D, *S), voxels.
        warped: Warped moving label map (*S), whole numbers 0..classes-1.
        fixed: Fixed label map (*S), likewise.
        classes: Number of classes, background included.
        spacing: Edge lengths of a voxel.
        spacing_unit: Their unit, `mm` or `px`.
        seconds: Time of the registration.
        similarity: D of the pair under the displacement.
        reverse: Displacement (1, D, *S) of the registration of fixed to moving, voxels.
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

    def has(self, needs: Collection[str]) -> bool:
        """Whether everything that a score needs, of `GIVEN`, is known."""
        return all(getattr(self, part) is not None for need in needs for part in GIVEN[need])

    def only(self, needs: Collection[str]) -> "Case":
        """The case without what none of some scores needs."""
        without: dict[str, Any] = {
            part: None for need, parts in GIVEN.items() if need not in needs for part in parts
        }
        return replace(self, **without)

    @cached_property
    def dice(self) -> Tensor:
        """Dice of each class (classes,) float64; NaN for a class that both maps lack."""
        return dice_per_class(self.warped, self.fixed, self.classes)

    @cached_property
    def hd95(self) -> list[float]:
        """95th percentile surface distance of each class, in the unit of the spacing."""
        return hd95_per_class(self.warped, self.fixed, self.classes, self.spacing)

    def __getstate__(self) -> dict[str, Any]:
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        for name in ("displacement", "reverse"):
            if state[name] is not None:
                state[name] = state[name].cpu()
        return state
