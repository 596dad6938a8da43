"""A figure of the report, with caption and description."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.plots.interactive.canvas import Plot
from bench.analysis.plots.style import Look
from bench.config.identity import digest

LONGEST = 80  # bytes of a name, to which others are added; file systems allow 255


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: Of its files.
        caption: What it shows and how to read it.
        figure: A matplotlib figure.
        section: Of the page, which heads it.
        description: The numbers that it shows, in words, for screen readers.
        plots: Makes the interactive plots that replace it in the page.
        legend: Looks of the labels in the plots.
    """

    name: str
    caption: str
    figure: Any
    section: str = "Further figures"
    description: str = ""
    plots: Callable[[], Sequence[Plot]] = tuple
    legend: Mapping[str, Look] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """The data of a report's figures.

    Attributes:
        comparisons: From `compare`.
        rows: Of `bench.analysis.numbers.results`, of all comparisons.
        looks: Of the labels.
    """

    comparisons: Sequence[Comparison]
    rows: pd.DataFrame
    looks: Mapping[str, Look]

    def judged_by(self, score: str) -> list[Comparison]:
        """Those comparisons whose leading score is this one, and that have it."""
        return [
            one
            for one in self.comparisons
            if one.lead == score and one.scores(score).notna().any(axis=None)
        ]

    @property
    def labelled(self) -> list[Comparison]:
        """Those comparisons that have Dice."""
        return [one for one in self.comparisons if one.scores("dice").notna().any(axis=None)]


def left_out(rows: pd.DataFrame) -> str:
    """Names methods of a comparison that a figure does not show, of rows of the main table."""
    reasons = {}
    for row in rows.to_dict("records"):
        state = row.get("state")
        reason = state if isinstance(state, str) else "no value"
        reasons[f"{row['label']} on {row['comparison']}"] = reason
    return said(reasons)


def said(reasons: Mapping[str, str]) -> str:
    """Names what a figure leaves out, each with the reason; empty if there is nothing."""
    texts = [f"{name} ({reason})" for name, reason in reasons.items()]
    return f" Left out: {', '.join(texts)}." if texts else ""


def legend(comparisons: Iterable[Comparison], looks: Mapping[str, Look]) -> dict[str, Look]:
    """The looks of the labels of some comparisons."""
    present = {entry.label for one in comparisons for entry in one.entries}
    return {label: look for label, look in looks.items() if label in present}


def file_name(name: str) -> str:
    """A name without what does not belong into the name of a file.

    The end of one of more than `LONGEST` bytes is replaced by its hash.
    """
    kept = "".join(c if c.isalnum() or c in "_-" else " " for c in name)
    whole = "-".join(kept.split())
    if len(whole.encode()) <= LONGEST:
        return whole
    mark = digest(name)
    begin = whole.encode()[: LONGEST - len(mark) - 1].decode(errors="ignore")
    return f"{begin.rstrip('-')}-{mark}"
