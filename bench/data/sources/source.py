"""Sources of subjects: the base class of every data set."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.config.outside import code_of_class
from bench.data.files.colors import converted
from bench.data.landmarks.placing import read_landmarks
from bench.data.preprocessing.insertion import Insertion
from bench.data.preprocessing.intensity import Intensity
from bench.data.preprocessing.label_table import LabelTable
from bench.data.preprocessing.masking import within_mask
from bench.data.preprocessing.noise import with_noise
from bench.data.preprocessing.steps import preprocess
from bench.data.preprocessing.world import Grid
from bench.data.sources.content import fingerprint, where
from bench.data.sources.declared import VOXELS, WORLD, check_declared
from bench.data.sources.root import existing_root
from bench.data.sources.subject import ATLAS, Raw, Sample, Subject
from bench.errors import DataError

UNDECLARED = 256  # ids of a data set that does not declare its classes


@dataclass(kw_only=True)
class Source(ABC):
    """A data set, as described by its YAML.

    Attributes:
        name: The data set's name.
        ndim: 2 or 3 spatial axes.
        classes: Names of the label ids, or the number N of ids 0..N-1. Id 0 is background. Without
            it and `labels` there are up to 256; those that do not occur are dropped.
        labels: Table that merges, drops and names label ids, in place of `classes`; see
            `bench.data.preprocessing.label_table`.
        pairs: Pairing policy of each split; see `bench.data.sources.pairs`.
        root: Folder of the files.
        spacing: Edge lengths of a voxel in mm that images are resampled to; None keeps them.
        border: Voxels cut off at both ends of each axis.
        shape: Shape that images are then cropped or padded to, centred; None keeps it, and pads
            the subjects of a pair to the larger of both sizes.
        intensity: How intensities are normalized; see
            `bench.data.preprocessing.intensity.Intensity`.
        pixel_size: Edge lengths of a voxel in the files in mm, one for all axes or one per axis,
            instead of those that the files state; None keeps these.
        space: `voxels` compares images voxel by voxel, whatever their headers say; `world` first
            resamples all volumes to one grid by their headers.
        reference: The volume that defines this grid, relative to `root`; None: the atlas, or else
            the first subject.
        added_noise: Standard deviation, in normalized intensities, of the Gaussian noise that all
            images get, of training, validation and test; None adds none.
        insert: A change that fixed images of test pairs get, see
            `bench.data.preprocessing.insertion`; None changes none. It is made when pairs are read,
            so neither the cache nor what is trained knows of it.
        color: Conversion of red, green and blue: `grey` or `hed` (haematoxylin), see
            `bench.data.files.colors`; None keeps three channels.
        moving: Channels of moving images, by number from 0 or by name where the files name them;
            None takes all. Extractors learn on those of moving and of fixed images.
        fixed: Channels of fixed images, the same number.

    All fields of a source determine its arrays, and so count for its cache and the identity of
    runs, but those that its class lists in `HARMLESS`, and those of `WITHOUT_NULL` while they are
    None, so that what came before them stays valid. `insert` counts for runs alone. The code of a
    class outside the suite counts as well, see "What counts as your code" in docs/metrics.md.
    """

    HARMLESS: ClassVar[frozenset[str]] = frozenset(
        {"name", "pairs", "root", "insert"} | {"space", "reference"}  # which count by the grid
    )
    WITHOUT_NULL: ClassVar[frozenset[str]] = frozenset(
        {"pixel_size", "added_noise", "color", "moving", "fixed"}
    )

    name: str
    ndim: int
    classes: int | Mapping[int, str] | None = None
    labels: str | Mapping[str, Any] | None = None
    pairs: Mapping[str, Any]
    root: str | Path | None = None
    pixel_size: float | Sequence[float] | None = None
    space: str = VOXELS
    reference: str | None = None
    spacing: Sequence[float] | None = None
    border: int = 0
    shape: Sequence[int] | None = None
    intensity: Mapping[str, Any] = field(
        default_factory=lambda: {"policy": "quantile", "low": 0.01, "high": 0.99}
    )
    added_noise: float | None = None
    insert: str | Mapping[str, Any] | None = None
    color: str | None = None
    moving: int | str | Sequence[int | str] | None = None
    fixed: int | str | Sequence[int | str] | None = None

    def __post_init__(self) -> None:
        check_declared(self)

    @cached_property
    def insertion(self) -> Insertion | None:
        """Inserts changes into fixed images of test pairs; None: no changes."""
        return None if self.insert is None else Insertion.from_config(self.insert)

    @cached_property
    def grid(self) -> Grid | None:
        """The grid that all volumes are resampled to; None where voxels are compared.

        Raises:
            DataError: If the reference cannot be read, or is not a volume.
        """
        if self.space == VOXELS:
            return None
        if self.reference is not None:
            chosen = Subject("reference", ATLAS, self.existing_root() / self.reference)
        else:
            subjects = self.subjects()
            chosen = next((s for s in subjects if s.split == ATLAS), subjects[0])
        raw = self.read(replace(chosen, labels=None, mask=None))
        if raw is None or not raw.lies_in_space:
            raise DataError(
                f"dataset {self.name}: its files have no headers that place images in space. Leave "
                f"dataset.space={WORLD} out."
            )
        return Grid.of(raw)

    def pixel_edges(self) -> tuple[float, ...]:
        """The edge lengths that `pixel_size` gives, in mm; none if it is None."""
        if self.pixel_size is None:
            return ()
        if isinstance(self.pixel_size, int | float):
            return (self.pixel_size,) * self.ndim
        return tuple(self.pixel_size)

    @abstractmethod
    def subjects(self) -> list[Subject]:
        """All subjects, in an order that the files alone determine.

        Raises:
            DataError: If the folder is missing, empty, or has another layout.
        """

    def read(self, subject: Subject) -> Raw | None:
        """Reads the files of one subject; a generated data set has no files and returns None.

        Raises:
            DataError: If a file cannot be read or has unsuitable content.
        """
        return None

    def load(self, subject: Subject) -> Sample:
        """Reads and preprocesses one subject; a generated data set creates it here.

        Raises:
            DataError: If a file cannot be read or has unsuitable content.
        """
        raw = self.read(subject)
        assert raw is not None, f"{type(self).__name__} must define read or load"
        return self.preprocess(subject, raw)

    def sample(self, subject: Subject) -> Sample:
        """The subject for training and test: the result of `load`, with `added_noise`."""
        loaded = self.load(subject)
        level = self.added_noise
        return loaded if level is None else with_noise(loaded, level, subject.id)

    def preprocess(self, subject: Subject, raw: Raw) -> Sample:
        """Preprocesses the content of the files, and reads the file of points.

        Raises:
            DataError: If it differs from what the data set declares.
        """
        if subject.landmarks is not None and raw.landmarks is None:
            raw = replace(raw, landmarks=read_landmarks(subject.landmarks, raw))
        return self._preprocessed(
            subject, within_mask(raw, where(subject, subject.mask)), self.table
        )

    def mask_of(self, subject: Subject) -> np.ndarray | None:
        """Where the preprocessed image of a subject counts; None without a mask.

        Returns:
            (*S), True inside; the mask goes the way of labels, and padding lies outside.
        """
        raw = self.read(subject)
        if raw is None or raw.mask is None:
            return None
        raw = replace(raw, labels=raw.mask.astype(np.uint8))
        labels = self._preprocessed(subject, raw, LabelTable(2, None)).labels
        assert labels is not None
        return labels > 0

    def _preprocessed(self, subject: Subject, raw: Raw, table: LabelTable) -> Sample:
        if self.pixel_size is not None:
            raw = replace(raw, spacing=self.pixel_edges(), unit="mm")
        if self.color is not None:
            colors = converted(raw.image, self.color, where(subject, subject.image))
            raw = replace(raw, image=colors)
        return preprocess(
            raw,
            where(subject, subject.image),
            where(subject, subject.labels),
            table,
            Intensity.from_config(self.intensity),
            self.spacing,
            self.border,
            self.shape,
            self.grid,
        )

    def given_pairs(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Pairs (moving, fixed) of subject ids by split, if the data set itself lists them."""
        return {}

    def channel_names(self) -> Sequence[str] | None:
        """Names of the channels, if the data set itself gives them."""
        return None

    @cached_property
    def table(self) -> LabelTable:
        """Maps the label ids of the files to classes."""
        undeclared = self.classes is None and self.labels is None
        return LabelTable(UNDECLARED if undeclared else self.classes, self.labels)

    def class_names(self) -> dict[int, str]:
        """Name of each declared class by its id."""
        return self.table.names

    def settings(self) -> dict[str, Any]:
        """The settings that, besides the files, determine the preprocessed arrays."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        settings = {
            name: _plain(value)
            for name, value in values.items()
            if name not in self.HARMLESS and not (name in self.WITHOUT_NULL and value is None)
        }
        del settings["labels"]
        code = code_of_class(type(self))
        return {
            "source": type(self).__qualname__,
            **settings,
            "classes": self.table.settings(),
            **({"world": self.grid.settings()} if self.grid else {}),
            **({"code": code} if code else {}),
        }

    def fingerprint(self, subjects: Sequence[Subject]) -> str:
        """SHA-256 over the content of all files, independent of their paths."""
        return fingerprint(subjects)

    def existing_root(self) -> Path:
        """The data set's folder.

        Raises:
            DataError: If it is not given, missing or empty.
        """
        return existing_root(self.name, self.root)


def _plain(value: Any) -> Any:
    """A setting as JSON can hold it, the same in every process."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
