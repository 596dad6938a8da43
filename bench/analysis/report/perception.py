"""Tables of perception: how metrics order images whose order is known."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.perception import CHANCE, COUNT
from bench.analysis.numbers.wording import interval
from bench.analysis.plots.perception import COLUMNS
from bench.analysis.report.markup import NONE, Cell, Table
from bench.scores.of_images import PERCEPTION
from bench.scores.registry import score_of

POOLED = [name for name in PERCEPTION if name not in COLUMNS]
BOLD = "Bold: the best, where metrics differ and it is above chance."
CAPTION = (
    "Perception: means over images, with 95 % bootstrap intervals. 2AFC and rank correlation are "
    "averaged over the graded distortions, geometry and appearance over noise, bias and gamma. "
    f"{BOLD}"
)
BY_DISTORTION = (
    f"2AFC of each distortion, mean over images, with 95 % bootstrap intervals; 1 is best. {BOLD}"
)
WARNED = " (warned)"  # behind the name of a metric that takes no part
DIGITS = 3
OF_CHOICES = ("2afc", "geometry", "sections", "persons", "contrasts", "judged")  # begin 2AFC scores


def perception_tables(rows: pd.DataFrame) -> list[Table]:
    """Pooled scores, and 2AFC of each distortion; none without a run.

    Args:
        rows: Of `bench.analysis.numbers.perception.perception_rows`.
    """
    if rows.empty:
        return []
    known = [name for name in COLUMNS if name in rows and rows[name].notna().any()]
    titles = {name: score_of(name).title for name in POOLED if name in rows}
    pooled = {name: score_of(name).directed() for name in titles}
    of_each = {name: COLUMNS[name] for name in known}
    return [
        _table(rows, "perception", CAPTION + _notes(rows, titles), pooled),
        _table(rows, "distortions", BY_DISTORTION + _notes(rows, of_each), of_each),
    ]


def _table(rows: pd.DataFrame, name: str, caption: str, headings: Mapping[str, str]) -> Table:
    first = ["data set", "metric", "seeds", "images"]
    table = Table(name, caption, [*first, *headings.values()], texts=2, names=1)
    for comparison, of_one in rows.groupby("comparison", sort=False):
        best = {column: _best(of_one, column) for column in headings}
        section = []
        for row in of_one.to_dict("records"):
            label = row["label"] + (WARNED if row["warning"] else "")
            facts = [Cell(str(comparison), str(comparison)), Cell(label, label)]
            facts += [Cell(f"{row[key]:.0f}", row[key]) for key in ("seeds", "images")]
            section.append([*facts, *(_cell(row, column, best[column]) for column in headings)])
        table.sections.append(section)
    return table


def _best(rows: pd.DataFrame, column: str) -> float | None:
    """The best printed value of a comparison; None where metrics are alike, or none is right."""
    values = rows.loc[rows["warning"] == "", column].dropna().round(DIGITS)
    if score_of(column).best is None or values.nunique() < 2:
        return None
    by_chance = column.startswith(OF_CHOICES) and values.max() <= CHANCE
    return None if by_chance else float(values.max())


def _cell(row: Mapping[Hashable, Any], column: str, best: float | None) -> Cell:
    """A mean with its interval; bold where it prints as the best."""
    value = row[column]
    if pd.isna(value):
        return Cell(NONE)
    limits = row[f"{column}_low"], row[f"{column}_high"]
    said = "" if pd.isna(limits[0]) else f" ({interval(*limits)})"
    is_best = not row["warning"] and round(value, DIGITS) == best
    return Cell(f"{value:.{DIGITS}f}{said}", value, "best" if is_best else "")


def _notes(rows: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """What a reader of a table must know of its seeds, its counts and its metrics."""
    groups = [(str(name), one) for name, one in rows.groupby("comparison", sort=False)]
    seeds = [name for name, one in groups if one["seed_numbers"].nunique() > 1]
    counts = [text for name, one in groups if (text := _other_counts(name, one, titles))]
    alone = [text for name, one in groups if (text := _of_one_image(name, one, titles))]
    notes = {
        "Metrics with different seeds, which draw the distortions, so that they saw different "
        "images": seeds,
        "Scores of another number of images, or of references": counts,
        "Scores of one image alone, which have no interval": alone,
    }
    said = "".join(f" {what}: {'; '.join(texts)}." for what, texts in notes.items() if texts)
    warned = f"{WARNED.strip()}: this metric ignores the deformation and takes no part."
    return f"{said} {warned}" if (rows["warning"] != "").any() else said


def _other_counts(name: str, rows: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """Scores whose number of images is not that in the table."""
    texts = []
    for column, title in titles.items():
        counts = _counts(rows, column)
        if len(counts) and (counts != rows.loc[counts.index, "images"]).any():
            least, most = int(counts.min()), int(counts.max())
            texts.append(f"{title} {least}" + (f" to {most}" if most > least else ""))
    return f"{name} {', '.join(texts)}" if texts else ""


def _of_one_image(name: str, rows: pd.DataFrame, titles: Mapping[str, str]) -> str:
    known = {title: _counts(rows, column) for column, title in titles.items()}
    known = {title: counts for title, counts in known.items() if len(counts)}
    alone = [title for title, counts in known.items() if counts.min() == 1]
    return f"{name} {'all' if len(alone) == len(known) else ', '.join(alone)}" if alone else ""


def _counts(rows: pd.DataFrame, column: str) -> pd.Series:
    """Over how many images the scores are that some metrics have."""
    counts = rows[f"{column}{COUNT}"].dropna()
    return counts[counts > 0]
