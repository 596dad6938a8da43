"""Tables of a report beside the main one."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import LEADING
from bench.analysis.numbers.ranking import rank
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.numbers.wording import interval, signed, signed_interval
from bench.analysis.reading.metrics import metric_order
from bench.analysis.report.main_table import spread
from bench.analysis.report.markup import NONE, Cell, Table
from bench.scores.registry import SCORES
from bench.scores.score import ARROWS


def named(name: str, score: str) -> str:
    """Name of a table of what is judged by a score, with the score if it is not the usual one."""
    return name if score == LEADING[0] else f"{name}-{score}"


def class_table(rows: pd.DataFrame, name: str) -> Table:
    """Dice of each class by method, for one comparison; a class that no pair has says `absent`.

    Args:
        rows: Of `class_rows`.
        name: Of its files.
    """
    labels = list(dict.fromkeys(rows["label"]))
    caption = (
        f"Dice per class on {rows['comparison'].iloc[0]}, mean ± standard deviation over pairs."
    )
    table = Table(name, caption, ["class", "pairs", *labels], texts=1)
    body = []
    for class_name, of_class in rows.groupby("class", sort=False):
        by_label = of_class.set_index("label")
        marks = rank(by_label["dice"].drop(UNREGISTERED), "dice")
        count = int(by_label["n"].min())
        cells = [Cell(str(class_name), str(class_name)), Cell(str(count), count)]
        for label in labels:
            mean, std = by_label.loc[label, ["dice", "dice_std"]]
            text = "absent" if mean != mean else spread(mean, std, SCORES["dice"].digits)
            cells.append(Cell(text, None if mean != mean else mean, marks.get(label, "")))
        body.append(cells)
    table.sections.append(body)
    return table


def fronts_table(fronts: pd.DataFrame) -> Table:
    """The leading score at equal smoothness.

    Args:
        fronts: Of `compare_fronts`, of comparisons that have one leading score.
    """
    score = SCORES[fronts["score"].iloc[0]]
    arrow = ARROWS[score.best]
    caption = (
        f"{score.title} at equal smoothness, interpolated between neighbouring λ: at the mean SD "
        "log J of the smoothest method, or the nearest that all (otherwise most) methods reach "
        "(common), and at that of each method without λ."
    )
    headings = ["data set", "smoothness of", "method", "SD log J", "pairs"]
    headings += [f"{score.title} {arrow}", "95 % interval"]
    digits = score.digits
    table = Table(named("equal_smoothness", score.name), caption, headings, texts=3, names=2)
    for _, rows in fronts.groupby(["comparison", "level"], sort=False):
        marks = rank(rows.set_index("label")["mean"], score.name)
        body = []
        for row in rows.to_dict("records"):
            body.append(
                [
                    Cell(row["comparison"], row["comparison"]),
                    Cell(row["level"], row["level"]),
                    Cell(row["label"], row["label"]),
                    Cell(f"{row['sdlogj']:.4f}", row["sdlogj"]),
                    Cell(str(row["n"]), row["n"]),
                    Cell(
                        spread(row["mean"], None, digits), row["mean"], marks.get(row["label"], "")
                    ),
                    _interval(row, digits),
                ]
            )
        table.sections.append(body)
    return table


def losses_table(losses: pd.DataFrame) -> Table:
    """Cost of noise.

    Args:
        losses: Of `noise_losses`, of comparisons that have one leading score.
    """
    score = SCORES[losses["score"].iloc[0]]
    caption = f"{score.title} lost to noise, on the same test pairs, each method at its chosen λ."
    headings = ["data set", "method", "noise", "pairs", f"{score.title} lost ↓", "95 % interval"]
    table = Table(
        named("noise", score.name), caption, [*headings, "SD log J gained"], texts=2, names=1
    )
    for _, rows in losses.groupby("comparison", sort=False):
        ordered = rows.set_index("label")["loss"].sort_values(kind="stable")
        marks = dict(zip(ordered.index[:2], ("best", "second"), strict=False))
        table.sections.append(
            [
                [
                    Cell(row["clean"], row["clean"]),
                    Cell(row["label"], row["label"]),
                    Cell(f"{row['noise']:g}", row["noise"]),
                    Cell(str(row["n"]), row["n"]),
                    Cell(
                        spread(row["loss"], None, score.digits),
                        row["loss"],
                        marks.get(row["label"], ""),
                    ),
                    _interval(row, score.digits),
                    _signed(row["roughening"], 4),
                ]
                for row in rows.to_dict("records")
            ]
        )
    return table


def wins_table(about: str, wins: pd.DataFrame) -> Table:
    """Number of data sets on which the row's method beats the column's.

    Args:
        about: Which data sets.
        wins: Of `count_wins`.
    """
    labels = list(dict.fromkeys([*wins["first"], *wins["second"]]))
    labels.sort(key=lambda label: metric_order(label.split()[0]))
    caption = (
        f"{about}: number of data sets on which the method of the row is significantly better / "
        "worse than that of the column, of those that compare both."
    )
    table = Table("wins", caption, ["method", *labels], texts=1)
    counts = {(row["first"], row["second"]): row for row in wins.to_dict("records")}
    body = []
    for first in labels:
        cells = [Cell(first, first)]
        for second in labels:
            row = counts.get((first, second))
            text = f"{row['better']} / {row['worse']} of {row['datasets']}" if row else NONE
            cells.append(Cell(text, row["better"] if row else None))
        body.append(cells)
    table.sections.append(body)
    return table


def statistics_table(pairs: pd.DataFrame, name: str, caption: str, published: bool) -> Table:
    """Every two methods of a comparison on one score.

    Args:
        pairs: Rows of `compare_pairwise` of one comparison and score.
        name: Of its files.
        caption: What heads it.
        published: Whether to add the papers' test: uncorrected p and unpaired Cohen's d.
    """
    headings = ["method", "against", "pairs", "left out", "groups", "difference", "95 % interval"]
    headings += ["p (Holm)", "rank-biserial"]
    if published:
        headings += ["p uncorrected (published)", "Cohen's d (published)"]
    table = Table(name, caption, headings, texts=2)
    digits = 4
    body = []
    for row in pairs.to_dict("records"):
        cells = [Cell(row[key], row[key]) for key in ("first", "second")]
        cells += [Cell(str(row[key]), row[key]) for key in ("n", "left_out", "units")]
        cells.append(_signed(row["difference"], digits))
        limits = signed_interval(row["low"], row["high"], digits)
        cells.append(Cell(limits if row["low"] == row["low"] else NONE, row["low"]))
        cells += [_probability(row["p_holm"]), _signed(row["rank_biserial"], 2)]
        if published:
            cells += [_probability(row["p"]), _signed(row["cohens_d"], 2)]
        body.append(cells)
    table.sections.append(body)
    return table


def _interval(row: Mapping[Hashable, Any], digits: int) -> Cell:
    """The limits of a mean."""
    if row["low"] != row["low"]:
        return Cell(NONE)
    return Cell(interval(row["low"], row["high"], digits), row["low"])


def _signed(value: float, digits: int) -> Cell:
    text = NONE if value != value else signed(value, digits)
    return Cell(text, None if value != value else value)


def _probability(value: float) -> Cell:
    if value != value:
        return Cell(NONE)
    return Cell("< 0.0001" if value < 1e-4 else f"{value:.4f}", value)
