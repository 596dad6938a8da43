"""Paired statistics on arrays: one value for each test pair."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 5000
LEVEL = 0.95
FEWEST_CLUSTERS = 6
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
    """Cohen's d of two samples as if they were not paired: what the papers give.

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


@dataclass(frozen=True)
class Clusters:
    """What the bootstrap draws.

    Attributes:
        codes: (n,) number of the cluster of each test pair.
        unit: What a cluster is, in words.
    """

    codes: np.ndarray
    unit: str

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.codes.max()) + 1 if len(self.codes) else 0


def cluster_pairs(moving: Sequence[Hashable], fixed: Sequence[Hashable]) -> Clusters:
    """Groups test pairs that are not independent because they share subjects.

    Pairs are joined if they share a subject, directly or through others; a subject that all pairs
    share, such as an atlas, joins none. If fewer than 6 clusters are left, as of the slices of one
    stack, the moving subjects are drawn instead.

    Args:
        moving: The moving subject of each pair.
        fixed: The fixed subject of each pair.
    """
    pairs = [
        {("subject", one), ("subject", other)} for one, other in zip(moving, fixed, strict=True)
    ]
    common = set.intersection(*pairs) if pairs else set()
    parents: dict[Hashable, Hashable] = {}

    def root(node: Hashable) -> Hashable:
        while parents.setdefault(node, node) != node:
            node = parents[node]
        return node

    for number, subjects in enumerate(pairs):
        for subject in subjects - common:
            parents[root(subject)] = root(number)
    codes = _codes([root(number) for number in range(len(pairs))])
    if len(set(codes)) == len(pairs):
        return Clusters(codes, "test pairs")
    if len(set(codes)) >= FEWEST_CLUSTERS:
        return Clusters(codes, "groups of test pairs that share subjects")
    return Clusters(_codes(list(moving)), "moving subjects")


def _codes(values: Sequence[Hashable]) -> np.ndarray:
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return np.array([numbers[value] for value in values], dtype=int)


class Bootstrap:
    """95 % percentile intervals of means, drawing clusters (Davison and Hinkley 1997, 3.8).

    The same clusters give the same draws, and so the same values the same interval.

    Args:
        clusters: (n,) number of the cluster of each test pair, n at least 1.
        resamples: How many means are drawn.
    """

    def __init__(self, clusters: np.ndarray, resamples: int = RESAMPLES) -> None:
        self.clusters = clusters
        self.count = len(np.unique(clusters))
        chances = np.full(self.count, 1 / self.count)
        random = np.random.default_rng(0)
        self.draws = random.multinomial(self.count, chances, size=resamples).astype(float)

    def interval(self, values: np.ndarray) -> tuple[float, float]:
        """Lower and upper limit of a mean.

        Args:
            values: (n,); NaN is left out.

        Returns:
            The limits; NaN if fewer than 2 clusters have a value.
        """
        known = ~np.isnan(values)
        own = self.clusters[known]
        sums = np.bincount(own, values[known], minlength=self.count)
        sizes = np.bincount(own, minlength=self.count)
        if np.count_nonzero(sizes) < 2:
            return float("nan"), float("nan")
        drawn = self.draws @ sizes
        means = (self.draws @ sums)[drawn > 0] / drawn[drawn > 0]
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(low), float(high)


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
