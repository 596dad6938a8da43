"""Writes a whole data set as memory-mapped arrays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.cache.collecting import collect
from bench.data.cache.collector import (
    LABELS,
    LANDMARKS,
    RAW_LABELS,
    Collector,
    checksum_of,
    create_array,
)
from bench.data.landmarks import pairing
from bench.data.sources.pairs import index_pairs
from bench.data.sources.roles import MOVING, roles_of
from bench.data.sources.source import Source
from bench.data.sources.subject import Subject


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


def _compact(found: Sequence[int], folder: Path) -> None:
    """Turns label ids into positions among those found, in as few bits as that takes."""
    raw = np.load(folder / RAW_LABELS, mmap_mode="r")
    table = np.zeros(max(found) + 1, np.uint8 if len(found) <= 256 else np.uint16)
    table[list(found)] = np.arange(len(found))
    if np.array_equal(table, np.arange(len(table))) and raw.dtype == table.dtype:
        (folder / RAW_LABELS).rename(folder / LABELS)
        return
    labels = create_array(folder / LABELS, table.dtype.type, raw.shape)
    for target, volume in zip(labels, raw, strict=True):
        target[:] = table[volume]
    (folder / RAW_LABELS).unlink()
