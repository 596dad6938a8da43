"""Dice of each anatomical class, grouped by metric."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.results import class_values
from bench.analysis.plots.boxes import draw_boxes_by_label
from bench.analysis.plots.style import Look, add_legend, new_figure

CLASSES_PER_ROW = 8
GROUP = 0.84  # of the distance between classes


def draw_classes(comparison: Comparison, looks: Mapping[str, Look]) -> Any:
    """Box plots of Dice, a group for each class, from the largest mean to the smallest.

    Classes that no pair has are left out.

    Args:
        comparison: With classes.
        looks: Of the labels.
    """
    labels = [entry.label for entry in comparison.entries if len(entry.classes)]
    values = pd.concat(
        [
            class_values(entry.classes).assign(label=entry.label)
            for entry in comparison.entries
            if len(entry.classes)
        ]
    )
    means = values.groupby(["class", "label"])["dice"].mean().groupby("class").mean()
    names = list(means.dropna().sort_values(ascending=False, kind="stable").index)
    rows = [names[i : i + CLASSES_PER_ROW] for i in range(0, len(names), CLASSES_PER_ROW)]
    widest = len(rows[0])
    figure = new_figure(
        max(4.5, 0.9 + widest * max(0.18 * len(labels), 0.6)), 2.3 * len(rows) + 0.5
    )
    panels = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    for panel, row in zip(panels, rows, strict=True):
        shown = values[values["class"].isin(row)]
        draw_boxes_by_label(
            panel, shown, looks, x="class", y="dice", order=row, width=GROUP, gap=0.15
        )
        panel.set_xticks(range(len(row)), [name.replace(" ", "\n") for name in row])
        panel.set_xlim(-0.5, widest - 0.5)
        panel.set_xlabel("")
        panel.set_ylabel("Dice")
    panels[0].set_title(comparison.name)
    handles = [_patch(looks[label], label) for label in labels]
    add_legend(figure, handles)
    return figure


def _patch(look: Look, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(
        facecolor=look.color, hatch=look.hatch, edgecolor="black", linewidth=0.6, label=label
    )
