"""Confidence intervals of means over test pairs that may share subjects."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 5000
LEVEL = 0.95
FEWEST_CLUSTERS = 6


@dataclass(frozen=True)
class Clusters:
    """Units that the bootstrap draws.

    Attributes:
        codes: (n,) number of the cluster of each test pair.
        unit: Name of a cluster, in words.
        share: Whether clusters still share subjects, so that they are not independent.
    """

    codes: np.ndarray
    unit: str
    share: bool = False

    @property
    def count(self) -> int:
        """Number of clusters."""
        return int(self.codes.max()) + 1 if len(self.codes) else 0


def cluster_pairs(moving: Sequence[Hashable], fixed: Sequence[Hashable]) -> Clusters:
    """Groups test pairs that are not independent because they share subjects.

    Pairs are joined if they share a subject, directly or through others; a subject that all pairs
    share, such as an atlas, joins none. If fewer than 6 clusters are left, as of the slices of one
    stack, the moving subjects are drawn instead; or pairs in both their directions, if those are
    fewer.

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
    by_moving = Clusters(_codes(list(moving)), "moving subjects", share=True)
    both_ways = [frozenset(pair) for pair in zip(moving, fixed, strict=True)]
    by_both = Clusters(_codes(both_ways), "pairs of subjects in either direction", share=True)
    return by_both if by_both.count < by_moving.count else by_moving


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

    def of(self, kept: np.ndarray) -> "Bootstrap":
        """The bootstrap over some of the test pairs alone.

        Args:
            kept: (m,) their numbers.
        """
        _, codes = np.unique(self.clusters[kept], return_inverse=True)
        return Bootstrap(codes, len(self.draws))

    def averaged(self, values: np.ndarray) -> np.ndarray:
        """(k,) means over clusters, the independent values of a test; of clusters with a value.

        Args:
            values: (n,); NaN is left out.
        """
        known = ~np.isnan(values)
        sizes = np.bincount(self.clusters[known], minlength=self.count)
        sums = np.bincount(self.clusters[known], values[known], minlength=self.count)
        return sums[sizes > 0] / sizes[sizes > 0]

    def means(self, values: np.ndarray) -> np.ndarray:
        """(resamples, m) means of the columns of values (n, m), which have no NaN."""
        columns = range(values.shape[1])
        sums = [np.bincount(self.clusters, values[:, i], self.count) for i in columns]
        drawn = self.draws @ np.bincount(self.clusters, minlength=self.count)
        return (self.draws @ np.stack(sums, axis=1)) / drawn[:, None]

    def interval(self, values: np.ndarray) -> tuple[float, float]:
        """Lower and upper limit of a mean.

        Args:
            values: (n,); NaN is left out.

        Returns:
            The limits; NaN if fewer than 2 clusters have a value.
        """
        known = ~np.isnan(values)
        drawn = self.clusters[known]
        sums = np.bincount(drawn, values[known], minlength=self.count)
        sizes = np.bincount(drawn, minlength=self.count)
        if np.count_nonzero(sizes) < 2:
            return float("nan"), float("nan")
        drawn = self.draws @ sizes
        means = (self.draws @ sums)[drawn > 0] / drawn[drawn > 0]
        tail = (1 - LEVEL) / 2
        low, high = np.quantile(means, [tail, 1 - tail])
        return float(low), float(high)
