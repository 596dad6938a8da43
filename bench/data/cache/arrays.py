"""Reads a whole data set into memory-mapped arrays, in several processes where that pays."""

import multiprocessing
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.landmarks import pairing
from bench.data.landmarks.points import Landmarks
from bench.data.lengths import listed
from bench.data.preprocessing.steps import crop_or_pad, padded, shift, window
from bench.data.sources.roles import MOVING, roles_of
from bench.data.sources.source import Source, index_pairs
from bench.data.sources.subject import Sample, Subject
from bench.errors import DataError

IMAGES = "images.npy"
LABELS = "labels.npy"
RAW_LABELS = "raw_labels.npy"
LANDMARKS = "landmarks.npy"
WORTH_PROCESSES = 5.0  # seconds of reading from which starting processes pays
MOST_PROCESSES = 8

Shapes = list[list[int]]


class _MixedSteps(Exception):
    """Some images cannot be kept in 8 bits with one step."""


class _MixedShapes(Exception):
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
        _create(folder / IMAGES, kind, (count, *self.shape))
        if self.labelled:
            ids = np.uint8 if max(self.known) < 256 else np.uint16
            _create(folder / RAW_LABELS, ids, (count, 1, *self.shape[1:]))
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
                raise _MixedShapes
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
            raise _MixedSteps
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


def build_arrays(source: Source, subjects: Sequence[Subject], folder: Path) -> dict[str, Any]:
    """Writes images and labels of all subjects.

    Returns:
        Facts about them: the content of a cache's index.

    Raises:
        DataError: If a file is damaged, or the subjects are inconsistent.
    """
    collector = collect(source, subjects, folder)
    found = sorted(collector.found)
    if collector.labelled:
        _compact(found, folder)
    points = stacked_landmarks(collector)
    if points is not None:
        np.save(folder / LANDMARKS, points)
    return {**describe(source, subjects, collector), "checksums": _checksums(folder)}


def checksum_of(block: np.ndarray) -> int:
    """CRC-32 of an array, its type and its shape."""
    header = f"{block.dtype.str} {block.shape}".encode()
    content = np.ascontiguousarray(block).reshape(-1).view(np.uint8)
    return zlib.crc32(content.data, zlib.crc32(header))


def _checksums(folder: Path) -> dict[str, list[int]]:
    """By the names of arrays, a CRC-32 for each subject."""
    arrays = {path.name: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}
    return {name: [checksum_of(block) for block in array] for name, array in arrays.items()}


def stacked_landmarks(collector: Collector) -> np.ndarray | None:
    """Points of all subjects (subjects, N, D), as `pairing.stack` gives them; None without any."""
    if pairing.describe(collector.landmarks) is None:
        return None
    return pairing.stack(collector.landmarks, len(collector.shape) - 1)


def describe(source: Source, subjects: Sequence[Subject], collector: Collector) -> dict[str, Any]:
    """The index of a data set that was collected."""
    names = source.class_names()
    found = sorted(collector.found) if collector.labelled else []
    roles = roles_of(source, collector.shape[0])
    return {
        "name": source.name,
        "fingerprint": source.fingerprint(subjects),
        "ids": [subject.id for subject in subjects],
        "splits": [subject.split for subject in subjects],
        "places": [[subject.series, subject.place] for subject in subjects],
        "given": index_pairs(source.given_pairs(), subjects),
        "class_names": [names[i] for i in found],
        "shape": list(collector.shape[1:]),
        "shapes": collector.shapes,
        "channels": collector.shape[0] if roles is None else len(roles[MOVING]),
        "stored_channels": collector.shape[0],
        "roles": roles,
        "spacing": list(collector.spacing),
        "unit": collector.unit,
        "step": collector.step,
        "landmarks": pairing.describe(collector.landmarks),
    }


def collect(source: Source, subjects: Sequence[Subject], folder: Path | None) -> Collector:
    """Reads all subjects and checks them; writes them if a folder is given."""
    first = source.sample(subjects[0])
    roles_of(source, len(first.image))
    step, shapes = first.step, None
    while True:
        try:
            return _collect(source, subjects, folder, first, step, shapes)
        except _MixedSteps:
            step = None
        except _MixedShapes:
            shapes = [list(source.load(subject).image.shape[1:]) for subject in subjects]


def _processors() -> int:
    """How many this process may use; Linux alone tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _collect(
    source: Source,
    subjects: Sequence[Subject],
    folder: Path | None,
    first: Sample,
    step: float | None,
    shapes: Shapes | None,
) -> Collector:
    from rich.console import Console
    from rich.progress import Progress

    collector = Collector(source, first, step, shapes)
    if folder is not None:
        collector.create(folder, len(subjects))
    console = Console(stderr=True)
    with Progress(transient=True, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"reading {source.name}", total=len(subjects))
        for taken in _read_all(source, subjects, collector, folder, first):
            collector.found |= taken.ids
            collector.landmarks.append(taken.landmarks)
            progress.advance(bar)
    return collector


def _read_all(
    source: Source,
    subjects: Sequence[Subject],
    collector: Collector,
    folder: Path | None,
    first: Sample,
) -> Iterator[Taken]:
    yield collector.take(0, subjects[0], first)
    rest = range(1, len(subjects))
    if len(rest) > 2:  # the first one read may have waited for imports, the second one tells
        start = time.perf_counter()
        yield collector.take(1, subjects[1], source.sample(subjects[1]))
        seconds = (time.perf_counter() - start) * (len(rest) - 1)
        rest = rest[1:]
        processes = min(_processors(), MOST_PROCESSES, len(rest))
        if processes > 1 and seconds > WORTH_PROCESSES:
            yield from _in_processes(source, subjects, collector, folder, rest, processes)
            return
    for i in rest:
        yield collector.take(i, subjects[i], source.sample(subjects[i]))


def _in_processes(
    source: Source,
    subjects: Sequence[Subject],
    collector: Collector,
    folder: Path | None,
    rest: range,
    processes: int,
) -> Iterator[Taken]:
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_process,
        initargs=(source, subjects, collector, folder),
    )
    try:
        yield from pool.map(_read_one, rest)
    finally:
        pool.shutdown(cancel_futures=True)


_own: tuple[Source, Sequence[Subject], Collector] | None = None


def _start_process(
    source: Source, subjects: Sequence[Subject], collector: Collector, folder: Path | None
) -> None:
    global _own
    if folder is not None:
        collector.open(folder)
    _own = source, subjects, collector


def _read_one(i: int) -> Taken:
    assert _own is not None
    source, subjects, collector = _own
    return collector.take(i, subjects[i], source.sample(subjects[i]))


def _compact(found: Sequence[int], folder: Path) -> None:
    """Turns label ids into positions among those found, in as few bits as that takes."""
    raw = np.load(folder / RAW_LABELS, mmap_mode="r")
    table = np.zeros(max(found) + 1, np.uint8 if len(found) <= 256 else np.uint16)
    table[list(found)] = np.arange(len(found))
    if np.array_equal(table, np.arange(len(table))) and raw.dtype == table.dtype:
        (folder / RAW_LABELS).rename(folder / LABELS)
        return
    labels = _create(folder / LABELS, table.dtype.type, raw.shape)
    for target, volume in zip(labels, raw, strict=True):
        target[:] = table[volume]
    (folder / RAW_LABELS).unlink()


def _create(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A new memory-mapped array whose room on the disk is reserved.

    Without the reservation a full disk would show as a crash on some later write.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
