"""Checks that subjects are consistent, and stores them as memory-mapped arrays."""

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.landmarks.points import Landmarks
from bench.data.lengths import listed
from bench.data.preprocessing.steps import crop_or_pad, padded, shift, window
from bench.data.sources.source import Source
from bench.data.sources.subject import Sample, Subject
from bench.errors import DataError

IMAGES = "images.npy"
LABELS = "labels.npy"
RAW_LABELS = "raw_labels.npy"
LANDMARKS = "landmarks.npy"

Shapes = list[list[int]]


class MixedSteps(Exception):
    """Some images cannot be kept in 8 bits with one step."""


class MixedShapes(Exception):
    """Images differ in shape, and the settings give none."""


@dataclass(frozen=True)
class Taken:
    """Data of a subject outside the arrays.

    Attributes:
        ids: Label ids that occur.
        landmarks: Its points, in voxels; None without landmarks.
    """

    ids: set[int]
    landmarks: Landmarks | None


class Collector:
    """Checks that subjects are consistent, and stores them.

    Attributes:
        first: Spacing, kind and, unless shapes are given, shape that all must have.
        step: Factor of the 8-bit images; None keeps images as float16.
        shapes: Spatial shape of each subject, where they differ; arrays then have room for the
            largest, and each subject lies in their middle.
        found: Label ids seen so far.
        landmarks: Of each subject so far, in order.
    """

    def __init__(
        self, source: Source, first: Sample, step: float | None, shapes: Shapes | None
    ) -> None:
        self.name = source.name
        self.known = set(source.class_names())
        self.shapes = shapes
        largest = first.image.shape[1:] if shapes is None else np.max(shapes, axis=0).tolist()
        self.shape = (len(first.image), *largest)
        self.spacing = first.spacing
        self.unit = first.unit
        self.labelled = first.labels is not None
        self.step = step
        self.found: set[int] = {0}
        self.landmarks: list[Landmarks | None] = []
        self.images: np.ndarray | None = None
        self.labels: np.ndarray | None = None

    def create(self, folder: Path, count: int) -> None:
        """Makes room for all subjects."""
        kind = np.uint8 if self.step is not None else np.float16
        create_array(folder / IMAGES, kind, (count, *self.shape))
        if self.labelled:
            ids = np.uint8 if max(self.known) < 256 else np.uint16
            create_array(folder / RAW_LABELS, ids, (count, 1, *self.shape[1:]))
        self.open(folder)

    def open(self, folder: Path) -> None:
        """Opens what `create` made, in any process."""
        self.images = np.load(folder / IMAGES, mmap_mode="r+")
        if self.labelled:
            self.labels = np.load(folder / RAW_LABELS, mmap_mode="r+")

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "images": None, "labels": None}

    def take(self, i: int, subject: Subject, sample: Sample) -> Taken:
        """Checks a subject, writes it if there is room for it, and returns the rest of it.

        Raises:
            DataError: If it is inconsistent with the others.
        """
        if len(sample.image) != self.shape[0]:
            raise DataError(
                f"dataset {self.name}: subject {subject.id} has {len(sample.image)} channel(s), "
                f"but the first subject has {self.shape[0]}. Give every image the same channels; "
                "dataset.color=grey turns colours into one channel."
            )
        if sample.image.shape != self.shape:
            if self.shapes is None:
                raise MixedShapes
            sample = in_the_middle(sample, self.shape[1:])
        if sample.unit != self.unit:
            raise DataError(
                f"dataset {self.name}: the file of subject {subject.id} "
                f"{'states' if sample.unit == 'mm' else 'does not state'} the size of its "
                "voxels, unlike the first one. Set dataset.pixel_size, in mm."
            )
        if not np.allclose(sample.spacing, self.spacing, rtol=1e-2, atol=0):
            raise DataError(
                f"dataset {self.name}: voxels of subject {subject.id} have edges of "
                f"{listed(sample.spacing, self.unit)}, those of the first subject "
                f"{listed(self.spacing, self.unit)}. Set dataset.spacing to resample all subjects "
                "to one spacing."
            )
        if (sample.labels is not None) != self.labelled:
            raise DataError(
                f"dataset {self.name}: subject {subject.id} "
                f"{'has no' if sample.labels is None else 'has'} labels, unlike the first subject. "
                "Give labels to all subjects or to none."
            )
        if self.step is not None and sample.step != self.step:
            raise MixedSteps
        if self.images is not None:
            self.images[i] = encode(sample.image, self.step)
        if sample.labels is None:
            return Taken(set(), sample.landmarks)
        found = {int(value) for value in np.unique(sample.labels)}
        unknown = sorted(found - self.known)
        if unknown:
            raise DataError(
                f"dataset {self.name}: label {unknown[0]} is not among the declared classes. "
                "Declare it in dataset.classes, or correct the files."
            )
        if self.labels is not None:
            self.labels[i, 0] = sample.labels
        return Taken(found, sample.landmarks)


def in_the_middle(sample: Sample, shape: Sequence[int]) -> Sample:
    """A subject padded to a shape that is larger, or the same."""
    (*first,) = (part.start for part in window(sample.image.shape[1:], shape))
    points = sample.landmarks
    return replace(
        sample,
        image=padded(sample.image, shape),
        labels=None if sample.labels is None else crop_or_pad(sample.labels, shape, 0),
        landmarks=None if points is None else points.mapped(shift(first)),
    )


def encode(image: np.ndarray, step: float | None) -> np.ndarray:
    """The image in the form of the cache: whole multiples of the step, or float16."""
    if step is None:
        return image.astype(np.float16)
    return np.rint(image / np.float32(step)).astype(np.uint8)


def checksum_of(block: np.ndarray) -> int:
    """CRC-32 of an array, its type and its shape."""
    header = f"{block.dtype.str} {block.shape}".encode()
    content = np.ascontiguousarray(block).reshape(-1).view(np.uint8)
    return zlib.crc32(content.data, zlib.crc32(header))


def create_array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A new memory-mapped array whose room on the disk is reserved.

    Without the reservation a full disk would show as a crash on some later write.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
