"""Dice against smoothness or another score, a point for each metric."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bench.analysis.plots.style import (
    Look,
    add_legend,
    add_title,
    draw_points,
    line_handle,
    line_style,
    new_figure,
    point_handle,
)
from bench.scores.registry import score_of


def draw_smoothness(
    rows: pd.DataFrame,
    dice: str,
    smoothness: Sequence[str],
    looks: Mapping[str, Look],
    paths: Mapping[tuple[str, str], pd.DataFrame] | None = None,
) -> Any:
    """Dice upwards, another score to the right: with smoothness best is upper left.

    Args:
        rows: Of `bench.analysis.numbers.results` or of the papers, without the unregistered;
            intervals are drawn where NAME_low and NAME_high are there.
        dice: Score upwards.
        smoothness: Score to the right, of smoothness or another, of each column of panels.
        looks: Of the labels.
        paths: By (comparison, label), means for every λ, drawn as a line.
    """
    shown = rows.dropna(subset=[dice, *smoothness])
    comparisons = list(dict.fromkeys(shown["comparison"]))
    wanted = [(comparison, name) for comparison in comparisons for name in smoothness]
    columns = len(smoothness) if len(smoothness) > 1 else min(len(comparisons), 4)
    lines = -(-len(wanted) // columns)
    figure = new_figure(3.1 * columns, 2.6 * lines + 0.4)
    panels = list(figure.subplots(lines, columns, squeeze=False).flat)
    for panel, (comparison, name) in zip(panels, wanted, strict=False):
        points = shown[shown["comparison"] == comparison]
        for row in points.to_dict("records"):
            look = looks[row["label"]]
            path = (paths or {}).get((comparison, row["label"]))
            if path is not None and len(path) > 1:
                style = {"color": look.color, "linestyle": line_style(look)}
                panel.plot(path[name], path[dice], linewidth=0.9, zorder=1, **style)
            if f"{name}_low" in row:
                xerr, yerr = _interval(row, name), _interval(row, dice)
                panel.errorbar(
                    row[name], row[dice], yerr, xerr, color=look.color, linewidth=0.8, zorder=2
                )
        draw_points(panel, points, name, dice, looks)
        panel.set_xlabel(score_of(name).title)
        panel.set_ylabel(score_of(dice).title)
        add_title(panel, comparison)
        panel.margins(0.12)
        panel.locator_params(axis="x", nbins=4)
    for panel in panels[len(wanted) :]:
        panel.set_axis_off()
    known = [label for label in looks if label in set(shown["label"])]
    handle = line_handle if paths else point_handle
    add_legend(figure, [handle(label, looks[label]) for label in known])
    return figure


def _interval(row: Mapping[Any, Any], name: str) -> list[list[float]]:
    """How far the limits are from the mean; equal values may differ in their last digit."""
    mean = row[name]
    return [[max(mean - row[f"{name}_low"], 0)], [max(row[f"{name}_high"] - mean, 0)]]
