"""What each method reaches along λ: Dice against smoothness, and validation Dice."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison, Entry
from bench.analysis.plots.interactive.canvas import (
    Plot,
    add_hover,
    add_line,
    add_marks,
    finished,
    new_canvas,
    set_ticks,
)
from bench.analysis.plots.style import MANY_TICKS, Look
from bench.scores.registry import SCORES

SIZES = {True: 14, False: 7}  # of a marker: of the chosen λ or of another


def plot_front(
    comparison: Comparison, looks: Mapping[str, Look], smoothness: str, name: str
) -> Plot:
    """Mean test Dice and smoothness under every λ; the marker of the chosen one is large.

    Args:
        comparison: With Dice.
        looks: Of the labels.
        smoothness: Score to the right.
        name: Of its place in the page.
    """
    title = SCORES[smoothness].title
    canvas = new_canvas(f"{title} (left is smoother)", "Dice")
    drawn = []
    for entry in comparison.entries:
        path = entry.path.dropna(subset=["dice", smoothness])
        places = path[smoothness].round(5)
        drawn.append(_add_path(canvas, entry, looks[entry.label], places, path["dice"]))
    facts = {"λ": "@weight", "Dice": "@y{0.000}", title: "@x{0.0000}"}
    add_hover(canvas, drawn, facts)
    return finished(canvas, name, comparison.name)


def plot_weights(comparison: Comparison, looks: Mapping[str, Look], name: str) -> Plot:
    """Mean validation Dice under every λ; the marker of the chosen one is large.

    Args:
        comparison: Of which some method has several λ and a validation Dice.
        looks: Of the labels.
        name: Of its place in the page.
    """
    weighted = [
        (entry, entry.path.dropna(subset=["weight", "val_dice"])) for entry in comparison.entries
    ]
    places = place_weights(weight for _, path in weighted for weight in path["weight"])
    canvas = new_canvas("λ", "validation Dice")
    drawn = [
        _add_path(canvas, entry, looks[entry.label], path["weight"].map(places), path["val_dice"])
        for entry, path in weighted
        if len(path)
    ]
    set_ticks(canvas.xaxis[0], {place: f"{weight:g}" for weight, place in places.items()})
    if len(places) > MANY_TICKS:
        canvas.xaxis.major_label_orientation = math.pi / 2
    add_hover(canvas, drawn, {"λ": "@weight", "validation Dice": "@y{0.000}"})
    return finished(canvas, name, comparison.name)


def place_weights(weights: Iterable[float]) -> dict[float, float]:
    """Where each λ is on a logarithmic axis, a doubling apart by 1; 0 is a doubling below all."""
    ordered = sorted(set(weights))
    positive = [weight for weight in ordered if weight > 0]
    zero = math.log2(positive[0]) - 1 if positive else 0.0
    return {weight: round(math.log2(weight), 4) if weight > 0 else zero for weight in ordered}


def _add_path(canvas: Any, entry: Entry, look: Look, x: pd.Series, y: pd.Series) -> Any:
    """Draws an entry's line and markers, of columns that have the index of its path."""
    from bokeh.models import ColumnDataSource

    weights = entry.path.loc[x.index, "weight"]
    chosen = weights.isna() | (weights == entry.choice.weight)
    source = ColumnDataSource(
        {
            "x": x.tolist(),
            "y": y.round(4).tolist(),
            "weight": ["–" if weight != weight else f"{weight:g}" for weight in weights],
            "size": [SIZES[own] for own in chosen],
        }
    )
    add_line(canvas, entry.label, look, source, "x", "y")
    return add_marks(canvas, entry.label, look, source, "x", "y")
