"""How well a map finds a change: scores of ranking, voxel by voxel."""

import numpy as np

from bench.scores.case import Case


def auc(case: Case, name: str) -> float:
    """Area under the ROC curve of one of a case's maps."""
    return area_under_roc(*_judged(case, name))


def ap(case: Case, name: str) -> float:
    """Average precision of one of a case's maps."""
    return average_precision(*_judged(case, name))


def _judged(case: Case, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of a map, and whether they are of the change, where scores count."""
    assert case.change is not None
    where = np.ones(case.change.shape, bool) if case.counted is None else case.counted
    return case.maps[name][where], case.change[where]


def area_under_roc(values: np.ndarray, positive: np.ndarray) -> float:
    """The chance that a positive has a larger value than a negative; ties count half.

    Source: Hanley and McNeil, Radiology 1982.

    Args:
        values: (N,), no NaN.
        positive: (N,) bool.

    Returns:
        In [0, 1]; NaN if all are positive or none is.
    """
    from scipy.stats import rankdata

    count, others = int(positive.sum()), int((~positive).sum())
    if not count or not others:
        return float("nan")
    ranks = rankdata(values)[positive].sum()
    return float((ranks - count * (count + 1) / 2) / (count * others))


def average_precision(values: np.ndarray, positive: np.ndarray) -> float:
    """Precision at each threshold, weighted by the recall that is gained there.

    Equal values are one threshold. A map without information has the share of the positives.

    Args:
        values: (N,), no NaN.
        positive: (N,) bool.

    Returns:
        In [0, 1]; NaN if none is positive.
    """
    count = int(positive.sum())
    if not count:
        return float("nan")
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    found = positive[order].cumsum()[last]
    gained = np.diff(found, prepend=0) / count
    return float((found / (last + 1) * gained).sum())
