"""Statistics of a comparison: every pair of metrics on the same test pairs."""

from collections.abc import Collection
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap, Clusters, cluster_pairs
from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.statistics import (
    cohens_d,
    friedman,
    holm,
    rank_biserial,
    wilcoxon,
)
from bench.scores.registry import compared_scores

ALPHA = 0.05


def clusters_of(comparison: Comparison) -> Clusters:
    """What the bootstrap draws in a comparison."""
    return cluster_pairs(list(comparison.subjects["moving"]), list(comparison.subjects["fixed"]))


def bootstrap_of(comparison: Comparison) -> Bootstrap:
    """The bootstrap over the test pairs of a comparison."""
    return _bootstrap(tuple(clusters_of(comparison).codes))


@lru_cache(maxsize=32)  # of 5000 draws each, a few MB
def _bootstrap(codes: tuple[int, ...]) -> Bootstrap:
    return Bootstrap(np.array(codes))


def pairwise(
    scores: pd.DataFrame, bootstrap: Bootstrap, references: Collection[str] = ()
) -> pd.DataFrame:
    """Compares every two labels on the test pairs that both have a value for.

    Tests are on the mean differences of the clusters, since pairs that share subjects are no
    independent samples.

    Args:
        scores: Test pairs by labels; seeds are averaged already, and are no further samples.
        bootstrap: Over the clusters of the test pairs.
        references: Labels whose rows are corrected apart from the others', so that how metrics
            compare does not depend on what else is in the table.

    Returns:
        A row for each two labels: `first`, `second`, `n`, `left_out` (test pairs), `units` (the
        clusters of the `n`), mean `difference` (first less second) with its 95 % interval `low` to
        `high`, `p` of Wilcoxon's signed-rank test, `p_holm` corrected over as many `tests`,
        `rank_biserial`, and `cohens_d` of the published test.
    """
    rows = []
    for first, second in combinations(scores, 2):
        one, other = scores[first].to_numpy(), scores[second].to_numpy()
        both = ~np.isnan(one - other)
        differences = (one - other)[both]
        units = bootstrap.averaged(one - other)
        low, high = bootstrap.interval(one - other)
        rows.append(
            {
                "first": first,
                "second": second,
                "n": int(both.sum()),
                "left_out": int((~both).sum()),
                "units": len(units),
                "difference": float(differences.mean()) if both.any() else np.nan,
                "low": low,
                "high": high,
                "p": wilcoxon(units),
                "rank_biserial": rank_biserial(units),
                "cohens_d": cohens_d(one[both], other[both]),
            }
        )
    columns = ["first", "second", "n", "left_out", "units", "difference", "low", "high", "p"]
    frame = pd.DataFrame(rows, columns=[*columns, "rank_biserial", "cohens_d"])
    apart = frame["first"].isin(references) | frame["second"].isin(references)
    families = frame["p"].astype(float).groupby(apart)
    corrected = families.transform(lambda p: holm(p.to_numpy()))
    frame.insert(columns.index("p") + 1, "p_holm", corrected)
    frame.insert(columns.index("p") + 2, "tests", families.transform("size"))
    return frame


def compare_pairwise(comparison: Comparison) -> pd.DataFrame:
    """`pairwise` for every tested score; Holm's correction is within a score, apart for rows with
    methods that use no metric."""
    bootstrap = bootstrap_of(comparison)
    references = [entry.label for entry in comparison.entries if entry.is_reference]
    tables = {
        name: pairwise(comparison.scores(name), bootstrap, references) for name in compared_scores()
    }
    stacked = pd.concat(tables, names=["score"]).reset_index("score").reset_index(drop=True)
    stacked.insert(0, "comparison", comparison.name)
    return stacked


def gains(comparison: Comparison) -> pd.DataFrame:
    """What each method gains over the unregistered test pairs, by the leading score.

    Returns:
        By label: mean `gain` with its 95 % interval `gain_low` to `gain_high`, and `gain_p` of
        Wilcoxon's signed-rank test, with Holm's correction over the methods.
    """
    changes = comparison.scores(comparison.lead).sub(comparison.before(comparison.lead), axis=0)
    bootstrap = bootstrap_of(comparison)
    limits = [bootstrap.interval(changes[label].to_numpy()) for label in changes]
    p = np.array([wilcoxon(bootstrap.averaged(changes[label].to_numpy())) for label in changes])
    found = pd.DataFrame(limits, index=changes.columns, columns=["gain_low", "gain_high"])
    found.insert(0, "gain", changes.mean())
    return found.assign(gain_p=holm(p))


def compare_all(comparison: Comparison) -> pd.DataFrame:
    """Friedman's test over all labels, for every tested score, on pairs that all have a value for.

    Its blocks are the clusters of the pairs.

    Returns:
        Columns `comparison`, `score`, `labels`, `n`, `left_out`, `units`, `statistic`, `p`.
    """
    rows = []
    bootstrap = bootstrap_of(comparison)
    for name in compared_scores():
        scores = comparison.scores(name)
        complete = scores.where(scores.notna().all(axis=1))
        units = np.stack([bootstrap.averaged(complete[label].to_numpy()) for label in scores], 1)
        statistic, p = friedman(units)
        n = len(complete.dropna())
        rows.append(
            {
                "comparison": comparison.name,
                "score": name,
                "labels": scores.shape[1],
                "n": n,
                "left_out": len(scores) - n,
                "units": len(units),
                "statistic": statistic,
                "p": p,
            }
        )
    return pd.DataFrame(rows)


def tied_with(label: str, pairs: pd.DataFrame) -> set[str]:
    """Labels that do not differ significantly from one, by corrected p.

    Args:
        label: The one, usually the best.
        pairs: Rows of `pairwise` for one score.
    """
    concerned = pairs[(pairs["first"] == label) | (pairs["second"] == label)]
    alike = concerned[concerned["p_holm"] >= ALPHA]
    return (set(alike["first"]) | set(alike["second"])) - {label}
