"""A subject: one image with, perhaps, a label map."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SPLITS = ("train", "val", "test")
ATLAS = "atlas"


@dataclass(frozen=True)
class Subject:
    """One image with, perhaps, a label map.

    Attributes:
        id: Unique name within the data set.
        split: `train`, `val`, `test`, or `atlas`.
        image: The image's file; None for generated subjects.
        labels: The label map's file, if there is one.
    """

    id: str
    split: str
    image: Path | None = None
    labels: Path | None = None


@dataclass(frozen=True)
class Sample:
    """A subject read and preprocessed.

    Attributes:
        image: (C, *S) float32.
        labels: (*S) whole numbers, the data set's own ids; None without labels.
        spacing: Edge lengths of a voxel in mm, or 1 where the files do not say.
    """

    image: np.ndarray
    labels: np.ndarray | None
    spacing: tuple[float, ...]
