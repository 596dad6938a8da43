"""Validation scores against λ."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.plots.style import Look, add_legend, marker, new_figure, point_handle

SHOWN = {"val_dice": "validation Dice", "val_folding": "validation folding"}
RING: dict[str, Any] = {"markersize": 12, "fillstyle": "none"}


def draw_weights(comparison: Comparison, looks: Mapping[str, Look], published: pd.DataFrame) -> Any:
    """Validation Dice and folding against λ, means over seeds; the chosen λ is ringed.

    The papers' curves are dotted behind, on an axis of their own: their Dice counts the
    background.

    Args:
        comparison: One comparison.
        looks: Of the labels.
        published: Of `published_weight_curves`.
    """
    figure = new_figure(9, 3.4)
    panels = figure.subplots(1, 2)
    _draw_published(panels[0], comparison, looks, published)
    for panel, (name, title) in zip(panels, SHOWN.items(), strict=True):
        for entry in comparison.entries:
            path = entry.path
            panel.plot(path["weight"], path[name], linewidth=1.2, **marker(looks[entry.label]))
            chosen = path[path["weight"] == entry.choice.weight]
            panel.plot(chosen["weight"], chosen[name], "o", color="black", **RING)
        _scale(panel, comparison)
        panel.set_xlabel("λ")
        panel.set_ylabel(title)
    figure.suptitle(comparison.name)
    labels = [entry.label for entry in comparison.entries]
    add_legend(figure, [point_handle(label, looks[label]) for label in labels])
    return figure


def _draw_published(
    panel: Any, comparison: Comparison, looks: Mapping[str, Look], published: pd.DataFrame
) -> None:
    own = published[published["dataset"] == comparison.dataset]
    labels = {entry.metric: entry.label for entry in comparison.entries}
    own = own[own["metric"].isin(labels)]
    if own.empty:
        return
    behind = panel.twinx()
    behind.set_zorder(panel.get_zorder() - 1)
    panel.patch.set_visible(False)
    behind.grid(visible=False)
    for metric, curve in own.groupby("metric"):
        color = looks[labels[metric]].color
        behind.plot(curve["weight"], curve["val_dice_mean"], ":", color=color, linewidth=1.2)
    behind.set_ylabel("papers' Dice, dotted", color="0.4")
    behind.tick_params(axis="y", colors="0.4")
    behind.spines["right"].set_visible(True)


def _scale(panel: Any, comparison: Comparison) -> None:
    """A logarithmic axis; one with a linear part up to the least positive λ if λ = 0 is there."""
    weights = pd.concat([entry.path["weight"] for entry in comparison.entries])
    positive = weights[weights > 0]
    if len(positive) == len(weights):
        panel.set_xscale("log", base=2)
    elif len(positive):
        panel.set_xscale("symlog", base=2, linthresh=positive.min())
    panel.xaxis.set_major_formatter("{x:.2g}")
