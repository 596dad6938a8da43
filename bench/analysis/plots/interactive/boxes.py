"""Box plots of the leading score with their test pairs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.measure import Measure
from bench.analysis.plots.boxes import WHISKERS
from bench.analysis.plots.interactive.canvas import (
    Plot,
    add_hover,
    finished,
    new_canvas,
    set_ticks,
)
from bench.analysis.plots.style import Look

BOX = 0.62  # of the distance between boxes
POINT = {  # a test pair
    **{"size": 5, "fill_color": "#222222", "fill_alpha": 0.55},
    **{"line_color": "white", "line_width": 0.5},
}
GOLDEN = (5**0.5 - 1) / 2


def plot_boxes(comparison: Comparison, looks: Mapping[str, Look], name: str) -> Plot:
    """Quartiles, median and deciles of each method, with a point for each test pair.

    Args:
        comparison: With values of its leading score.
        looks: Of the labels.
        name: Of its place in the page.
    """
    from bokeh.models import ColumnDataSource, Range1d, Scatter, Span

    measure = Measure.leading(comparison)
    scores = comparison.scores(comparison.lead).dropna(axis=1, how="all")
    rows = Range1d(len(scores.columns) - 0.4, -0.6)
    canvas = new_canvas(measure.heading, "", 90 + 34 * len(scores.columns), y_range=rows)
    set_ticks(canvas.yaxis[0], {row: str(label) for row, label in enumerate(scores)})
    canvas.ygrid.grid_line_color = None
    median = float(comparison.before(comparison.lead).median())
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
                "value": known.round(4).tolist(),
                "row": (row + BOX * aside).round(3).tolist(),
                "moving": subjects["moving"].tolist(),
                "fixed": subjects["fixed"].tolist(),
            }
        )
        drawn.append(canvas.add_glyph(source, Scatter(x="value", y="row", **POINT), name=label))
    digits = "0" * measure.score.digits
    facts = {"moving": "@moving", "fixed": "@fixed", measure.title: f"@value{{0.{digits}}}"}
    add_hover(canvas, drawn, facts)
    return finished(canvas, name, comparison.name)


def _add_box(canvas: Any, row: int, label: str, look: Look, values: np.ndarray) -> None:
    from bokeh.models import ColumnDataSource, HBar, Segment

    shares = (WHISKERS[0], 25, 50, 75, WHISKERS[1])
    low, first, median, third, high = np.percentile(values, shares).round(4).tolist()

    def draw(glyph: Any) -> None:
        canvas.add_glyph(ColumnDataSource({"row": [row]}), glyph, name=label)

    for start, end in ((low, first), (third, high)):
        draw(Segment(x0=start, x1=end, y0="row", y1="row", line_color="black"))
    look_of_box = {"fill_color": look.color, "line_color": "black", "line_width": 0.7}
    hatch = {"hatch_pattern": look.hatch[:1] or " ", "hatch_alpha": 0.4}
    draw(HBar(y="row", left=first, right=third, height=BOX, **look_of_box, **hatch))
    ends = {"y0": row - BOX / 2, "y1": row + BOX / 2}
    for color, width in (("white", 4), ("black", 2)):  # seen on all colours and edges
        draw(Segment(x0=median, x1=median, **ends, line_color=color, line_width=width))
