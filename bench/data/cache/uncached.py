"""A data set without a cache: reads the files on every use of a subject."""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from bench.data.cache.arrays import describe, stacked_landmarks
from bench.data.cache.collecting import collect
from bench.data.cache.collector import encode, in_the_middle
from bench.data.cache.prepared import PreparedDataset
from bench.data.sources.source import Source
from bench.data.sources.subject import Sample, Subject

REMEMBERED = 4  # subjects, so that image and labels of one are read together


def open_direct(source: Source, subjects: Sequence[Subject]) -> PreparedDataset:
    """Reads and checks everything once, then returns subjects on request.

    Training sees the same data as with a cache.
    """
    collector = collect(source, subjects, folder=None)
    index = describe(source, subjects, collector)
    points = stacked_landmarks(collector)
    return DirectDataset(source, subjects, index, sorted(collector.found), points)


class DirectDataset(PreparedDataset):
    """Like `PreparedDataset`, but holds only points."""

    def __init__(
        self,
        source: Source,
        subjects: Sequence[Subject],
        index: dict[str, Any],
        found: list[int],
        landmarks: np.ndarray | None,
    ) -> None:
        super().__init__(None, index, dict(source.pairs), source.insertion)
        self.source = source
        self.subjects = list(subjects)
        self.found = found
        self.landmarks = landmarks

    @cached_property
    def images(self) -> "_Reader":
        """Gives (N, C, *S) for a list of N positions."""
        return _Reader(self._image)

    @cached_property
    def labels(self) -> "_Reader | None":
        """Gives (N, 1, *S), positions in `class_names`; None without labels."""
        return _Reader(self._labels) if self.has_labels else None

    def _image(self, i: int) -> np.ndarray:
        return encode(self._load(i).image, self.step)

    def _labels(self, i: int) -> np.ndarray:
        labels = self._load(i).labels
        kind = np.uint8 if len(self.class_names) <= 256 else np.uint16
        return np.searchsorted(self.found, labels).astype(kind)[None]

    @cached_property
    def _load(self) -> Any:
        @lru_cache(maxsize=REMEMBERED)
        def load(i: int) -> Sample:
            return in_the_middle(self.source.sample(self.subjects[i]), self.shape)

        return load

    def __getstate__(self) -> dict[str, Any]:
        cached = ("images", "labels", "_load")
        return {key: value for key, value in vars(self).items() if key not in cached}


class _Reader:
    def __init__(self, read: Any) -> None:
        self.read = read

    def __getitem__(self, positions: Any) -> np.ndarray:
        if isinstance(positions, int | np.integer):
            return self.read(int(positions))
        return np.stack([self.read(int(i)) for i in positions])
