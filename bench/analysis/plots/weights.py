"""Validation scores against λ."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.plots.style import (
    MANY_TICKS,
    Look,
    add_legend,
    draw_lines,
    line_handle,
    new_figure,
)

SHOWN = {"val_dice": "validation Dice", "val_folding": "validation folding"}
RING: dict[str, Any] = {"markersize": 12, "fillstyle": "none"}


def draw_weights(comparison: Comparison, looks: Mapping[str, Look], published: pd.DataFrame) -> Any:
    """Validation Dice and folding against λ, means over seeds; the chosen λ is ringed.

    The papers' curves are dotted behind, on a second axis: their Dice counts the
    background.

    Args:
        comparison: One comparison, of which some method uses λ.
        looks: Of the labels.
        published: Of `published_weight_curves`.
    """
    figure = new_figure(9, 3.4)
    panels = figure.subplots(1, 2)
    _draw_published(panels[0], comparison, looks, published)
    weighted = [entry for entry in comparison.entries if entry.path["weight"].notna().any()]
    rows = pd.concat([entry.path.assign(label=entry.label) for entry in weighted])
    for panel, (name, title) in zip(panels, SHOWN.items(), strict=True):
        draw_lines(panel, rows, "weight", name, looks)
        for entry in weighted:
            chosen = entry.path[entry.path["weight"] == entry.choice.weight]
            panel.plot(chosen["weight"], chosen[name], "o", color="black", **RING)
        _scale(panel, rows["weight"])
        panel.set_xlabel("λ")
        panel.set_ylabel(title)
    figure.suptitle(comparison.name)
    labels = [entry.label for entry in weighted]
    add_legend(figure, [line_handle(label, looks[label]) for label in labels])
    return figure


def _draw_published(
    panel: Any, comparison: Comparison, looks: Mapping[str, Look], published: pd.DataFrame
) -> None:
    curves = published[published["dataset"] == comparison.dataset]
    labels = {entry.metric: entry.label for entry in comparison.entries}
    curves = curves[curves["metric"].isin(labels)]
    if curves.empty:
        return
    behind = panel.twinx()
    behind.set_zorder(panel.get_zorder() - 1)
    panel.patch.set_visible(False)
    behind.grid(visible=False)
    for metric, curve in curves.groupby("metric"):
        color = looks[labels[str(metric)]].color
        behind.plot(curve["weight"], curve["val_dice_mean"], ":", color=color, linewidth=1.2)
    behind.set_ylabel("papers' Dice, dotted", color="0.4")
    behind.tick_params(axis="y", colors="0.4")
    behind.spines["right"].set_visible(True)


def _scale(panel: Any, weights: pd.Series) -> None:
    """A logarithmic axis; one with a linear part up to the least positive λ if λ = 0 is there."""
    positive = weights[weights > 0]
    if len(positive) == len(weights):
        panel.set_xscale("log", base=2)
    elif len(positive):
        panel.set_xscale("symlog", base=2, linthresh=positive.min())
    given = sorted(set(weights.dropna()))
    panel.set_xticks(
        given, [f"{weight:g}" for weight in given], rotation=90 * (len(given) > MANY_TICKS)
    )
    panel.set_xticks([], minor=True)
