"""A data set ready for training: memory-mapped arrays with splits and pairs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.pairs import Pairs, make_pairs
from bench.data.subject import ATLAS
from bench.errors import DataError

INDEX = "index.json"


@dataclass(frozen=True)
class PreparedDataset:
    """Images and labels of a data set, read from its cache folder when they are needed.

    Attributes:
        folder: The cache folder.
        index: Content of its `index.json`.
        pairing: Policy of each split.
    """

    folder: Path
    index: Mapping[str, Any]
    pairing: Mapping[str, str]

    @classmethod
    def open(cls, folder: Path, pairing: Mapping[str, str]) -> "PreparedDataset":
        """Opens a cache folder; reads its index only."""
        return cls(folder, json.loads((folder / INDEX).read_text()), dict(pairing))

    @property
    def name(self) -> str:
        """The data set's name."""
        return self.index["name"]

    @property
    def fingerprint(self) -> str:
        """Identifies the content of the source files."""
        return self.index["fingerprint"]

    @property
    def ids(self) -> list[str]:
        """Name of each subject."""
        return self.index["ids"]

    @property
    def class_names(self) -> list[str]:
        """Name of each class that occurs, background first; empty without labels."""
        return self.index["class_names"]

    @property
    def spacing(self) -> tuple[float, ...]:
        """Edge lengths of a voxel in mm."""
        return tuple(self.index["spacing"])

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape of every image."""
        return tuple(self.index["shape"])

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.shape)

    @property
    def channels(self) -> int:
        """Channels of every image."""
        return self.index["channels"]

    @property
    def has_labels(self) -> bool:
        """Whether subjects have label maps."""
        return bool(self.class_names)

    @cached_property
    def images(self) -> np.ndarray:
        """(N, C, *S) float16, memory-mapped."""
        return np.load(self.folder / "images.npy", mmap_mode="r")

    @cached_property
    def labels(self) -> np.ndarray | None:
        """(N, 1, *S) uint8, positions in `class_names`, memory-mapped; None without labels."""
        if not self.has_labels:
            return None
        return np.load(self.folder / "labels.npy", mmap_mode="r")

    def members(self, split: str) -> list[int]:
        """Indices of the subjects of a split."""
        return [i for i, own in enumerate(self.index["splits"]) if own == split]

    def pairs(self, split: str) -> Pairs:
        """(moving, fixed) indices of a split.

        Raises:
            DataError: If there is none.
        """
        atlas = next(iter(self.members(ATLAS)), None)
        members = self.members(split)
        pairs = make_pairs(self.pairing[split], members, atlas)
        if not pairs:
            raise DataError(
                f"dataset {self.name}: split {split!r} has {len(members)} subjects, which makes "
                f"no pair by pairing {self.pairing[split]!r}. Add subjects to the split."
            )
        return pairs

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "index": self.index, "pairing": self.pairing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
