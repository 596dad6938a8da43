"""What holds over data sets, those with the same added noise taken together."""

from collections.abc import Sequence

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.fronts import COMMON
from bench.analysis.numbers.noise import ADDED
from bench.analysis.numbers.paired import ALPHA
from bench.analysis.numbers.standing import too_few
from bench.scores.registry import SCORES

OVER_ALL = "Over data sets"
LEARNED = "deepsim"  # begins the names of metrics that compare learned features
WINS = ["first", "second", "higher", "lower", "datasets"]


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

    Comparisons without the score, and labels that are not in all others, are left out.
    """
    means = {}
    for one in comparisons:
        sign = -1 if SCORES[one.lead].best == "min" else 1
        means[one.name] = sign * one.scores(one.lead).mean()
    return pd.DataFrame(means).T.dropna(how="all").dropna(axis=1)


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
        Columns `WINS` for every two methods in both orders: `higher` and `lower`, the numbers of
        data sets on which the Dice of `first` is significantly so, of `datasets` on which both are
        compared. Empty with fewer than two such data sets.
    """
    if tests.empty:
        return pd.DataFrame(columns=WINS)
    names = [one.name for one in comparisons]
    common = tests[(tests["level"] == COMMON) & tests["comparison"].isin(names)]
    common = common[~common["n"].map(too_few).astype(bool)]
    if common["comparison"].nunique() < 2:
        return pd.DataFrame(columns=WINS)
    swapped = common.rename(columns={"first": "second", "second": "first"})
    swapped = swapped.assign(difference=-swapped["difference"])
    both = pd.concat([common, swapped], ignore_index=True)
    significant = both["p_holm"] < ALPHA
    both = both.assign(
        higher=significant & (both["difference"] > 0), lower=significant & (both["difference"] < 0)
    )
    grouped = both.groupby(["first", "second"], sort=False)
    found = grouped[["higher", "lower"]].sum().assign(datasets=grouped.size())
    return found.reset_index()[WINS]
