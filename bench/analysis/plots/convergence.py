"""How training went on."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.plots.style import Look, add_legend, marker, new_figure, point_handle

CURVES = {
    "train_loss": "training loss, scaled",
    "val_loss": "validation loss, scaled",
    "val_dice": "validation Dice",
}
MARKERS = 8  # on a curve, at most
AXES = {"step": "steps", "seconds": "seconds of training"}


def draw_convergence(comparison: Comparison, looks: Mapping[str, Look]) -> Any:
    """Losses and validation Dice against steps and against seconds, a line for each seed.

    Losses of different metrics have no common scale: each run's is scaled to its own range.

    Args:
        comparison: One comparison.
        looks: Of the labels.
    """
    curves = [
        name
        for name in CURVES
        if any(
            name in entry.histories and entry.histories[name].notna().any()
            for entry in comparison.entries
        )
    ]
    figure = new_figure(3.3 * len(curves), 4.8)
    panels = figure.subplots(len(AXES), len(curves), squeeze=False, sharey="col")
    for line, axis in zip(panels, AXES, strict=True):
        for panel, name in zip(line, curves, strict=True):
            for entry in comparison.entries:
                for _, rows in entry.histories.groupby("seed"):
                    values = rows[name] if name == "val_dice" else _scaled(rows[name])
                    panel.plot(
                        rows[axis],
                        values,
                        linewidth=1.2,
                        markevery=-(-len(rows) // MARKERS),
                        **marker(looks[entry.label]),
                    )
            panel.set_xlabel(AXES[axis])
            panel.set_ylabel(CURVES[name])
    figure.suptitle(comparison.name)
    labels = [entry.label for entry in comparison.entries]
    add_legend(figure, [point_handle(label, looks[label]) for label in labels])
    return figure


def _scaled(values: pd.Series) -> pd.Series:
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else values * 0
