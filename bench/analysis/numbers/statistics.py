"""Paired statistics on arrays: one value for each test pair."""

import numpy as np
from scipy import stats

LARGEST_EXACT = 50


def wilcoxon(differences: np.ndarray) -> float:
    """Two-sided p of Wilcoxon's signed-rank test; differences of 0 are dropped (Wilcoxon 1945).

    Exact up to 50 differences without ties, else by the normal approximation corrected for ties.

    Args:
        differences: (n,) finite values.

    Returns:
        p; 1 if all differences are 0, NaN if there are none.
    """
    if not len(differences):
        return float("nan")
    changed = differences[differences != 0]
    if not len(changed):
        return 1.0
    tied = len(np.unique(np.abs(changed))) < len(changed)
    method = "exact" if len(changed) <= LARGEST_EXACT and not tied else "approx"
    return float(stats.wilcoxon(changed, method=method).pvalue)


def rank_biserial(differences: np.ndarray) -> float:
    """Matched-pairs rank-biserial correlation (Kerby, Comprehensive Psychology 2014).

    Args:
        differences: (n,) finite values.

    Returns:
        Share of the rank sum that is positive less the share that is negative, -1 to 1; 0 if all
        differences are 0, NaN if there are none.
    """
    if not len(differences):
        return float("nan")
    changed = differences[differences != 0]
    if not len(changed):
        return 0.0
    ranks = stats.rankdata(np.abs(changed))
    return float((ranks * np.sign(changed)).sum() / ranks.sum())


def holm(p: np.ndarray) -> np.ndarray:
    """p corrected for the family-wise error by Holm's step-down method (Holm, SJS 1979).

    Args:
        p: (m,); NaN is a test that could not be made, and does not count.

    Returns:
        (m,), at most 1.
    """
    corrected = np.full(len(p), np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return corrected


def cohens_d(first: np.ndarray, second: np.ndarray) -> float:
    """Cohen's d of two samples treated as unpaired, as the papers report it.

    Args:
        first: (n,) finite values.
        second: (n,) finite values.

    Returns:
        Difference of the means over the root mean of both variances; NaN where that is 0.
    """
    if len(first) < 2:
        return float("nan")
    spread = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    return float((first.mean() - second.mean()) / spread) if spread > 0 else float("nan")


def friedman(values: np.ndarray) -> tuple[float, float]:
    """Friedman's test that all columns rank alike (Friedman, JASA 1937).

    Args:
        values: (blocks, treatments), finite.

    Returns:
        The statistic and p; NaN with fewer than 3 columns or 2 rows, or if all columns are equal.
    """
    if values.shape[1] < 3 or len(values) < 2 or (values == values[:, :1]).all():
        return float("nan"), float("nan")
    result = stats.friedmanchisquare(*values.T)
    return float(result.statistic), float(result.pvalue)


def critical_difference(treatments: int, blocks: int, alpha: float = 0.05) -> float:
    """Difference of mean ranks that is significant by Nemenyi's test (Demšar, JMLR 2006, eq. 5).

    Args:
        treatments: Number of metrics.
        blocks: Number of data sets.
        alpha: Family-wise level.
    """
    quantile = stats.studentized_range.ppf(1 - alpha, treatments, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(treatments * (treatments + 1) / (6 * blocks)))
