"""ROC and precision-recall curves of maps of changes."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.analysis.numbers.changes import Detection, main_curves
from bench.analysis.plots.descriptions import listed
from bench.analysis.plots.drawings import Drawing, file_name
from bench.analysis.plots.style import add_legend, line_style, looks, new_figure

SECTION = "Changes"
AXES = {"tpr": ("false positive rate", "true positive rate"), "precision": ("recall", "precision")}


def draw_change_curves(found: Detection) -> Iterator[Drawing]:
    """A figure for each comparison: a curve for each method, with 95 % intervals.

    Args:
        found: The numbers.
    """
    curves = main_curves(found.curves)
    if curves.empty:
        return
    for name, of_one in curves.groupby("comparison", sort=False):
        caption = (
            f"ROC curves (left; dashed: chance) and precision-recall curves (right) of the map of "
            f"each method on {name}. Lines are means over test pairs of the true positive rate at "
            "each false positive rate and of the precision at each recall, bands 95 % bootstrap "
            "intervals."
        )
        rows = found.rows[found.rows["comparison"] == name].set_index("label")
        yield Drawing(
            f"changes-{file_name(str(name))}",
            caption,
            _curves(of_one),
            SECTION,
            f"{caption} AUC: {listed(rows['auc'].dropna())}.",
        )


def _curves(rows: pd.DataFrame) -> Any:
    from matplotlib.lines import Line2D

    known = looks(rows[["label", "metric"]].drop_duplicates().itertuples(index=False, name=None))
    figure = new_figure(7.5, 4.2)
    for panel, (height, (across, upwards)) in zip(figure.subplots(1, 2), AXES.items(), strict=True):
        for label, of_one in rows.groupby("label", sort=False):
            look, points = known[str(label)], of_one.sort_values("rate")
            options = {"color": look.color, "linestyle": line_style(look)}
            panel.plot(points["rate"], points[height], **options)
            limits = points[f"{height}_low"], points[f"{height}_high"]
            panel.fill_between(points["rate"], *limits, color=look.color, alpha=0.15, linewidth=0)
        panel.set_xlabel(across)
        panel.set_ylabel(upwards)
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.01)
        if height == "tpr":
            panel.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=0.8)
    add_legend(
        figure,
        [
            Line2D(
                [], [], label=label, color=known[label].color, linestyle=line_style(known[label])
            )
            for label in dict.fromkeys(rows["label"])
        ],
    )
    return figure
