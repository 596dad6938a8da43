"""A data set ready for training: memory-mapped arrays with splits and pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bench.config.overrides import quoted
from bench.data.cache.collector import IMAGES, LABELS, LANDMARKS
from bench.data.cache.stored import StoredArrays, read_index
from bench.data.landmarks.pairing import check_pairs
from bench.data.lengths import readable
from bench.data.preprocessing.insertion import Insertion
from bench.data.preprocessing.steps import LEAST, window
from bench.data.sources.pairs import MIRRORED, Members, Pairs, make_policy
from bench.data.sources.roles import FIXED, MOVING
from bench.data.sources.subject import ATLAS, TEST
from bench.errors import ConfigError, DataError, Unsupported, counted

TRAINS_NOTHING = ", or use a method without training, such as model=direct metric=ncc"


def empty_split(name: str, split: str) -> DataError:
    """The error of a data set that lacks the subjects of a required split."""
    return DataError(
        f"dataset {name}: split {split!r} has no subjects, but this run needs some. Add "
        f"subjects{'' if split == TEST else TRAINS_NOTHING}."
    )


def check_axes(name: str, shape: Sequence[int]) -> None:
    """Raises Unsupported if images have an axis too short for derivatives."""
    if min(shape) < LEAST:
        raise Unsupported(
            f"dataset={name} has images of shape {tuple(shape)}: each axis must have at least "
            f"{LEAST} voxels, since scores need derivatives along it. Choose another "
            "dataset.shape, or use slices as 2D images."
        )


@dataclass
class PreparedDataset:
    """Images, labels and landmarks of a data set, read from its cache folder on demand.

    Attributes:
        folder: The cache folder; None if there is no cache.
        index: Content of its `index.json`.
        pairing: Policy of each split.
        insertion: Changes fixed images of test pairs on reading; None: no change.
    """

    folder: Path | None
    index: Mapping[str, Any]
    pairing: Mapping[str, Any]
    insertion: Insertion | None = None

    @classmethod
    def open(
        cls, folder: Path, pairing: Mapping[str, Any], insertion: Insertion | None = None
    ) -> "PreparedDataset":
        """Opens a cache folder; reads its index only.

        Raises:
            DamagedCache: If that has changed since it was written.
        """
        return cls(folder, read_index(folder), dict(pairing), insertion)

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
        """Spatial shape of the arrays: of every image, or the largest along each axis."""
        return tuple(self.index["shape"])

    @property
    def shapes(self) -> Sequence[Sequence[int]] | None:
        """Spatial shape of each subject; None if all have one."""
        return self.index.get("shapes")

    @property
    def shortest_axis(self) -> int:
        """Voxels of the shortest axis of any image."""
        return min(map(min, self.shapes or [self.shape]))

    def common_shape(self, members: Sequence[int]) -> tuple[int, ...]:
        """The shape that holds each of these subjects."""
        if self.shapes is None:
            return self.shape
        return tuple(np.max([self.shapes[i] for i in members], axis=0).tolist())

    def window(self, member: int, shape: Sequence[int]) -> tuple[slice, ...]:
        """The part of the arrays in which a subject is as if padded to a shape, see `padded`."""
        if self.shapes is None:
            return tuple(slice(0, size) for size in self.shape)
        size = self.shapes[member]
        both = zip(window(size, self.shape), window(size, shape), strict=True)
        starts = [there.start - here.start for there, here in both]
        return tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))

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

    def is_changed(self, moving: int, fixed: int) -> bool:
        """Whether the fixed image of a pair gets a change: of those that are tested."""
        splits = self.index["splits"]
        return self.insertion is not None and TEST in (splits[moving], splits[fixed])

    def shape_of(self, member: int) -> tuple[int, ...]:
        """Spatial shape of a subject."""
        return self.shape if self.shapes is None else tuple(self.shapes[member])

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
        return self._stored.whole(LANDMARKS)

    def landmark_names(self, index: int) -> list[str]:
        """Names of a subject's points; numbers from 1 where its file has no names."""
        described = self.index["landmarks"]
        return described["names"][index] or [
            str(number) for number in range(1, described["counts"][index] + 1)
        ]

    @cached_property
    def images(self) -> Any:
        """(N, C, *S) float16, or uint8 to be multiplied with `step`; memory-mapped.

        Subjects that are smaller lie in the middle, see `window`.
        """
        return self._stored.mapped(IMAGES)

    @cached_property
    def labels(self) -> Any:
        """(N, 1, *S) uint8 (uint16 beyond 256 classes), positions in `class_names`,
        memory-mapped; None without labels."""
        return self._stored.mapped(LABELS) if self.has_labels else None

    def images_of(self, members: Sequence[int]) -> np.ndarray:
        """Images of some subjects, as `images` has them.

        Raises:
            DamagedCache: If they have changed since they were written.
        """
        return self._of(IMAGES, self.images, members)

    def labels_of(self, members: Sequence[int]) -> np.ndarray:
        """Labels of some subjects, as `labels` has them; there must be some.

        Raises:
            DamagedCache: If they have changed since they were written.
        """
        assert self.labels is not None
        return self._of(LABELS, self.labels, members)

    def intensities(self, split: str) -> tuple[float, float] | None:
        """Least and greatest intensity of the images of a split; None without any.

        Raises:
            DamagedCache: If they have changed since they were written.
        """
        images = (self.images_of([member]) for member in self.members(split))
        limits = [(float(image.min()), float(image.max())) for image in images]
        if not limits:
            return None
        low, high = min(low for low, _ in limits), max(high for _, high in limits)
        return low * (self.step or 1), high * (self.step or 1)

    def verify(self) -> None:
        """Raises DamagedCache unless the arrays of all subjects are intact."""
        assert self.landmarks is None or len(self.landmarks) == len(self.ids)
        for i in range(len(self.ids)):
            self.images_of([i])
            if self.has_labels:
                self.labels_of([i])

    @cached_property
    def _stored(self) -> StoredArrays:
        assert self.folder is not None
        return StoredArrays(self.folder, self.index)

    def _of(self, name: str, array: Any, members: Sequence[int]) -> np.ndarray:
        """Some subjects of an array, checked if it is stored."""
        blocks: np.ndarray = array[list(members)]
        if self.folder is not None:
            self._stored.check(name, members, blocks)
        return blocks

    def members(self, split: str) -> list[int]:
        """Indices of the subjects of a split."""
        return [i for i, member_of in enumerate(self.index["splits"]) if member_of == split]

    def some_members(self, split: str) -> list[int]:
        """Indices of the subjects of a required split.

        Raises:
            DataError: If there are none.
        """
        indices = self.members(split)
        if not indices:
            raise empty_split(self.name, split)
        return indices

    def images_for(self, split: str, labels: bool) -> list[int]:
        """Indices of the subjects that train or validate an extractor.

        Where the split is empty, an extractor without labels uses the images of another split:
        training, or test if there is no other.

        Args:
            split: `train` or `val`.
            labels: Whether the extractor needs labels.

        Raises:
            DataError: If there are none.
        """
        for other in () if labels else ("train", TEST):
            if not self.members(split):
                split = other
        return self.some_members(split)

    def pairs(self, split: str) -> Pairs:
        """(moving, fixed) indices of a split.

        Raises:
            ConfigError: If the split has no policy.
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
        section = self.pairing.get(split, "given" if given else None)
        if section is None:
            raise ConfigError(
                f"dataset.pairs={quoted(dict(self.pairing))}: has no policy for split {split!r}. "
                f"Add one, such as +dataset.pairs.{split}=cross."
            )
        pairs = make_policy(section, given=bool(given))(members)
        if not pairs:
            subjects = counted(len(indices), "subject")
            need = "needs at least 2" if len(indices) < 2 else "finds no two neighbours"
            raise DataError(
                f"dataset {self.name}: split {split!r} has {subjects}; pairing "
                f"{section!r} {need}. Add subjects to the split."
            )
        if self.has_landmarks:
            check_pairs(self.name, self.index["landmarks"], self.ids, pairs)
        return pairs

    def unpaired(self, split: str) -> list[str]:
        """The subject of a split that pairing `mirrored` leaves out; empty if there is none."""
        section = self.pairing.get(split)
        if self.index["given"] or section not in (MIRRORED, {"policy": MIRRORED}):
            return []
        paired = {member for pair in self.pairs(split) for member in pair}
        return [self.ids[member] for member in self.members(split) if member not in paired]

    def __getstate__(self) -> dict[str, Any]:
        names = ("folder", "index", "pairing", "insertion")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
