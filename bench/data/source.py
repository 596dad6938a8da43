"""Where subjects come from: the base of every data set."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.data.nifti import Intensity, read_subject
from bench.data.subject import Sample, Subject
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class Source(ABC):
    """A data set as its YAML describes it.

    Attributes:
        name: The data set's name.
        ndim: 2 or 3 spatial axes.
        classes: Names of the label ids, or the number N of ids 0..N-1. Id 0 is background.
        pairs: Pairing policy of each split; see `bench.data.pairs`.
        root: Folder of the files.
        shape: Shape that volumes are cropped or padded to, centred; None keeps them.
        intensity: How intensities are normalized; see `bench.data.nifti.Intensity`.
    """

    name: str
    ndim: int
    classes: int | Mapping[int, str]
    pairs: Mapping[str, str]
    root: str | Path | None = None
    shape: Sequence[int] | None = None
    intensity: Mapping[str, Any] = field(default_factory=lambda: {"policy": "keep"})

    def __post_init__(self) -> None:
        if self.ndim not in (2, 3):
            raise ConfigError(f"dataset.ndim={self.ndim}: must be 2 or 3.")
        if self.shape is not None and len(self.shape) != self.ndim:
            raise ConfigError(
                f"dataset.shape={list(self.shape)}: must have {self.ndim} numbers, one per axis."
            )

    @abstractmethod
    def subjects(self) -> list[Subject]:
        """All subjects, in an order that the files alone determine.

        Raises:
            DataError: If the folder is missing, empty, or not laid out as it should be.
        """

    def load(self, subject: Subject) -> Sample:
        """Reads and preprocesses one subject.

        Raises:
            DataError: If a file cannot be read or does not hold what it should.
        """
        assert subject.image is not None
        return read_subject(
            subject.image,
            subject.labels,
            intensity=Intensity.from_config(self.intensity),
            shape=self.shape,
            declared=set(self.class_names()),
        )

    def class_names(self) -> dict[int, str]:
        """Name of each declared label id."""
        if isinstance(self.classes, int):
            return {0: "background"} | {i: f"label {i}" for i in range(1, self.classes)}
        return {int(i): str(name) for i, name in self.classes.items()}

    def settings(self) -> dict[str, Any]:
        """What, besides the files, determines the preprocessed arrays."""
        return {
            "source": type(self).__qualname__,
            "ndim": self.ndim,
            "classes": {str(i): name for i, name in self.class_names().items()},
            "shape": None if self.shape is None else list(self.shape),
            "intensity": dict(self.intensity),
        }

    def files_state(self, subjects: Sequence[Subject]) -> list[Any]:
        """Path, size and time of change of every file: cheap, and new when a file is."""
        state: list[Any] = []
        for subject in subjects:
            for path in (subject.image, subject.labels):
                if path is not None:
                    try:
                        status = path.stat()
                    except OSError as error:
                        raise DataError(
                            f"dataset {self.name}: {path} of subject {subject.id} is missing. "
                            "Copy it there, or take the subject out of the list."
                        ) from error
                    state.append([subject.id, subject.split, str(path.absolute())])
                    state[-1] += [status.st_size, status.st_mtime_ns]
        return state

    def fingerprint(self, subjects: Sequence[Subject]) -> str:
        """SHA-256 over the content of all files: the same wherever the files lie."""
        digest = hashlib.sha256()
        for subject in subjects:
            digest.update(f"{subject.id}/{subject.split}".encode())
            for path in (subject.image, subject.labels):
                if path is not None:
                    digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def existing_root(self) -> Path:
        """The data set's folder.

        Raises:
            DataError: If it is not given, missing or empty.
        """
        remedy = f"Pass dataset.root=PATH; datasets/{self.name}/README.md says how to get the data."
        if self.root is None:
            raise DataError(f"dataset {self.name}: no folder is given. {remedy}")
        root = Path(self.root)
        if not root.is_dir():
            raise DataError(f"dataset {self.name}: the folder {root} does not exist. {remedy}")
        if all(entry.name == "README.md" for entry in root.iterdir()):
            raise DataError(f"dataset {self.name}: the folder {root} is empty. {remedy}")
        return root
