"""How well a map finds a change: scores of ranking, voxel by voxel."""

import numpy as np

from bench.scores.case import Case


def auc(case: Case, name: str) -> float:
    """Area under the ROC curve of one of a case's maps."""
    return area_under_roc(*judged(case, name))


def ap(case: Case, name: str) -> float:
    """Average precision of one of a case's maps."""
    return average_precision(*judged(case, name))


def judged(case: Case, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of a map at the voxels that count, and whether these have changed."""
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
    found, false = _counts(values, positive)
    gained = np.diff(found) / count
    return float((found[1:] / (found + false)[1:] * gained).sum())


def true_positive_rates(values: np.ndarray, positive: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Height of the ROC curve; linear between thresholds, as `area_under_roc` has ties.

    Args:
        values: (N,), no NaN.
        positive: (N,) bool, some and not all.
        at: False positive rates (K,).

    Returns:
        (K,) in [0, 1].
    """
    found, false = _counts(values, positive)
    return np.interp(at, false / false[-1], found / found[-1])


def precisions(values: np.ndarray, positive: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Precision at the highest threshold that reaches a recall.

    Args:
        values: (N,), no NaN.
        positive: (N,) bool, some of them.
        at: Recalls (K,) in [0, 1].

    Returns:
        (K,) in [0, 1].
    """
    found, false = _counts(values, positive)
    places = np.searchsorted(found[1:] / found[-1], at - 1e-12)
    return (found[1:] / (found[1:] + false[1:]))[places]


def _counts(values: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True and false positives at each threshold from the highest, beginning with none."""
    order = np.argsort(-values, kind="stable")
    ranked = values[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    found = positive[order].cumsum()[last]
    return np.append(0, found), np.append(0, last + 1 - found)
