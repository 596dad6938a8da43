"""Test Dice against the disturbance of the images."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.plots.style import Look, add_legend, draw_lines, line_handle, new_figure

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
    shown: set[str] = set()
    for column, corruption in enumerate(corruptions):
        with_papers = corruption == "noise" and len(papers) > 0
        scores = ("dice_published" if with_papers else "dice", "folding")
        for entry in comparison.entries if with_papers else ():
            curve = papers[papers["metric"] == entry.metric]
            color = looks[entry.label].color
            panels[0, column].plot(curve["level"], curve["dice"], ":", color=color)
        rows = pd.concat(
            [
                complete_levels(entry.robustness, corruption).assign(label=entry.label)
                for entry in comparison.entries
                if len(entry.robustness)
            ]
        )
        shown |= set(rows["label"])
        for panel, score in zip(panels[:, column], scores, strict=True):
            draw_lines(panel, rows, "level", score, looks)
        panels[0, column].set_title(corruption)
        panels[0, column].set_ylabel("Dice (published)" if with_papers else "Dice")
        panels[1, column].set_ylabel("folding")
        panels[1, column].set_xlabel(UNITS[corruption])
    figure.suptitle(comparison.name)
    labels = [entry.label for entry in comparison.entries if entry.label in shown]
    add_legend(figure, [line_handle(label, looks[label]) for label in labels])
    return figure


def complete_levels(rows: pd.DataFrame, corruption: str) -> pd.DataFrame:
    """Rows of a corruption at the levels that all seeds were tested at."""
    disturbed = rows[rows["corruption"] == corruption]
    seeds = disturbed.groupby("level")["seed"].nunique()
    return disturbed[disturbed["level"].isin(seeds[seeds == rows["seed"].nunique()].index)]
