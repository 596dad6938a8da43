"""Box plots of Dice over test pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.ranking import rank
from bench.analysis.plots.style import Look, add_title, is_dark, new_figure

WHISKERS = (10, 90)  # deciles, as in the papers
WEIGHTS = {"best": ("black", "bold"), "second": ("black", "normal"), "": ("0.45", "normal")}


def draw_boxes(comparisons: Sequence[Comparison], looks: Mapping[str, Look]) -> Any:
    """Dice of every metric, a panel for each comparison.

    Boxes are quartiles, lines medians, whiskers deciles, dots pairs beyond. The label of the
    largest mean is bold, of the second black, the others grey. The dashed line is the median of
    the unregistered pairs.

    Args:
        comparisons: With labels.
        looks: Of the labels.
    """
    columns = min(len(comparisons), 2)
    lines = -(-len(comparisons) // columns)
    most = max(len(own.entries) for own in comparisons)
    figure = new_figure(4.6 * columns, (0.9 + 0.28 * most) * lines)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, comparison in zip(panels, comparisons, strict=False):
        _draw(panel, comparison, looks)
        panel.set_ylim(most - 0.4, -0.6)
    for panel in panels[len(comparisons) :]:
        panel.set_axis_off()
    return figure


def _draw(panel: Any, comparison: Comparison, looks: Mapping[str, Look]) -> None:
    scores = comparison.scores("dice")
    labels = list(scores)
    boxes(panel, [scores[label].dropna() for label in labels], range(len(labels)), labels, looks)
    panel.axvline(comparison.before("dice").median(), color="0.3", linestyle="--", linewidth=0.9)
    panel.set_yticks(range(len(labels)), labels)
    panel.grid(visible=False, axis="y")
    marks = rank(scores.mean(), "dice")
    ticks = zip(panel.get_yticklabels(), labels, strict=True) if marks else ()
    for tick, label in ticks:
        color, weight = WEIGHTS[marks.get(label, "")]
        tick.set(color=color, fontweight=weight)
    panel.set_xlabel("Dice")
    add_title(panel, comparison.name)


def boxes(
    panel: Any,
    values: Sequence[pd.Series],
    places: Sequence[float] | range,
    labels: Sequence[str],
    looks: Mapping[str, Look],
    width: float = 0.62,
    upright: bool = False,
) -> None:
    """Draws one box for each series of values.

    Args:
        panel: Where to.
        values: A series for each box, without NaN.
        places: Where on the axis of the boxes.
        labels: Whose look each takes.
        looks: Of the labels.
        width: Of a box.
        upright: Whether values run upwards.
    """
    drawn = panel.boxplot(
        [np.asarray(own) for own in values],
        positions=list(places),
        orientation="vertical" if upright else "horizontal",
        whis=WHISKERS,
        widths=width,
        patch_artist=True,
        manage_ticks=False,
        medianprops={"linewidth": 1.3},
        boxprops={"linewidth": 0.6},
        whiskerprops={"linewidth": 0.8},
        capprops={"linewidth": 0.8},
        flierprops={"marker": ".", "markersize": 2.5, "markeredgewidth": 0},
    )
    for i, label in enumerate(labels):
        drawn["boxes"][i].set_facecolor(looks[label].color)
        drawn["medians"][i].set_color("white" if is_dark(looks[label].color) else "black")
        drawn["fliers"][i].set_markerfacecolor("0.3")
