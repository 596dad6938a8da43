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


def batch_of(config: Mapping[str, Any]) -> int:
    """How many pairs a run registers at once in its test, as its configuration says.

    Args:
        config: Its resolved configuration; a model of the user's may have another kind of `batch`.
    """
    batch = config["model"].get("batch")
    return batch if isinstance(batch, int) else 1


def deviation(name: str, values: np.ndarray, batch: int = 1) -> float | None:
    """Standard deviation (ddof 1) of a score.

    Args:
        name: The score's.
        values: (n,) finite values.
        batch: Pairs that are registered at once: each of them records the mean of their seconds.

    Returns:
        None if there are fewer than two values, or if they are seconds that pairs share.
    """
    if len(values) < 2 or (score_of(name).kind == "cost" and batch > 1):
        return None
    return float(values.std(ddof=1))


def summarize(
    rows: Sequence[Mapping[str, float]], names: Sequence[str], batch: int = 1
) -> dict[str, dict[str, Any]]:
    """Mean, standard deviation and count of each score over pairs, leaving out NaN.

    Args:
        rows: One mapping per pair; a missing score counts as NaN.
        names: Scores to summarize.
        batch: Pairs that are registered at once, see `deviation`.

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
            "std": deviation(name, values, batch),
            "n": len(values),
        }
        if score.quantile is not None and score.quantile_name is not None:
            value = float(np.quantile(values, score.quantile)) if len(values) else None
            table[name][score.quantile_name] = value
    return table
