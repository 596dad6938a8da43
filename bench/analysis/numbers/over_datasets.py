"""Conclusions over data sets, grouped by added noise."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.fronts import COMMON
from bench.analysis.numbers.noise import ADDED
from bench.analysis.numbers.paired import ALPHA
from bench.analysis.numbers.ranking import FEWEST_DATASETS, enough_for_ranks
from bench.analysis.numbers.standing import too_few
from bench.analysis.numbers.statistics import critical_difference, friedman
from bench.scores.registry import SCORES

OVER_ALL = "Over data sets"
LEARNED = "deepsim"  # begins the names of metrics that compare learned features
WINS = ["first", "second", "better", "worse", "datasets"]
NO_OTHER = "no metric without learned features"


def is_learned(label: str) -> bool:
    """Whether a method compares learned features."""
    return label.startswith(LEARNED)


def by_noise(comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """Comparisons by `Over data sets`, and by `Over data sets (noise 0.2)` and so on."""
    found: dict[float, list[Comparison]] = {}
    for one in comparisons:
        found.setdefault(float(one.reading.get(ADDED) or 0), []).append(one)
    return {
        OVER_ALL + (f" (noise {noise:g})" if noise else ""): found[noise] for noise in sorted(found)
    }


def lead_means(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Means of the leading score, by comparison and label, larger is better.

    Comparisons without the score, labels that are not in all others, and methods without a metric
    are left out.
    """
    return _all_means(comparisons).dropna(how="all").dropna(axis=1)


def _all_means(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    means = {}
    for one in comparisons:
        metrics = [entry.label for entry in one.entries if not entry.is_reference]
        means[one.name] = _sign(one) * one.scores(one.lead)[metrics].mean()
    return pd.DataFrame(means).T


def _sign(comparison: Comparison) -> int:
    """What makes larger values of the leading score better."""
    return -1 if SCORES[comparison.lead].best == "min" else 1


def mean_ranks(means: pd.DataFrame) -> pd.Series:
    """Mean rank of each label, ascending: 1 is best.

    Args:
        means: Of `lead_means`.
    """
    return means.rank(axis=1, ascending=False).mean().sort_values(kind="stable")


def count_wins(comparisons: Sequence[Comparison], tests: pd.DataFrame) -> pd.DataFrame:
    """On how many data sets one method is significantly ahead of another at equal smoothness.

    Data sets with too few test pairs for any difference to be significant do not count.

    Args:
        comparisons: Those that count.
        tests: The second frame of `compare_fronts`, of all comparisons.

    Returns:
        Columns `WINS` for every two methods in both orders: `better` and `worse`, the numbers of
        data sets on which `first` is significantly so by the leading score, of `datasets` on which
        both are compared. Empty with fewer than two such data sets.
    """
    if tests.empty:
        return pd.DataFrame(columns=WINS)
    signs = {one.name: _sign(one) for one in comparisons}
    common = tests[(tests["level"] == COMMON) & tests["comparison"].isin(signs)]
    counts = zip(common["units"], common["tests"], strict=True)
    few = [too_few(units, tests) for units, tests in counts]
    common = common[~np.array(few, dtype=bool)]
    common = common.assign(gain=common["difference"] * common["comparison"].map(signs))
    if common["comparison"].nunique() < 2:
        return pd.DataFrame(columns=WINS)
    swapped = common.rename(columns={"first": "second", "second": "first"})
    swapped = swapped.assign(gain=-swapped["gain"])
    both = pd.concat([common, swapped], ignore_index=True)
    significant = both["p_holm"] < ALPHA
    better, worse = significant & (both["gain"] > 0), significant & (both["gain"] < 0)
    grouped = both.assign(better=better, worse=worse).groupby(["first", "second"], sort=False)
    found = grouped[["better", "worse"]].sum().assign(datasets=grouped.size())
    return found.reset_index()[WINS]


def conclude_over(comparisons: Sequence[Comparison], tests: pd.DataFrame) -> Iterator[str]:
    """Conclusions over data sets, in sentences.

    Args:
        comparisons: Those that are taken together.
        tests: The second frame of `compare_fronts`, of all comparisons.
    """
    means = lead_means(comparisons)
    others = [str(label) for label in _all_means(comparisons) if label not in means]
    yield from _ranks(means, others)
    yield from _wins(count_wins(comparisons, tests))


def _ranks(means: pd.DataFrame, others: Sequence[str]) -> Iterator[str]:
    """Mean ranks over data sets, and who is within the critical difference of the first."""
    if not enough_for_ranks(means):
        return
    ranks = mean_ranks(means)
    difference = critical_difference(means.shape[1], len(means))
    within = [str(label) for label in ranks.index[1:] if ranks[label] - ranks.iloc[0] <= difference]
    listed = ", ".join(f"{label} {place:.1f}" for label, place in ranks.items())
    text = (
        f"Mean ranks over {len(means)} data sets (at least {FEWEST_DATASETS} are needed): "
        f"{listed}. "
    )
    _, p = friedman(means.to_numpy())
    if not p < ALPHA:
        text += f"They do not differ significantly (Friedman's test, p = {p:.2g})."
    else:
        text += (
            f"They differ (Friedman's test, p = {p:.2g}); the critical difference is "
            f"{difference:.1f} (Nemenyi, 5 %)."
        )
        text += f" Not significantly behind the first: {', '.join(within)}." if within else ""
    yield text + (f" Not run on all data sets: {', '.join(others)}." if others else "")


def _wins(wins: pd.DataFrame) -> Iterator[str]:
    """On how many data sets learned features are ahead of other metrics at equal smoothness."""
    for first, rows in wins.groupby("first", sort=False):
        others = rows[~rows["second"].map(is_learned)].to_dict("records")
        if not is_learned(str(first)) or not others:
            continue
        better, worse = (
            ", ".join(f"{r['second']} on {r[side]} of {r['datasets']}" for r in others if r[side])
            for side in ("better", "worse")
        )
        yield (
            f"At equal smoothness, on data sets with enough pairs to tell, {first} is "
            f"significantly better than {better or NO_OTHER}. It is significantly worse than "
            f"{worse or NO_OTHER}."
        )
