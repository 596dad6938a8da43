"""The cache: a data set is read and preprocessed once, then memory-mapped."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from bench.data.prepared import INDEX, PreparedDataset
from bench.data.source import Source
from bench.data.subject import ATLAS, SPLITS, Subject
from bench.errors import DataError

FORMAT = 1
MOST_CLASSES = 256


def prepare(source: Source, cache: Path) -> PreparedDataset:
    """The data set from the cache, built first if a source file or a setting is new.

    The arrays are written to the side and renamed, so a cache folder is complete or absent;
    several processes that ask at once build it once.

    Args:
        source: The data set.
        cache: Folder of all caches.

    Raises:
        DataError: If the source files are missing, damaged or inconsistent.
    """
    subjects = source.subjects()
    check_subjects(source.name, subjects)
    state = [FORMAT, source.settings(), source.files_state(subjects)]
    key = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:12]
    folder = cache / f"{source.name}-{key}"
    if not (folder / INDEX).exists():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{folder.name}.lock"):
            if not (folder / INDEX).exists():
                _build(source, subjects, folder)
    return PreparedDataset.open(folder, source.pairs)


def check_subjects(name: str, subjects: Sequence[Subject]) -> None:
    """Raises DataError if ids repeat, a split is unknown or empty, or labels are partial."""
    ids = [subject.id for subject in subjects]
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    if repeated:
        raise DataError(f"dataset {name}: subject {repeated[0]} is listed more than once.")
    for subject in subjects:
        if subject.split not in (*SPLITS, ATLAS):
            raise DataError(
                f"dataset {name}: subject {subject.id} has split {subject.split!r}; known are "
                f"{', '.join(SPLITS)}."
            )
    for split in SPLITS:
        if not any(subject.split == split for subject in subjects):
            raise DataError(f"dataset {name}: split {split!r} has no subjects. Add some to it.")


def _build(source: Source, subjects: Sequence[Subject], folder: Path) -> None:
    from rich.progress import track

    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        images: np.ndarray | None = None
        raw_labels: np.ndarray | None = None
        first = None
        for i, subject in enumerate(
            track(subjects, description=f"reading {source.name}", transient=True)
        ):
            sample = source.load(subject)
            if first is None:
                first = sample
                count = len(subjects)
                images = _create(partial / "images.npy", np.float16, (count, *sample.image.shape))
                if sample.labels is not None:
                    raw_labels = _create(
                        partial / "raw_labels.npy", np.int32, (count, 1, *sample.labels.shape)
                    )
            assert images is not None
            if sample.image.shape != images.shape[1:]:
                raise DataError(
                    f"dataset {source.name}: subject {subject.id} has shape "
                    f"{sample.image.shape[1:]}, the first one has {images.shape[2:]}. Set "
                    "dataset.shape to crop or pad all to one shape."
                )
            if (sample.labels is None) != (raw_labels is None):
                raise DataError(
                    f"dataset {source.name}: subject {subject.id} "
                    f"{'has no' if sample.labels is None else 'has'} labels, unlike the first. "
                    "Give labels to all subjects or to none."
                )
            images[i] = sample.image
            if raw_labels is not None:
                raw_labels[i, 0] = sample.labels
        assert images is not None
        assert first is not None
        names = _compact(source, raw_labels, partial)
        index: dict[str, Any] = {
            "format": FORMAT,
            "name": source.name,
            "fingerprint": source.fingerprint(subjects),
            "ids": [subject.id for subject in subjects],
            "splits": [subject.split for subject in subjects],
            "class_names": names,
            "shape": list(images.shape[2:]),
            "channels": images.shape[1],
            "spacing": list(first.spacing),
        }
        (partial / INDEX).write_text(json.dumps(index, indent=1))
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _compact(source: Source, raw: np.ndarray | None, folder: Path) -> list[str]:
    """Writes labels as positions among the ids that occur; returns their names."""
    if raw is None:
        return []
    found = sorted({0, *(int(value) for volume in raw for value in np.unique(volume))})
    if len(found) > MOST_CLASSES:
        raise DataError(
            f"dataset {source.name}: {len(found)} different labels, at most {MOST_CLASSES} can be "
            "told apart. Merge some."
        )
    names = source.class_names()
    unknown = [label for label in found if label not in names]
    if unknown:
        raise DataError(
            f"dataset {source.name}: label {unknown[0]} is not among the declared classes. Declare "
            "it in dataset.classes, or correct the files."
        )
    labels = _create(folder / "labels.npy", np.uint8, raw.shape)
    for target, volume in zip(labels, raw, strict=True):
        target[:] = np.searchsorted(found, volume)
    (folder / "raw_labels.npy").unlink()
    return [names[i] for i in found]


def _create(path: Path, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    """A new memory-mapped array whose room on the disk is reserved.

    Without the reservation a full disk would show as a crash on some later write.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array
