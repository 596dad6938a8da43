"""Landmarks of a whole data set: their storage, and checks that those of pairs correspond."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.data.landmarks.points import Landmarks
from bench.errors import DataError, counted


def stack(landmarks: Sequence[Landmarks | None], ndim: int) -> np.ndarray:
    """Points of all subjects in one array.

    Returns:
        (subjects, N, D) float64, voxels, N being the most that one has; NaN where there are fewer.
    """
    most = max((len(one.points) for one in landmarks if one is not None), default=0)
    points = np.full((len(landmarks), most, ndim), np.nan)
    for target, one in zip(points, landmarks, strict=True):
        if one is not None:
            target[: len(one.points)] = one.points
    return points


def describe(landmarks: Sequence[Landmarks | None]) -> dict[str, Any] | None:
    """Their entry in the index of a data set; None if no subject has points.

    Returns:
        `counts`, the number of each subject's, and `names`, a list for each or None.
    """
    if all(one is None for one in landmarks):
        return None
    return {
        "counts": [0 if one is None else len(one.points) for one in landmarks],
        "names": [list(one.names) if one is not None and one.names else None for one in landmarks],
    }


def check_pairs(
    dataset: str,
    described: Mapping[str, Any],
    ids: Sequence[str],
    pairs: Sequence[tuple[int, int]],
) -> None:
    """Checks that the landmarks of pairs correspond, as far as number and names show.

    Args:
        dataset: Its name.
        described: Result of `describe`.
        ids: Names of subjects.
        pairs: (moving, fixed) indices.

    Raises:
        DataError: If they do not.
    """
    counts, names = described["counts"], described["names"]
    for moving, fixed in pairs:
        if not (counts[moving] and counts[fixed]):
            continue
        if counts[moving] != counts[fixed]:
            raise DataError(
                f"dataset {dataset}: {ids[moving]} has {counted(counts[moving], 'landmark')}, and "
                f"{ids[fixed]}, to which it is registered, has {counts[fixed]}. Point k must be "
                "the same in both; write nan for a missing point."
            )
        differing = _first_difference(names[moving], names[fixed])
        if differing is not None:
            ours, theirs = names[moving][differing], names[fixed][differing]
            raise DataError(
                f"dataset {dataset}: landmark {differing + 1} of {ids[moving]} is called {ours}, "
                f"and that of {ids[fixed]}, to which it is registered, {theirs}. List both in the "
                "same order; write nan for a missing point."
            )


def _first_difference(ours: list[str] | None, theirs: list[str] | None) -> int | None:
    """Where two lists of names differ, if that means anything.

    Labels of 3D Slicer begin with the name of their list: other labels may be the same points.
    """
    if ours is None or theirs is None or ours == theirs:
        return None
    numbered = all(name.isdigit() for name in (*ours, *theirs))
    if not numbered and sorted(ours) != sorted(theirs):
        return None
    return next(i for i, both in enumerate(zip(ours, theirs, strict=True)) if both[0] != both[1])
