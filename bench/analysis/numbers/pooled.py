"""How well a map finds changes, over voxels of all test pairs together."""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import LEVEL, Bootstrap
from bench.scores.of_changes import POOLED

RESAMPLES = 1000
CHANGED = "changed"  # column: 1 for a voxel of the change, otherwise 0


def pooled_scores(
    voxels: pd.DataFrame, clusters: np.ndarray
) -> Iterator[tuple[str, float, np.ndarray]]:
    """Name, value and draws of the bootstrap (R,) of each score of `POOLED` that applies.

    Args:
        voxels: Columns `pair`, the number of the test pair, `changed`, and the maps by name.
        clusters: (n,) number of the cluster of each test pair; clusters are drawn, never voxels.
    """
    positive = voxels[CHANGED].to_numpy(bool)
    drawn = Bootstrap(clusters, RESAMPLES).draws
    draws = np.concatenate([np.ones((1, drawn.shape[1])), drawn])
    of_voxels = clusters[voxels["pair"].to_numpy(int)]
    for name, columns in POOLED.items():
        if name in voxels and voxels[name].notna().all():  # others' runs may have further maps
            found = _drawn(voxels[name].to_numpy(float), positive, of_voxels, draws)
            for column, values in zip(columns, found, strict=True):
                yield column, float(values[0]), values[1:]


def interval_of(draws: np.ndarray) -> tuple[float, float]:
    """Limits of the 95 % interval; NaN if too few draws have a value, as of a single cluster."""
    known = draws[np.isfinite(draws)]
    if len(np.unique(known)) < 2:
        return float("nan"), float("nan")
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)


def _drawn(
    values: np.ndarray, positive: np.ndarray, clusters: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """Area under the ROC curve, and average precision, where clusters count several times.

    Equal values are one threshold, as in `bench.scores.detection`.

    Args:
        values: (N,).
        positive: (N,) bool.
        clusters: (N,) cluster of each voxel.
        draws: (R, C), how often each cluster counts.

    Returns:
        (2, R); NaN where all voxels that count are positive, or none is.
    """
    if not positive.any():
        return np.full((2, len(draws)), np.nan)
    thresholds = np.unique(values[positive])[::-1]
    counts = np.zeros((4, draws.shape[1], len(thresholds)))
    for cluster in range(draws.shape[1]):
        inside = clusters == cluster
        of_change, others = (np.sort(values[inside & chosen]) for chosen in (positive, ~positive))
        counts[0, cluster] = len(of_change) - np.searchsorted(of_change, thresholds)
        counts[1, cluster] = len(others) - np.searchsorted(others, thresholds, side="right")
        counts[2, cluster] = len(others) - np.searchsorted(others, thresholds)
        counts[3, cluster] = len(others)
    found, above, reached, negatives = draws @ counts
    gained = np.diff(found, axis=1, prepend=0)
    with np.errstate(invalid="ignore"):
        share = gained / found[:, -1:]
        below = 1 - (above + reached) / 2 / negatives
        precision = found / np.maximum(found + reached, 1)
        both = np.stack([(share * below).sum(1), (share * precision).sum(1)])
    both[1, ~(negatives > 0).all(1)] = np.nan
    return both


def summaries(
    voxels: pd.DataFrame, clusters: np.ndarray
) -> Mapping[str, Mapping[str, float | int | None]]:
    """`{name: {"mean", "std", "n", "voxels", "low", "high"}}` of each score.

    `n` is the number of test pairs, `voxels` that of voxels of all of them. Arguments as of
    `pooled_scores`.
    """
    pairs = int(voxels["pair"].nunique())
    found = {}
    for name, value, draws in pooled_scores(voxels, clusters):
        low, high = interval_of(draws)
        limits = {} if np.isnan(low) else {"low": low, "high": high}
        known = None if np.isnan(value) else value
        found[name] = {"mean": known, "std": None, "n": pairs, "voxels": len(voxels), **limits}
    return found
