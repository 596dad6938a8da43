"""Critical-difference diagram: mean ranks of metrics over data sets."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.over_datasets import mean_ranks
from bench.analysis.numbers.statistics import critical_difference, friedman
from bench.analysis.plots.style import Look, marker, new_figure


def draw_ranks(means: pd.DataFrame, looks: Mapping[str, Look]) -> Any:
    """Mean ranks; bars join metrics between which Nemenyi's test finds no significant difference.

    Demšar, "Statistical comparisons of classifiers over multiple data sets", JMLR 2006.

    Args:
        means: Data sets by labels, larger is better, without NaN.
        looks: Of the labels.
    """
    ranks = mean_ranks(means)
    difference = critical_difference(means.shape[1], len(means))
    bars = joined(ranks, difference)
    figure = new_figure(6.5, 1.4 + 0.24 * len(ranks) + 0.12 * len(bars))
    panel = figure.subplots()
    panel.grid(visible=False)
    for i, (label, place) in enumerate(ranks.items()):
        height = -(i + 1) - 0.5 * len(bars)
        panel.plot([place, place], [0, height], color="0.7", linewidth=0.8, zorder=1)
        panel.plot(place, height, zorder=2, **marker(looks[str(label)]))
        panel.annotate(
            f"{label}  {place:.2f}",
            (place, height),
            (9, 0),
            textcoords="offset points",
            va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    for i, (first, last) in enumerate(bars):
        panel.plot([first - 0.03, last + 0.03], [-0.5 * (i + 1)] * 2, color="black", linewidth=3)
    statistic, p = friedman(means.to_numpy())
    panel.set_title(
        f"{len(means)} data sets; critical difference {difference:.2f} (Nemenyi, 5 %)\n"
        f"Friedman χ² = {statistic:.2f}, p = {p:.2g}"
    )
    panel.set_xlim(0.8, means.shape[1] * 1.25)
    panel.set_ylim(-len(ranks) - 0.5 * len(bars) - 0.6, 0)
    panel.xaxis.set_ticks_position("top")
    panel.set_xticks(range(1, means.shape[1] + 1))
    panel.set_xlabel("mean rank, 1 is best")
    panel.xaxis.set_label_position("top")
    panel.spines[["left", "bottom"]].set_visible(False)
    panel.spines["top"].set_visible(True)
    panel.set_yticks([])
    return figure


def joined(ranks: pd.Series, difference: float) -> list[tuple[float, float]]:
    """First and last mean rank of every largest group within the critical difference.

    Args:
        ranks: Mean ranks, ascending.
        difference: The critical difference.
    """
    values = list(ranks)
    groups: list[tuple[int, int]] = []
    for i, first in enumerate(values):
        last = max(j for j, value in enumerate(values) if value - first <= difference)
        if last > i and (not groups or last > groups[-1][1]):
            groups.append((i, last))
    return [(values[i], values[j]) for i, j in groups]
