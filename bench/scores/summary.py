"""Means over cases."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.scores.registry import score_of


def mean_of_finite(values: Sequence[float]) -> float:
    """Mean of the values that are finite; NaN if none is."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def validation_means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each value over validation pairs or images.

    Scores of overlap leave out pairs without foreground, where they are NaN. Nothing else may be
    NaN unseen.
    """
    means = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        leaves_out = score_of(name).kind == "overlap"
        means[name] = mean_of_finite(values) if leaves_out else sum(values) / len(values)
    return means


def are_shared(seconds: np.ndarray) -> bool:
    """Whether pairs share their time: a method that registers several at once gives each the mean.

    Two clocked times are hardly ever equal; in batches, at most every other time is a new one.
    Times of 0 are those of pairs that are not registered.

    Args:
        seconds: (n,) of each pair.
    """
    several = len(seconds) > 1 and bool(np.any(seconds))
    return several and len(np.unique(seconds)) <= (len(seconds) + 1) // 2


def deviation(name: str, values: np.ndarray) -> float | None:
    """Standard deviation (ddof 1) of a score.

    Args:
        name: The score's.
        values: (n,) finite values.

    Returns:
        None if there are fewer than two values, or if they are seconds that pairs share.
    """
    if len(values) < 2 or (score_of(name).kind == "cost" and are_shared(values)):
        return None
    return float(values.std(ddof=1))


def summarize(
    rows: Sequence[Mapping[str, float]], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation and count of each score over pairs, leaving out NaN.

    Args:
        rows: One mapping per pair; a missing score counts as NaN.
        names: Scores to summarize.

    Returns:
        `{name: {"mean", "std", "n"}}`; mean and std are None where n is 0, std (ddof 1) is
        None where n is 1, and for seconds that pairs share. A score with a quantile has that too,
        such as `p70`.
    """
    table = {}
    for name in names:
        values = np.array([row.get(name, math.nan) for row in rows], dtype=float)
        values = values[np.isfinite(values)]
        score = score_of(name)
        table[name] = {
            "mean": float(values.mean()) if len(values) else None,
            "std": deviation(name, values),
            "n": len(values),
        }
        if score.quantile is not None and score.quantile_name is not None:
            value = float(np.quantile(values, score.quantile)) if len(values) else None
            table[name][score.quantile_name] = value
    return table
