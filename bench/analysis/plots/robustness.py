"""Test Dice against how much the images were disturbed."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.plots.style import Look, add_legend, marker, new_figure, point_handle

UNITS = {
    "noise": "standard deviation of the noise",
    "blur": "standard deviation of the filter, voxels",
    "bias": "logarithm of the bias field, at most",
    "contrast": "logarithm of gamma, opposite in both images",
}


def tested_corruptions(comparison: Comparison) -> list[str]:
    """The corruptions under which some metric of a comparison has a Dice."""
    known = {
        name
        for entry in comparison.entries
        if "dice" in entry.robustness
        for name in entry.robustness.dropna(subset=["dice"])["corruption"]
    }
    return [name for name in UNITS if name in known]


def draw_robustness(
    comparison: Comparison, looks: Mapping[str, Look], published: pd.DataFrame
) -> Any:
    """Mean test Dice and folding at each level, a column of panels for each corruption.

    Dice is the published one where the papers have a curve, which is dotted.

    Args:
        comparison: One comparison with `tested_corruptions`.
        looks: Of the labels.
        published: Of `published_noise_curves`.
    """
    corruptions = tested_corruptions(comparison)
    papers = published[published["dataset"] == comparison.dataset]
    figure = new_figure(max(4.2, 3.4 * len(corruptions)), 5)
    panels = figure.subplots(2, len(corruptions), squeeze=False, sharex="col")
    shown: dict[str, Look] = {}
    for column, corruption in enumerate(corruptions):
        with_papers = corruption == "noise" and len(papers) > 0
        scores = ("dice_published" if with_papers else "dice", "folding")
        for entry in comparison.entries:
            look = looks[entry.label]
            if with_papers:
                curve = papers[papers["metric"] == entry.metric]
                panels[0, column].plot(curve["level"], curve["dice"], ":", color=look.color)
            means = means_by_level(entry.robustness, corruption)
            if means.empty:
                continue
            shown[entry.label] = look
            for panel, score in zip(panels[:, column], scores, strict=True):
                panel.plot(means.index, means[score], linewidth=1.2, **marker(look))
        panels[0, column].set_title(corruption)
        panels[0, column].set_ylabel("Dice (published)" if with_papers else "Dice")
        panels[1, column].set_ylabel("folding")
        panels[1, column].set_xlabel(UNITS[corruption])
    figure.suptitle(comparison.name)
    add_legend(figure, [point_handle(label, look) for label, look in shown.items()])
    return figure


def means_by_level(rows: pd.DataFrame, corruption: str) -> pd.DataFrame:
    """Means over test pairs and seeds of the levels that all seeds were tested at."""
    if rows.empty:
        return pd.DataFrame()
    own = rows[rows["corruption"] == corruption]
    seeds = own.groupby("level")["seed"].nunique()
    complete = own[own["level"].isin(seeds[seeds == rows["seed"].nunique()].index)]
    return complete.groupby("level").mean(numeric_only=True)
