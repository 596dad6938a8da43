"""A subject: one image with, perhaps, a label map and landmarks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.config.image_parts import check_name
from bench.data.landmarks.points import Landmarks

TEST = "test"
SPLITS = ("train", "val", TEST)
ATLAS = "atlas"


@dataclass(frozen=True)
class Subject:
    """One image with, perhaps, a label map and landmarks.

    Attributes:
        id: Unique name within the data set.
        split: `train`, `val`, `test`, or `atlas`.
        image: The image's file; None for generated subjects.
        labels: The label map's file, if there is one.
        page: Which page of both files, for image stacks; None for a file that holds one image.
        series: The stack or sequence it belongs to; None if it stands alone.
        place: Its slice or frame number in the series.
        further: Files of further channels, on the image's grid.
        landmarks: The file of its points, if there is one.
        mask: The file of its mask, if there is one.

    Raises:
        DataError: If the name of a file is not UTF-8.
    """

    id: str
    split: str
    image: Path | None = None
    labels: Path | None = None
    page: int | None = None
    series: str | None = None
    place: int | None = None
    further: tuple[Path, ...] = ()
    landmarks: Path | None = None
    mask: Path | None = None

    def __post_init__(self) -> None:
        for path in (*self.images, self.labels, self.landmarks, self.mask):
            if path is not None:
                check_name(path)

    @property
    def images(self) -> tuple[Path, ...]:
        """The files of all channels."""
        return () if self.image is None else (self.image, *self.further)


@dataclass(frozen=True)
class Raw:
    """A subject in the form of its files, turned to RAS if it is a volume.

    Attributes:
        image: (C, *S) of the file's type.
        labels: (*S) whole numbers, ids of the files; None without labels.
        spacing: Edge lengths of a voxel in mm, or 1 where the files do not state them.
        orientation: Axis codes that the image's file was stored in; empty for pictures.
        affine: (D + 1, D + 1), from voxels to mm in RAS; None where the files do not say.
        unit: Of the spacing: `mm`, or `px` where the files do not say.
        landmarks: Points in voxels of `image`; None without landmarks.
        mask: (*S), True where the image counts; None without a mask.
    """

    image: np.ndarray
    labels: np.ndarray | None
    spacing: tuple[float, ...]
    orientation: str = ""
    affine: np.ndarray | None = None
    unit: str = "mm"
    landmarks: Landmarks | None = None
    mask: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape."""
        return self.image.shape[1:]

    @property
    def lies_in_space(self) -> bool:
        """Whether its file gives the volume a position in space."""
        return self.affine is not None and len(self.orientation) == 3


@dataclass(frozen=True)
class Sample:
    """A subject read and preprocessed.

    Attributes:
        image: (C, *S) float32.
        labels: (*S) whole numbers, ids of the declared classes; None without labels.
        spacing: Edge lengths of a voxel in mm, or 1 where the files do not state them.
        step: If not None, all intensities are whole multiples of it, from 0 to 255 times.
        grid: (D + 1, D + 1), from its voxels to those of the `Raw` that it was made from; None
            for generated subjects.
        unit: Of the spacing: `mm`, or `px` where the files do not say.
        landmarks: Points in voxels of `image`; None without landmarks.
    """

    image: np.ndarray
    labels: np.ndarray | None
    spacing: tuple[float, ...]
    step: float | None = None
    grid: np.ndarray | None = None
    unit: str = "mm"
    landmarks: Landmarks | None = None
