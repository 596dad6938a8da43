"""Scores at equal smoothness: the differences that remain when no field is rougher than another."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.analysis.numbers.comparisons import Comparison, Entry
from bench.analysis.numbers.paired import bootstrap_of, pairwise
from bench.scores.registry import SCORES

SMOOTHNESS = "sdlogj"
COMMON = "common"  # a smoothness that the fronts of most methods reach, if possible of all
FRONT_COLUMNS = [
    *("comparison", "score", "level", "sdlogj", "label", "n", "units", "mean", "low", "high"),
]


@dataclass(frozen=True)
class Front:
    """Smoothness and scores of one way to register along λ.

    Attributes:
        smoothness: (n,) mean SD log J of each λ, ascending: from the smoothest fields.
        values: (pairs, n) score of each test pair under each λ, the mean over seeds.
    """

    smoothness: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, entry: Entry, score: str = "dice") -> "Front":
        """The front of an entry of a comparison."""
        grouped = entry.tested.groupby(["weight", "pair"])[[SMOOTHNESS, score]]
        means = grouped.mean().where(grouped.count().eq(grouped.size(), axis=0))
        smoothness = means[SMOOTHNESS].groupby("weight").mean()
        values = means[score].unstack("weight")
        order = np.argsort(smoothness.to_numpy(), kind="stable")
        return cls(smoothness.to_numpy()[order], values.to_numpy()[:, order])

    def reaches(self, smoothness: float) -> bool:
        """Whether it has smoother and rougher fields, between which to interpolate."""
        return bool(self.smoothness[0] <= smoothness <= self.smoothness[-1])

    def at(self, smoothness: float) -> np.ndarray:
        """(pairs,) score at a mean SD log J, linear between neighbouring λ.

        Args:
            smoothness: One that the front reaches.
        """
        above = int(np.searchsorted(self.smoothness, smoothness))
        if self.smoothness[above] == smoothness:
            return self.values[:, above]
        low, high = self.smoothness[above - 1 : above + 1]
        share = (smoothness - low) / (high - low)
        return (1 - share) * self.values[:, above - 1] + share * self.values[:, above]


def compare_fronts(comparison: Comparison) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compares methods at equal smoothness, with the tests of `bench.analysis.numbers.paired`.

    Methods are compared at several levels of mean SD log J. `common` is that of the smoothest
    method under its chosen λ, or the nearest to it that the fronts of all methods reach. Where no
    smoothness is reached by all, as many are compared as reach one, if two do; of equally many,
    those with the best method under its chosen λ. Each method without λ, such as SyN, sets a level
    besides, at which it is compared with the fronts that reach it.

    Returns:
        Means of the leading score with their 95 % intervals: columns `comparison`, `score` (its
        name), `level`, `sdlogj`, `label`, `n` (test pairs), `units` (their clusters), `mean`,
        `low`, `high`; and every two methods of a level: the columns of `pairwise` after
        `comparison` and `level`. Holm's correction is within a level, apart for the method whose
        level it is.
    """
    bootstrap = bootstrap_of(comparison)
    fronts = _fronts(comparison)
    values, smoothness = comparison.scores(comparison.lead), comparison.scores(SMOOTHNESS).mean()
    found: list[tuple[str, float, dict[str, np.ndarray]]] = []
    common, together = at_equal_smoothness(comparison)
    if len(together):
        columns = {str(name): of_pairs.to_numpy() for name, of_pairs in together.items()}
        found.append((COMMON, common, columns))
    for entry in comparison.entries:
        level = float(smoothness[entry.label])
        reaching = {name: front for name, front in fronts.items() if front.reaches(level)}
        if entry.choice.weight is None and level > 0 and reaching:
            columns = {name: front.at(level) for name, front in reaching.items()}
            columns[entry.label] = values[entry.label].to_numpy()
            found.append((entry.label, level, columns))
    rows, tables = [], []
    for name, level, columns in found:
        for label, of_pairs in columns.items():
            low, high = bootstrap.interval(of_pairs)
            n = int(np.count_nonzero(~np.isnan(of_pairs)))
            mean = float(np.nanmean(of_pairs)) if n else np.nan
            facts = [comparison.name, comparison.lead, name, level, label]
            rows.append([*facts, n, len(bootstrap.averaged(of_pairs)), mean, low, high])
        table = pairwise(pd.DataFrame(columns), bootstrap, [name])
        table.insert(0, "level", name)
        table.insert(0, "comparison", comparison.name)
        tables.append(table)
    means = pd.DataFrame(rows, columns=FRONT_COLUMNS)
    return means, pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def at_equal_smoothness(comparison: Comparison) -> tuple[float, pd.DataFrame]:
    """The leading score at the smoothness `common` of `compare_fronts`.

    Returns:
        The mean SD log J, and the score of each test pair by labels, of the methods that reach it;
        NaN and an empty frame if no two do.
    """
    means = comparison.scores(comparison.lead).mean()
    means = -means if SCORES[comparison.lead].best == "min" else means
    together = _most_together(_fronts(comparison), means)
    span = _common_span(together)
    if not span:
        return float("nan"), pd.DataFrame()
    smoothest = comparison.scores(SMOOTHNESS).mean()[list(together)].min()
    common = float(np.clip(smoothest, *span))
    return common, pd.DataFrame({name: front.at(common) for name, front in together.items()})


def _most_together(fronts: dict[str, Front], means: pd.Series) -> dict[str, Front]:
    """As many fronts as reach one smoothness: all, if their spans meet; else with the best."""
    groups = [
        {name: one for name, one in fronts.items() if one.reaches(first.smoothness[0])}
        for first in sorted(fronts.values(), key=lambda front: front.smoothness[0])
    ]
    return max(groups, key=lambda group: (len(group), means[list(group)].max()), default={})


def _common_span(fronts: dict[str, Front]) -> tuple[float, float] | None:
    """The least and largest SD log J that all of several fronts reach."""
    if len(fronts) < 2:
        return None
    low = max(front.smoothness[0] for front in fronts.values())
    high = min(front.smoothness[-1] for front in fronts.values())
    return (float(low), float(high)) if low <= high else None


def _fronts(comparison: Comparison) -> dict[str, Front]:
    """By label, of the methods that ran under several λ and have a smoothness and the score."""
    found = {}
    for entry in comparison.entries:
        known = (
            entry.tested[SMOOTHNESS].notna().all() and entry.tested[comparison.lead].notna().any()
        )
        if entry.tested["weight"].nunique() > 1 and known:
            found[entry.label] = Front.of(entry, comparison.lead)
    return found
