"""The cache: reads and preprocesses a data set once, then memory-maps it."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from bench.data.cache.arrays import build_arrays
from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.stored import INDEX
from bench.data.sources.content import files_state, times_of_change
from bench.data.sources.pairs import make_policy
from bench.data.sources.source import Source
from bench.data.sources.subject import ATLAS, SPLITS, Subject
from bench.errors import DamagedCache, DataError, StoreError
from bench.store.files import exchange, put_in_place, sealed, write_json
from bench.store.locks import held

FORMAT = 5


def find(source: Source, cache: Path | None) -> PreparedDataset:
    """The data set if the cache has it; without a cache, reads it.

    Raises:
        DataError: If it would have to be read first, or source files are missing.
    """
    if cache is None:
        return prepare(source, None)
    subjects = source.subjects()
    dataset = _opened(source, subjects, cache_folder(source, subjects, cache), trust=True)
    if dataset is None:
        raise DataError("its images have not been read")
    return dataset


def cache_folder(source: Source, subjects: Sequence[Subject], cache: Path) -> Path:
    """Folder for the arrays of these files under these settings."""
    state = [FORMAT, source.settings(), files_state(subjects, source.name)]
    key = hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:12]
    return cache / f"{source.name}-{key}"


def prepare(source: Source, cache: Path | None, trust: bool = True) -> PreparedDataset:
    """The data set from the cache; builds it first if a source file or a setting is new.

    It writes the arrays under another name and renames them, so a cache folder is complete or
    absent. Several processes that ask at once build it once. It rebuilds a damaged cache.

    Args:
        source: The data set.
        cache: Folder of all caches; None keeps nothing and reads the files on every use of a
            subject.
        trust: Whether to assume that files with unchanged size and times have the same content, and
            to check arrays on use. Otherwise it compares everything at once.

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
    dataset = _opened(source, subjects, folder, trust)
    if dataset is None:
        with _claimed(folder):
            dataset = _opened(source, subjects, folder, trust)
            if dataset is None:
                _build(source, subjects, folder)
                dataset = PreparedDataset.open(folder, source.pairs, source.insertion)
    return dataset


def _opened(
    source: Source, subjects: Sequence[Subject], folder: Path, trust: bool
) -> PreparedDataset | None:
    """The data set of a cache folder; None if that is absent, damaged or outdated."""
    if not folder.exists():
        return None
    times = times_of_change(subjects)
    try:
        dataset = PreparedDataset.open(folder, source.pairs, source.insertion)
        if trust and dataset.index["times"] == times:
            return dataset
        if dataset.fingerprint != source.fingerprint(subjects):
            print(f"{folder}: the files have changed since it was made; the suite reads them again")
            return None
        if not trust:
            dataset.verify()
    except DamagedCache as damage:
        if folder.exists():
            raise  # it cannot be deleted
        print(damage)
        return None
    if dataset.index["times"] != times:
        dataset.index = sealed({**dataset.index, "times": times})
        with suppress(OSError, StoreError), _claimed(folder, patience=0):  # it may be read-only
            write_json(folder / INDEX, dataset.index)
    return dataset


def _claimed(folder: Path, patience: float | None = None) -> AbstractContextManager[None]:
    lock = folder.with_name(f"{folder.name}.lock")
    return held(lock, f"the cache {folder.name}", "dataset.cache=DIR", patience)


def check_subjects(name: str, subjects: Sequence[Subject]) -> None:
    """Raises DataError if a subject or image is listed twice, a split is unknown, or all are empty.

    A split may be empty; code that needs it raises.
    """
    seen: dict[str, str] = {}
    images: dict[tuple[Path, int | None], Subject] = {}
    for subject in subjects:
        if subject.split not in (*SPLITS, ATLAS):
            raise DataError(
                f"dataset {name}: subject {subject.id} has split {subject.split!r}; known splits: "
                f"{', '.join(SPLITS)}."
            )
        if subject.id in seen:
            splits = sorted({seen[subject.id], subject.split})
            what = "more than once" if len(splits) == 1 else f"in {splits[0]} and in {splits[1]}"
            raise DataError(
                f"dataset {name}: subject {subject.id} is listed {what}. List it once, in one "
                "split."
            )
        seen[subject.id] = subject.split
        if subject.image is not None:
            key = (Path(os.path.normpath(subject.image)), subject.page)
            other = images.setdefault(key, subject)
            if other is not subject:
                raise DataError(
                    f"dataset {name}: {other.id} ({other.split}) and {subject.id} "
                    f"({subject.split}) are the same image, {subject.image}. List it once, in one "
                    "split."
                )
    if not any(subject.split in SPLITS for subject in subjects):
        raise DataError(f"dataset {name}: has no subjects. Add subjects.")


def _build(source: Source, subjects: Sequence[Subject], folder: Path) -> None:
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    times = times_of_change(subjects)
    try:
        index = build_arrays(source, subjects, partial)
        if times_of_change(subjects) != times:
            raise DataError(
                f"dataset {source.name}: files changed while the suite read them. Run the same "
                "command again when they are complete."
            )
        write_json(partial / INDEX, sealed({"format": FORMAT, **index, "times": times}))
        if folder.exists():  # of other content
            exchange(partial, folder)
        else:
            put_in_place(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
