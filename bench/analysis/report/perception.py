"""Tables of perception: how metrics order images whose order is known."""

import pandas as pd

from bench.analysis.numbers.wording import interval
from bench.analysis.plots.perception import COLUMNS
from bench.analysis.report.markup import NONE, Cell, Table
from bench.scores.of_images import PERCEPTION
from bench.scores.registry import score_of

POOLED = [name for name in PERCEPTION if name not in COLUMNS]
CAPTION = (
    "Perception: means over images, with 95 % bootstrap intervals. 2AFC and rank correlation are "
    "averaged over the graded distortions, geometry and appearance over noise, bias and gamma."
)
BY_DISTORTION = (
    "2AFC of each distortion, mean over images, with 95 % bootstrap intervals; 1 is best."
)


def perception_tables(rows: pd.DataFrame) -> list[Table]:
    """Pooled scores, and 2AFC of each distortion; none without a run.

    Args:
        rows: Of `bench.analysis.numbers.perception.perception_rows`.
    """
    if rows.empty:
        return []
    known = [name for name in COLUMNS if name in rows and rows[name].notna().any()]
    headings = {name: score_of(name).directed() for name in POOLED if name in rows}
    return [
        _table(rows, "perception", CAPTION, headings),
        _table(rows, "distortions", BY_DISTORTION, {name: COLUMNS[name] for name in known}),
    ]


def _table(rows: pd.DataFrame, name: str, caption: str, headings: dict[str, str]) -> Table:
    first = ["data set", "metric", "seeds", "images"]
    table = Table(name, caption, [*first, *headings.values()], texts=2, names=1)
    for comparison, of_one in rows.groupby("comparison", sort=False):
        best = {column: of_one[column].max() for column in headings if score_of(column).best}
        section = []
        for row in of_one.to_dict("records"):
            facts = [Cell(str(comparison), str(comparison)), Cell(row["label"], row["label"])]
            facts += [Cell(f"{row[key]:.0f}", row[key]) for key in ("seeds", "images")]
            section.append([*facts, *(_cell(row, c, best.get(c), len(of_one)) for c in headings)])
        table.sections.append(section)
    return table


def _cell(row: dict, column: str, best: float | None, count: int) -> Cell:
    """A mean with its interval; bold where it prints as the best of several."""
    value = row[column]
    if pd.isna(value):
        return Cell(NONE)
    limits = row[f"{column}_low"], row[f"{column}_high"]
    said = "" if pd.isna(limits[0]) else f" ({interval(*limits)})"
    is_best = best is not None and count > 1 and round(value, 3) == round(best, 3)
    return Cell(f"{value:.3f}{said}", value, "best" if is_best else "")
