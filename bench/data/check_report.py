"""Findings of `bench.data.check`."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from bench.data.sources.subject import Raw
from bench.errors import counted


@dataclass
class SplitReport:
    """Content of the files of one split.

    Attributes:
        subjects: Number of subjects.
        pairs: Number of pairs; None if they cannot be made.
        shapes: How often each shape occurs in the files.
        spacings: How often each spacing occurs, with its unit.
        orientations: How often each orientation occurs.
        stored: Least and largest intensity in the files.
        normalized: Least and largest intensity after preprocessing.
        shown: Some subjects after preprocessing, for the contact sheet.
    """

    subjects: int = 0
    pairs: int | None = None
    shapes: Counter = field(default_factory=Counter)
    spacings: Counter = field(default_factory=Counter)
    orientations: Counter = field(default_factory=Counter)
    stored: tuple[float, float] | None = None
    normalized: tuple[float, float] | None = None
    shown: list[tuple[str, np.ndarray, np.ndarray | None]] = field(default_factory=list)


@dataclass
class LabelReport:
    """Occurrences of a class, or of an undeclared id.

    Attributes:
        name: The class, or `not declared`.
        ids: Its ids in the files.
        voxels: Number of voxels.
        subjects: Number of subjects in which it occurs.
        rest: Voxels of each id that the label table does not name, where one class takes the rest.
    """

    name: str
    ids: set[int] = field(default_factory=set)
    voxels: int = 0
    subjects: int = 0
    rest: Counter = field(default_factory=Counter)


@dataclass
class MaskReport:
    """How much the masks of a data set cover.

    Attributes:
        shares: Share of each mask's voxels that lie inside.
        labelled: Voxels outside that have a label in the files.
    """

    shares: list[float] = field(default_factory=list)
    labelled: int = 0

    def add(self, raw: Raw | None) -> None:
        """Adds a subject, which may have no mask."""
        if raw is None or raw.mask is None:
            return
        self.shares.append(float(raw.mask.mean()))
        if raw.labels is not None:
            self.labelled += int(np.count_nonzero(raw.labels[~raw.mask]))

    def note(self, subjects: int) -> str:
        """A line on the masks of this many subjects."""
        line = (
            f"{len(self.shares)} of {subjects} subjects have a mask; on average "
            f"{np.mean(self.shares):.1%} of the voxels lie inside"
        )
        if self.labelled:
            line += f"; {counted(self.labelled, 'voxel')} outside have labels; those become 0"
        return line


@dataclass
class CheckReport:
    """Findings in a data set.

    Attributes:
        name: The data set.
        splits: By split, in the order of `SPLITS`, then the atlas.
        labels: Classes that occur, in their order, then ids that are not declared.
        faults: Faults that make it unusable, one line each.
        notes: Observations, one line each.
    """

    name: str
    splits: dict[str, SplitReport] = field(default_factory=dict)
    labels: list[LabelReport] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
