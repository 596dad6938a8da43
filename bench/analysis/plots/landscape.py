"""The value of metrics along a shift."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.analysis.plots.style import add_legend, looks, new_figure
from bench.analysis.reading.metrics import metric_order

AXES = ("first", "second", "third")


def draw_landscape(
    amounts: np.ndarray, curves: Mapping[str, Sequence[np.ndarray]], title: str
) -> Any:
    """Draws each metric from its least to its largest value, a panel for each axis.

    Args:
        amounts: Shifts in voxels.
        curves: By metric, its values at these shifts along each axis.
        title: Written above.
    """
    from matplotlib.lines import Line2D

    known = looks((metric, metric) for metric in curves)
    axes = len(next(iter(curves.values())))
    figure = new_figure(3.2 * axes, 3.2)
    panels = figure.subplots(1, axes, squeeze=False, sharey=True)[0]
    ordered = sorted(curves, key=metric_order)
    for axis, panel in enumerate(panels):
        panel.axvline(0, color="0.7", linewidth=0.8)
        for metric in ordered:
            values = curves[metric][axis]
            span = max(float(np.ptp(values)), 1e-12)
            panel.plot(amounts, (values - values.min()) / span, color=known[metric].color)
        panel.set_xlabel(f"shift along the {AXES[axis]} axis, voxels")
    panels[0].set_ylabel("D, from least to largest")
    figure.suptitle(title)
    add_legend(
        figure, [Line2D([], [], label=metric, color=known[metric].color) for metric in ordered]
    )
    return figure
