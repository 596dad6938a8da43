"""Tables of a report: what is best is bold, the second underlined, significant ties marked."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import LEADING
from bench.analysis.numbers.paired import tied_with
from bench.analysis.numbers.ranking import rank
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.numbers.wording import MINUS, interval, signed, signed_interval
from bench.analysis.reading.durations import duration
from bench.analysis.reading.metrics import metric_order
from bench.analysis.report.markup import NONE, Cell, Table
from bench.scores.registry import SCORES, compared_scores
from bench.scores.score import ARROWS

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


def named(name: str, score: str) -> str:
    """Name of a table of what is judged by a score, with the score if it is not the usual one."""
    return name if score == LEADING[0] else f"{name}-{score}"


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
    known = std is not None and std == std
    return f"{mean:.{digits}f}" + (f" ± {std:.{digits}f}" if known else "")


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
                        spread(row["loss"], None, score.digits).replace("-", MINUS),
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
    headings = ["method", "against", "pairs", "left out", "difference", "95 % interval"]
    headings += ["p (Holm)", "rank-biserial"]
    if published:
        headings += ["p uncorrected (published)", "Cohen's d (published)"]
    table = Table(name, caption, headings, texts=2)
    digits = 4
    body = []
    for row in pairs.to_dict("records"):
        cells = [Cell(row[key], row[key]) for key in ("first", "second")]
        cells += [Cell(str(row[key]), row[key]) for key in ("n", "left_out")]
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


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
