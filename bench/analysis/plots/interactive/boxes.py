"""Box plots of Dice with their test pairs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.plots.boxes import WHISKERS
from bench.analysis.plots.interactive.canvas import (
    Plot,
    add_hover,
    finished,
    new_canvas,
    set_ticks,
)
from bench.analysis.plots.style import Look, is_dark

BOX = 0.62  # of the distance between boxes
GOLDEN = (5**0.5 - 1) / 2


def plot_boxes(comparison: Comparison, looks: Mapping[str, Look], name: str) -> Plot:
    """Quartiles, median and deciles of each method, with a point for each test pair.

    Args:
        comparison: With Dice.
        looks: Of the labels.
        name: Of its place in the page.
    """
    from bokeh.models import ColumnDataSource, Range1d, Span

    scores = comparison.scores("dice").dropna(axis=1, how="all")
    rows = Range1d(len(scores.columns) - 0.4, -0.6)
    canvas = new_canvas("Dice", "", 90 + 34 * len(scores.columns), y_range=rows)
    set_ticks(canvas.yaxis[0], {row: str(label) for row, label in enumerate(scores)})
    canvas.ygrid.grid_line_color = None
    median = float(comparison.before("dice").median())
    canvas.add_layout(
        Span(location=median, dimension="height", line_color="#444444", line_dash="dashed")
    )
    drawn = []
    for row, label in enumerate(map(str, scores)):
        known = scores[label].dropna()
        _add_box(canvas, row, label, looks[label], known.to_numpy())
        subjects = comparison.subjects.loc[known.index]
        aside = (np.asarray(known.index) * GOLDEN) % 1 - 0.5  # a pair has one place in all boxes
        source = ColumnDataSource(
            {
                "dice": known.round(4).tolist(),
                "row": (row + BOX * aside).round(3).tolist(),
                "moving": subjects["moving"].tolist(),
                "fixed": subjects["fixed"].tolist(),
            }
        )
        drawn.append(
            canvas.scatter(
                "dice",
                "row",
                source=source,
                name=label,
                size=5,
                fill_color="#222222",
                fill_alpha=0.55,
                line_color="white",
                line_width=0.5,
            )
        )
    facts = {"moving": "@moving", "fixed": "@fixed", "Dice": "@dice{0.000}"}
    add_hover(canvas, drawn, facts)
    return finished(canvas, name, comparison.name)


def _add_box(canvas: Any, row: int, label: str, look: Look, values: np.ndarray) -> None:
    low, first, median, third, high = np.percentile(
        values, [WHISKERS[0], 25, 50, 75, WHISKERS[1]]
    ).round(4)
    options = {"name": label, "line_color": "black"}
    canvas.segment([low, third], [row, row], [first, high], [row, row], line_width=1, **options)
    canvas.hbar(
        y=[row],
        left=[first],
        right=[third],
        height=BOX,
        fill_color=look.color,
        hatch_pattern=look.hatch[:1] or " ",
        hatch_alpha=0.4,
        line_width=0.7,
        **options,
    )
    half = BOX / 2
    canvas.segment(
        [median],
        [row - half],
        [median],
        [row + half],
        line_width=2,
        name=label,
        line_color="white" if is_dark(look.color) else "black",
    )
