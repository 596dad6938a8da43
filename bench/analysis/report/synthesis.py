"""Tables of synthesis: what losses make of images."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.numbers.grading import is_called_poor
from bench.analysis.numbers.synthesis import GAIN, INPUT, JUDGE, JUDGED, digits, direction
from bench.analysis.numbers.wording import interval, plain, signed, signed_interval
from bench.analysis.report.markup import NONE, Cell, Table
from bench.scores.registry import score_of

CAPTION = (
    "Synthesis: means over images, with 95 % bootstrap intervals; c as chosen on validation. Dice "
    "is that of a fixed segmenter's labels of the image, against the true ones. The last columns "
    "say how well the networks of losses and judges learned; scores of a poor judge mean little, "
    "and none is called best."
)
GRADED = {  # columns of how well networks learned
    "extractor": "loss's extractor",
    f"dice{JUDGE}": "judge of Dice",
    f"distance{JUDGE}": "judge of distance",
}
GAINS = (
    "Differences from MSE alone on the same images, with 95 % bootstrap intervals; bold where the "
    "loss is better and the interval, in the digits shown, leaves out 0, unless the score's judge "
    "is poor."
)


def synthesis_tables(rows: pd.DataFrame) -> list[Table]:
    """Scores of each loss, and its differences from MSE alone; none without a run.

    Args:
        rows: Of `bench.analysis.numbers.synthesis.synthesis_rows`.
    """
    if rows.empty:
        return []
    known = [name for name in (*JUDGED, "dice_truth") if _has(rows, name)]
    gained = [name for name in JUDGED if _has(rows, f"{name}{GAIN}")]
    graded = [column for column in GRADED if _has(rows, column)]
    tables = [_table(rows, "synthesis", CAPTION, known, _mean, graded)]
    if gained:
        beside = rows[rows[[f"{name}{GAIN}" for name in gained]].notna().any(axis=1)]
        tables.append(_table(beside, "gains", GAINS, gained, _gain))
    return tables


def _has(rows: pd.DataFrame, column: str) -> bool:
    return column in rows and bool(rows[column].notna().any())


def _table(
    rows: pd.DataFrame,
    name: str,
    caption: str,
    scores: Sequence[str],
    cell: Any,
    graded: Sequence[str] = (),
) -> Table:
    first = ["data set", "loss", "c", "seeds", "images"]
    headings = [*(_heading(one, rows) for one in scores), *(GRADED[one] for one in graded)]
    table = Table(name, caption, [*first, *headings], texts=2, names=1)
    for comparison, of_one in rows.groupby("comparison", sort=False):
        facts = [
            [
                Cell(str(comparison), str(comparison)),
                Cell(row["label"], row["label"]),
                *(_number(row[key]) for key in ("weight", "seeds", "images")),
            ]
            for row in of_one.to_dict("records")
        ]
        cells = [
            [
                *(cell(row, one, of_one) for one in scores),
                *(_grades(row[one]) for one in graded),
            ]
            for row in of_one.to_dict("records")
        ]
        table.sections.append([a + b for a, b in zip(facts, cells, strict=True)])
    return table


def _heading(score: str, rows: pd.DataFrame) -> str:
    """A distance with the metric that it is one of, if all rows agree in it."""
    judges = set(rows["judge"].dropna()) if score == "distance" else set()
    return score_of(score).directed(judges.pop() if len(judges) == 1 else None)


def _number(value: float) -> Cell:
    return Cell(NONE) if pd.isna(value) else Cell(f"{value:g}", value)


def _grades(text: str | None) -> Cell:
    return Cell(NONE) if pd.isna(text) else Cell(str(text), str(text))


def _is_doubtful(row: dict[str, Any], name: str) -> bool:
    """Whether the judge of a score is poor."""
    return is_called_poor(row.get(f"{name}{JUDGE}"))


def _mean(row: dict[str, Any], name: str, rows: pd.DataFrame) -> Cell:
    """A mean with its interval; bold where it prints as the best of several losses."""
    value = row.get(name)
    if value is None or pd.isna(value):
        return Cell(NONE)
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    said = "" if pd.isna(low) else f" ({interval(low, high, digits(name))})"
    made = rows.loc[rows["label"] != INPUT, name].dropna()
    best = {"max": made.max(), "min": made.min(), None: None}[score_of(name).best]
    equal = best is not None and round(value, digits(name)) == round(best, digits(name))
    is_best = row["label"] != INPUT and len(made) > 1 and equal and not _is_doubtful(row, name)
    return Cell(f"{plain(value, digits(name))}{said}", value, "best" if is_best else "")


def _gain(row: dict[str, Any], name: str, rows: pd.DataFrame) -> Cell:
    """A difference with its interval; bold where it is a gain beyond doubt."""
    value = row.get(f"{name}{GAIN}")
    if value is None or pd.isna(value):
        return Cell(NONE)
    low, high = row[f"{name}{GAIN}_low"], row[f"{name}{GAIN}_high"]
    said = "" if pd.isna(low) else f" ({signed_interval(low, high, digits(name))})"
    mark = "best" if said and direction(row, name) > 0 and not _is_doubtful(row, name) else ""
    return Cell(f"{signed(value, digits(name))}{said}", value, mark)
