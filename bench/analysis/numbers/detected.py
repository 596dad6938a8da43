"""Which maps find changes better than others: differences in AUC on the same test pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap, cluster_pairs
from bench.analysis.numbers.paired import ALPHA, pairwise
from bench.analysis.numbers.statistics import holm
from bench.analysis.numbers.wording import pairs_in_groups, signed, signed_interval
from bench.errors import counted

LABELS = {  # of the maps that are compared, by the score that each of them has for a test pair
    "auc": "{}",
    "auc_relative": "{}, relative to controls",
    "auc_intensity": "intensity difference after {}",
    "auc_li_wyatt": "Li and Wyatt after {}",
    "auc_jacobian": "Jacobian of {}",
}
CHANCE = 0.5
COLUMNS = ["best", "other", "n", "units", "difference", "low", "high", "p", "p_holm", "tests"]


def differences_from_best(scores: Mapping[str, pd.Series]) -> pd.DataFrame:
    """The map with the largest mean AUC less each other one.

    Args:
        scores: AUC of each test pair (indexed by `moving` and `fixed`), by the label of the map.
            Seeds are averaged already.

    Returns:
        `COLUMNS`, as of `bench.analysis.numbers.paired.pairwise`; Holm's correction is over the
        other maps. Empty with fewer than two maps that have an AUC.
    """
    known = pd.DataFrame(
        {name: values for name, values in scores.items() if _tells(values)}
    ).sort_index()
    if known.shape[1] < 2:
        return pd.DataFrame(columns=COLUMNS)
    best = str(known.mean().idxmax())
    pairs = known.index.to_frame()
    bootstrap = Bootstrap(cluster_pairs(pairs["moving"].tolist(), pairs["fixed"].tolist()).codes)
    rows = [
        pairwise(known[[best, other]], bootstrap) for other in known.columns.drop(best).tolist()
    ]
    found = pd.concat(rows, ignore_index=True).rename(columns={"first": "best", "second": "other"})
    found["p_holm"], found["tests"] = holm(found["p"].to_numpy(float)), len(found)
    return found[COLUMNS]


def _tells(values: pd.Series) -> bool:
    """Whether a map has an AUC, and is not the same everywhere, as without a displacement."""
    return bool(values.notna().any() and (values.dropna() != CHANCE).any())


def change_sentences(differences: pd.DataFrame) -> list[str]:
    """Which map finds changes best, and which ones it does not differ from, by comparison.

    Args:
        differences: `comparison` and the columns of `differences_from_best`.
    """
    groups = differences.groupby("comparison", sort=False) if len(differences) else ()
    return [_sentence(str(name), rows.to_dict("records")) for name, rows in groups]


def unjudged_sentences(unjudged: Mapping[str, Sequence[str]]) -> list[str]:
    """That methods have no scores where no change is known; by comparison, their labels."""
    return [
        f"{comparison}: no change is known, so the maps of {', '.join(labels)} have no AUC."
        for comparison, labels in unjudged.items()
    ]


def _sentence(comparison: str, rows: Sequence[Mapping[Any, Any]]) -> str:
    apart = sum(row["p_holm"] < ALPHA for row in rows)
    alike = ", ".join(_told(row) for row in rows if not row["p_holm"] < ALPHA)
    first = f"{comparison}: {rows[0]['best']} has the largest AUC"
    others, pairs = counted(len(rows), "other map"), pairs_in_groups(rows[0]["n"], rows[0]["units"])
    if not apart:
        return f"{first}, but differs significantly from none of {others} on {pairs}."
    if not alike:
        return f"{first}, significantly larger than that of {others}."
    return (
        f"{first}, significantly larger than that of {apart} of {others}. It does not "
        f"differ significantly from {alike}."
    )


def _told(row: Mapping[Any, Any]) -> str:
    known = "" if np.isnan(row["low"]) else f", {signed_interval(row['low'], row['high'])}"
    return f"{row['other']} ({signed(row['difference'])}{known})"
