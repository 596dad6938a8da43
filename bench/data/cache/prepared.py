"""A data set ready for training: memory-mapped arrays with splits and pairs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.cache.arrays import IMAGES, LABELS, LANDMARKS
from bench.data.landmarks.pairing import check_pairs
from bench.data.lengths import readable
from bench.data.sources.pairs import Given, Members, Pairs, make_policy
from bench.data.sources.roles import FIXED, MOVING
from bench.data.sources.subject import ATLAS, TEST
from bench.errors import DataError, Unsupported, counted

INDEX = "index.json"
LEAST = 3  # voxels along an axis: central differences take one on each side
TRAINS_NOTHING = ", or train nothing, such as with model=direct metric=ncc"


def empty_split(name: str, split: str) -> DataError:
    """The error of a data set that lacks the subjects of a split that is needed."""
    return DataError(
        f"dataset {name}: split {split!r} has no subjects, and this run needs some. Add them"
        f"{'' if split == TEST else TRAINS_NOTHING}."
    )


def check_axes(name: str, shape: Sequence[int]) -> None:
    """Raises Unsupported if images have an axis along which nothing can be derived."""
    if min(shape) < LEAST:
        raise Unsupported(
            f"dataset={name} has images of shape {tuple(shape)}: each axis must have at least "
            f"{LEAST} voxels, or derivatives along it do not exist. Choose another dataset.shape, "
            "or take slices as 2D images."
        )


@dataclass
class PreparedDataset:
    """Images, labels and landmarks of a data set, read from its cache folder when they are needed.

    Attributes:
        folder: The cache folder; None if there is no cache.
        index: Content of its `index.json`.
        pairing: Policy of each split.
    """

    folder: Path | None
    index: Mapping[str, Any]
    pairing: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path, pairing: Mapping[str, Any]) -> "PreparedDataset":
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
        """Edge lengths of a voxel, in `unit`."""
        return readable(self.index["spacing"], self.index["unit"])[0]

    @property
    def unit(self) -> str:
        """Unit of distances: mm, µm or nm, or `px` where the files do not say."""
        return readable(self.index["spacing"], self.index["unit"])[1]

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
        """Channels that every moving and every fixed image shows."""
        return self.index["channels"]

    @property
    def stored_channels(self) -> int:
        """Channels of every image."""
        return self.index.get("stored_channels") or self.channels

    @property
    def shown_as(self) -> Sequence[str]:
        """The roles in which images look different: one if all show the same channels."""
        return (MOVING,) if self.roles is None else (MOVING, FIXED)

    @property
    def roles(self) -> Mapping[str, Sequence[int]] | None:
        """Channels that `moving` and `fixed` images show; None if they show all."""
        return self.index.get("roles")

    @property
    def step(self) -> float | None:
        """What images of whole numbers are multiplied with; None if they are not whole numbers."""
        return self.index["step"]

    @property
    def has_labels(self) -> bool:
        """Whether subjects have label maps."""
        return bool(self.class_names)

    @property
    def has_landmarks(self) -> bool:
        """Whether subjects have points."""
        return bool(self.index.get("landmarks"))

    @cached_property
    def landmarks(self) -> np.ndarray | None:
        """(N, P, D) float64, voxels, NaN where a subject lacks a point; None without landmarks."""
        if not self.has_landmarks:
            return None
        assert self.folder is not None
        return np.load(self.folder / LANDMARKS)

    def landmark_names(self, index: int) -> list[str]:
        """What the points of a subject are called, by number from 1 where its file does not say."""
        described = self.index["landmarks"]
        return described["names"][index] or [
            str(number) for number in range(1, described["counts"][index] + 1)
        ]

    @cached_property
    def images(self) -> Any:
        """(N, C, *S) float16, or uint8 to be multiplied with `step`; memory-mapped."""
        assert self.folder is not None
        return np.load(self.folder / IMAGES, mmap_mode="r")

    @cached_property
    def labels(self) -> Any:
        """(N, 1, *S) uint8 (uint16 beyond 256 classes), positions in `class_names`,
        memory-mapped; None without labels."""
        if not self.has_labels:
            return None
        assert self.folder is not None
        return np.load(self.folder / LABELS, mmap_mode="r")

    def members(self, split: str) -> list[int]:
        """Indices of the subjects of a split."""
        return [i for i, member_of in enumerate(self.index["splits"]) if member_of == split]

    def some_members(self, split: str) -> list[int]:
        """Indices of the subjects of a split that is needed.

        Raises:
            DataError: If there are none.
        """
        indices = self.members(split)
        if not indices:
            raise empty_split(self.name, split)
        return indices

    def pairs(self, split: str) -> Pairs:
        """(moving, fixed) indices of a split.

        Raises:
            DataError: If there is none, or the landmarks of one do not correspond.
        """
        indices = self.some_members(split)
        places = [tuple(self.index["places"][i]) for i in indices]
        given = self.index["given"]
        members = Members(
            indices=indices,
            atlas=next(iter(self.members(ATLAS)), None),
            places=None if any(place is None for _, place in places) else places,
            given=[(moving, fixed) for moving, fixed in given.get(split, [])] if given else None,
        )
        policy = Given() if given else make_policy(self.pairing[split])
        pairs = policy(members)
        if not pairs:
            subjects = counted(len(indices), "subject")
            raise DataError(
                f"dataset {self.name}: split {split!r} has {subjects}, which makes no pair by "
                f"pairing {self.pairing[split]!r}. Add subjects to the split."
            )
        if self.has_landmarks:
            check_pairs(self.name, self.index["landmarks"], self.ids, pairs)
        return pairs

    def __getstate__(self) -> dict[str, Any]:
        names = ("folder", "index", "pairing")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
