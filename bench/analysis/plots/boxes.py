"""Box plots of the leading score over test pairs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.measure import Measure
from bench.analysis.numbers.ranking import rank
from bench.analysis.plots.style import Look, add_title, new_figure

WHISKERS = (10, 90)  # deciles, as in the papers
MEDIAN, HALO = 1.6, 2.6  # points: black within white, which is seen on all colours and edges


def draw_boxes(comparisons: Sequence[Comparison], looks: Mapping[str, Look]) -> Any:
    """The leading score of every metric, a panel for each comparison.

    Boxes are quartiles, lines medians, whiskers deciles, dots pairs beyond. The label of the
    best mean is bold. The dashed line is the median of the unregistered pairs.

    Args:
        comparisons: With values of their leading scores.
        looks: Of the labels.
    """
    columns = min(len(comparisons), 2)
    lines = -(-len(comparisons) // columns)
    most = max(len(one.entries) for one in comparisons)
    figure = new_figure(4.6 * columns, (0.9 + 0.28 * most) * lines)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, comparison in zip(panels, comparisons, strict=False):
        _draw(panel, comparison, looks)
        panel.set_ylim(most - 0.4, -0.6)
    for panel in panels[len(comparisons) :]:
        panel.set_axis_off()
    return figure


def _draw(panel: Any, comparison: Comparison, looks: Mapping[str, Look]) -> None:
    scores = comparison.scores(comparison.lead)
    labels = [str(label) for label in scores]
    rows = scores.melt(var_name="label", value_name="value")
    draw_boxes_by_label(panel, rows, looks, x="value", y="label", order=labels, width=0.62)
    median = comparison.before(comparison.lead).median()
    panel.axvline(median, color="0.3", linestyle="--", linewidth=0.9)
    panel.set_yticks(range(len(labels)), labels)
    marks = rank(scores.mean(), comparison.lead)
    for tick, label in zip(panel.get_yticklabels(), labels, strict=True):
        if marks.get(label) == "best":
            tick.set_fontweight("bold")
    panel.set_xlabel(Measure.leading(comparison).heading)
    panel.set_ylabel("")
    add_title(panel, comparison.name)


def draw_boxes_by_label(
    panel: Any, rows: pd.DataFrame, looks: Mapping[str, Look], **options: Any
) -> None:
    """Draws boxes in the colours of their labels, with a median that is seen on them.

    Args:
        panel: Where to.
        rows: With `label` and the columns that the options name.
        looks: Of the labels.
        options: Of `seaborn.boxplot`.
    """
    import seaborn
    from matplotlib.colors import to_hex
    from matplotlib.patheffects import withStroke

    present = set(rows["label"])
    palette = {label: look.color for label, look in looks.items() if label in present}
    seaborn.boxplot(
        rows.reset_index(drop=True),
        hue="label",
        hue_order=list(palette),
        palette=palette,
        saturation=1,
        whis=WHISKERS,
        legend=False,
        ax=panel,
        linecolor="black",
        medianprops={
            "linewidth": MEDIAN,
            "solid_capstyle": "butt",
            "path_effects": [withStroke(linewidth=HALO, foreground="white")],
        },
        boxprops={"linewidth": 0.6},
        whiskerprops={"linewidth": 0.8},
        capprops={"linewidth": 0.8},
        flierprops={
            "marker": ".",
            "markersize": 5,
            "markeredgewidth": 0.3,
            "markeredgecolor": "white",
            "markerfacecolor": "0.2",
        },
        **options,
    )
    hatches = {look.color: look.hatch for look in looks.values()}
    for drawn in panel.containers:
        for box in drawn.boxes:
            box.set_hatch(hatches[to_hex(box.get_facecolor())])
