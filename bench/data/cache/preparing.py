"""The cache: a data set is read and preprocessed once, then memory-mapped."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from bench.data.cache.arrays import build_arrays
from bench.data.cache.prepared import INDEX, PreparedDataset
from bench.data.sources.pairs import make_policy
from bench.data.sources.source import Source
from bench.data.sources.subject import ATLAS, SPLITS, Subject
from bench.errors import DataError

FORMAT = 4


def find(source: Source, cache: Path | None) -> PreparedDataset:
    """The data set if it is in the cache; without a cache it is read.

    Raises:
        DataError: If it would have to be read first, or source files are missing.
    """
    if cache is None:
        return prepare(source, None)
    folder = cache_folder(source, source.subjects(), cache)
    if not (folder / INDEX).exists():
        raise DataError("its images have not been read yet")
    return PreparedDataset.open(folder, source.pairs, source.unit)


def cache_folder(source: Source, subjects: Sequence[Subject], cache: Path) -> Path:
    """Where the arrays of these files under these settings are kept."""
    state = [FORMAT, source.settings(), source.files_state(subjects)]
    key = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:12]
    return cache / f"{source.name}-{key}"


def prepare(source: Source, cache: Path | None) -> PreparedDataset:
    """The data set from the cache, built first if a source file or a setting is new.

    The arrays are written to the side and renamed, so a cache folder is complete or absent;
    several processes that ask at once build it once.

    Args:
        source: The data set.
        cache: Folder of all caches; None keeps nothing and reads the files whenever a subject is
            used.

    Raises:
        DataError: If the source files are missing, damaged or inconsistent.
        ConfigError: If a pairing policy is unknown.
    """
    for section in source.pairs.values():
        make_policy(section)
    subjects = source.subjects()
    check_subjects(source.name, subjects)
    if cache is None:
        from bench.data.cache.uncached import open_direct

        return open_direct(source, subjects)
    folder = cache_folder(source, subjects, cache)
    if not (folder / INDEX).exists():
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{folder.name}.lock"):
            if not (folder / INDEX).exists():
                _build(source, subjects, folder)
    return PreparedDataset.open(folder, source.pairs, source.unit)


def check_subjects(name: str, subjects: Sequence[Subject]) -> None:
    """Raises DataError if a subject or image is listed twice, a split is unknown, or all are empty.

    A split may be empty: what needs it says so.
    """
    seen: dict[str, str] = {}
    images: dict[tuple[Path, int | None], Subject] = {}
    for subject in subjects:
        if subject.split not in (*SPLITS, ATLAS):
            raise DataError(
                f"dataset {name}: subject {subject.id} has split {subject.split!r}; known are "
                f"{', '.join(SPLITS)}."
            )
        if subject.id in seen:
            splits = sorted({seen[subject.id], subject.split})
            what = "more than once" if len(splits) == 1 else f"in {splits[0]} and in {splits[1]}"
            raise DataError(
                f"dataset {name}: subject {subject.id} is listed {what}. Keep it in one split, "
                "once."
            )
        seen[subject.id] = subject.split
        if subject.image is not None:
            key = (Path(os.path.normpath(subject.image)), subject.page)
            other = images.setdefault(key, subject)
            if other is not subject:
                raise DataError(
                    f"dataset {name}: {other.id} ({other.split}) and {subject.id} "
                    f"({subject.split}) are the same image, {subject.image}. Keep it in one "
                    "split, once."
                )
    if not any(subject.split in SPLITS for subject in subjects):
        raise DataError(f"dataset {name}: has no subjects. Add some.")


def _build(source: Source, subjects: Sequence[Subject], folder: Path) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        index = build_arrays(source, subjects, partial)
        (partial / INDEX).write_text(json.dumps({"format": FORMAT, **index}, indent=1))
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
