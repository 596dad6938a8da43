"""Course of the training."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.plots.style import Look, add_legend, draw_lines, line_handle, new_figure

CURVES = {
    "train_loss": "training loss, scaled",
    "val_loss": "validation loss, scaled",
    "val_dice": "validation Dice",
}
MARKERS = 8  # on a curve, at most
AXES = {"step": "steps", "seconds": "seconds of training"}


def draw_convergence(comparison: Comparison, looks: Mapping[str, Look]) -> Any:
    """Losses and validation Dice against steps and against seconds, a line for each seed.

    Losses of different metrics have no common scale: each run's is scaled to its range.

    Args:
        comparison: One comparison, of which something was trained.
        looks: Of the labels.
    """
    trained = [entry for entry in comparison.entries if len(entry.histories)]
    rows = pd.concat(
        [entry.histories.assign(label=entry.label) for entry in trained], ignore_index=True
    )
    runs = rows.groupby(["label", "seed"])
    curves = [name for name in CURVES if name in rows and rows[name].notna().any()]
    for name in set(curves) - {"val_dice"}:
        rows[name] = runs[name].transform(_scaled)
    every = -(-int(runs.size().max()) // MARKERS)
    figure = new_figure(3.3 * len(curves), 4.8)
    panels = figure.subplots(len(AXES), len(curves), squeeze=False, sharey="col")
    for line, axis in zip(panels, AXES, strict=True):
        for panel, name in zip(line, curves, strict=True):
            draw_lines(panel, rows, axis, name, looks, unit="seed", markevery=every)
            panel.set_xlabel(AXES[axis])
            panel.set_ylabel(CURVES[name])
    figure.suptitle(comparison.name)
    labels = [entry.label for entry in trained]
    add_legend(figure, [line_handle(label, looks[label]) for label in labels])
    return figure


def _scaled(values: pd.Series) -> pd.Series:
    span = values.max() - values.min()
    return (values - values.min()) / span if span > 0 else values * 0
