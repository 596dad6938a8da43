"""The main table: what is best is bold, the second underlined, significant ties marked."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.paired import tied_with
from bench.analysis.numbers.ranking import rank
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.numbers.wording import plain, signed
from bench.analysis.reading.durations import duration
from bench.analysis.report.markup import NONE, Cell, Table
from bench.scores.registry import SCORES, compared_scores
from bench.store.layout import NETWORK

HEADINGS = {
    "comparison": "data set",
    "label": "method",
    "weight": "λ",
    "seeds": "seeds",
    "n": "pairs",
    "published": "papers' Dice",
    "difference": "Dice (published) − papers'",
    "training_seconds": "training",
    "extractor": "extractor's score",
}
FIRST = ("comparison", "label", "weight", "seeds", "n")
FOLLOWING = {"dice_published": ["published", "difference"]}  # what a score with
ON_DEMAND = ("cost", "consistency")  # kinds of scores of the main table besides short ones
QUANTILES = {  # columns of quantiles over pairs, and their scores
    f"{name}_{score.quantile_name}": name for name, score in SCORES.items() if score.quantile
}


def training_note(comparisons: Sequence[Comparison]) -> str:
    """What the column of trainings means where networks learned all λ; else empty."""
    runs = (run for one in comparisons for entry in one.entries for run in entry.choice.runs)
    if not any(NETWORK in run for run in runs):
        return ""
    return (
        "The training of a method with one network for every λ is that network's, for all λ "
        "together."
    )


def _columns(rows: pd.DataFrame) -> list[str]:
    """The columns that are filled: facts, the leading score, others, published definitions."""
    lead = _lead(rows)
    order = {name: 2 if _is_cost(name) else name.endswith("_published") for name in SCORES}
    scores = sorted(SCORES, key=lambda name: -1 if name == lead else order[name])
    quantiles = [column for column, name in QUANTILES.items() if name == lead]
    further = {**FOLLOWING, lead: ["gain", *quantiles, *FOLLOWING.get(lead, [])]}
    behind = [
        column
        for name in scores
        if _is_shown(name, rows)
        for column in (name, *further.get(name, []))
    ]
    wanted = [*FIRST, *behind, "training_seconds", "extractor"]
    return [name for name in wanted if name in rows and rows[name].notna().any()]


def _is_shown(name: str, rows: pd.DataFrame) -> bool:
    """Whether the main table has a score; results.csv has all.

    It has those of short tables, what is measured on demand or as cost, published definitions
    beside the papers' values, and what is lost if anything is.
    """
    score, lead = SCORES[name], _lead(rows)
    if name == lead:
        return True
    if score.hides_zero:
        return name in rows and bool((rows[name].fillna(0) != 0).any())
    if name.endswith("_published"):
        return "published" in rows or not lead
    return score.in_short or score.kind in ON_DEMAND


def _lead(rows: pd.DataFrame) -> str:
    """The score that the methods of a table are judged by; none of the papers'."""
    return str(rows["lead"].iloc[0]) if "lead" in rows and len(rows) else ""


def _is_cost(name: str) -> bool:
    return SCORES[name].kind == "cost"


def _heading(column: str, rows: pd.DataFrame) -> str:
    """What heads a column; the unit stands in the cells if data sets differ in it."""
    name = _lead(rows) if column == "gain" else QUANTILES.get(column, column)
    if name not in SCORES:
        return HEADINGS[column]
    units = _units(name, rows)
    score = SCORES[name]
    unit = None if not units else units[0] if len(units) == 1 else ""
    if column == "gain":
        return f"Δ {score.heading(unit)}"
    return score.directed(unit, column in QUANTILES)


def _units(column: str, rows: pd.DataFrame) -> list[str]:
    known = rows.get(f"{column}_unit")
    if known is None:
        return []
    return list(dict.fromkeys(known[rows[column].notna()].fillna(SCORES[column].unit)))


def results_table(rows: pd.DataFrame, pairs: pd.DataFrame, name: str, caption: str) -> Table:
    """The main table.

    Args:
        rows: Of `bench.analysis.numbers.results`, or of the papers; columns they lack are left out.
        pairs: Of `compare_pairwise`, for the ties; may be empty.
        name: Of its files.
        caption: What heads it.
    """
    columns = _columns(rows)
    mixed = {column for column in columns if column in SCORES and len(_units(column, rows)) > 1}
    headings = [_heading(column, rows) for column in columns]
    table = Table(name, caption, headings, texts=2, names=1)
    for comparison, of_one in rows.groupby("comparison", sort=False):
        marks = {
            score: rank(of_one.set_index("label")[score].drop(UNREGISTERED, errors="ignore"), score)
            for score in compared_scores()
            if score in columns
        }
        ties = {score: _ties(pairs, str(comparison), score, marks[score]) for score in marks}
        table.sections.append(
            [
                [
                    _cell(
                        row, column, marks.get(column, {}), ties.get(column, set()), column in mixed
                    )
                    for column in columns
                ]
                for row in _records(_references_first(of_one))
            ]
        )
    return table


def _references_first(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with those on top that use no metric: unregistered, affine, SyN."""
    if "model" not in rows:
        return rows
    references = (rows["label"] == UNREGISTERED) | (rows["metric"] == rows["model"])
    return pd.concat([rows[references], rows[~references]])


def _ties(pairs: pd.DataFrame, comparison: str, score: str, marks: dict[str, str]) -> set[str]:
    best = [label for label, mark in marks.items() if mark == "best"]
    if pairs.empty or not best:
        return set()
    compared = pairs[(pairs["comparison"] == comparison) & (pairs["score"] == score)]
    return set.union(*(tied_with(label, compared) for label in best)) - set(best)


def _cell(
    row: dict[str, Any], column: str, marks: dict[str, str], ties: set[str], with_unit: bool
) -> Cell:
    value, label = row[column], row["label"]
    if value is None or value != value:
        return Cell(NONE)
    if column in SCORES:
        text = spread(value, row.get(f"{column}_std"), SCORES[column].digits)
        if with_unit:
            unit = row.get(f"{column}_unit")
            text += f" {unit if isinstance(unit, str) else SCORES[column].unit}"
        return Cell(text, value, marks.get(label, ""), label in ties)
    if column in QUANTILES:
        return Cell(spread(value, None, SCORES[QUANTILES[column]].digits), value)
    return Cell(_text(row, column, value), value)


def _text(row: dict[str, Any], column: str, value: Any) -> str:
    if column == "weight":
        note = " (not validated)" if row.get("blind") else " (border)" if row["at_border"] else ""
        return f"{value:g}{note}"
    if column == "n":
        left_out = row.get("left_out", 0)
        return f"{value:.0f} of {value + left_out:.0f}" if left_out else f"{value:.0f}"
    if column == "seeds":
        return f"{value:.0f}"
    if column == "published":
        return f"{value:.3f}"
    if column == "gain":
        return signed(value, SCORES[row["lead"]].digits)
    if column == "difference":
        return signed(value)
    return duration(value) if column == "training_seconds" else str(value)


def spread(mean: float, std: float | None, digits: int) -> str:
    """Mean, and the standard deviation where it is known."""
    return plain(mean, digits) + ("" if std is None or std != std else f" ± {plain(std, digits)}")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
