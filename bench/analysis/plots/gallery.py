"""The figures of a report, each with the sentences that say what it shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.plots.boxes import draw_boxes
from bench.analysis.plots.classes import draw_classes
from bench.analysis.plots.convergence import draw_convergence
from bench.analysis.plots.ranks import draw_ranks, enough_for_ranks
from bench.analysis.plots.robustness import draw_robustness, tested_corruptions
from bench.analysis.plots.smoothness import draw_smoothness
from bench.analysis.plots.style import Look, looks
from bench.analysis.plots.weights import draw_weights
from bench.analysis.reading.published_values import (
    published_noise_curves,
    published_results,
    published_weight_curves,
)
from bench.scores.registry import compared_scores


@dataclass(frozen=True)
class Drawing:
    """A figure.

    Attributes:
        name: Of its files.
        caption: What it shows.
        figure: A matplotlib figure.
    """

    name: str
    caption: str
    figure: Any


def draw_all(comparisons: Sequence[Comparison], rows: pd.DataFrame) -> Iterator[Drawing]:
    """Draws what the runs allow: figures of Dice need labels, ranks need four data sets.

    Args:
        comparisons: From `compare`.
        rows: Of `bench.analysis.numbers.results`, of all comparisons.
    """
    known = looks((entry.label, entry.metric) for own in comparisons for entry in own.entries)
    labelled = [own for own in comparisons if own.scores("dice").notna().any(axis=None)]
    if labelled:
        yield from _draw_dice(labelled, rows, known)
    means = pd.DataFrame({own.name: own.scores("dice").mean() for own in labelled}).T
    ranked = means.dropna(axis=1)
    if enough_for_ranks(ranked):
        yield Drawing(
            "ranks",
            "Mean rank of each metric over data sets by mean test Dice, 1 is best. A bar joins "
            "metrics that Nemenyi's test does not tell apart.",
            draw_ranks(ranked, known),
        )
    for own in comparisons:
        yield from _draw_own(own, known)


def _draw_dice(
    comparisons: Sequence[Comparison], rows: pd.DataFrame, known: Mapping[str, Look]
) -> Iterator[Drawing]:
    yield Drawing(
        "dice",
        "Dice over test pairs, seeds averaged. Boxes are quartiles, lines medians, whiskers "
        "deciles, dots pairs beyond; the dashed line is the median of the unregistered pairs. The "
        "label with the largest mean is bold, the second black.",
        draw_boxes(comparisons, known),
    )
    smoothness = [n for n in compared_scores("smoothness") if rows[n].notna().any()]
    paths = {(own.name, entry.label): entry.path for own in comparisons for entry in own.entries}
    yield Drawing(
        "smoothness",
        "Mean test Dice against smoothness of the deformation at the chosen λ, with 95 % bootstrap "
        "intervals; better is up and left. Thin lines follow λ.",
        draw_smoothness(rows[rows["label"] != UNREGISTERED], "dice", smoothness, known, paths),
    )


def _draw_own(own: Comparison, known: Mapping[str, Look]) -> Iterator[Drawing]:
    name = file_name(own.name)
    if any(entry.classes.get("dice", pd.Series()).notna().any() for entry in own.entries):
        yield Drawing(
            f"classes-{name}",
            f"Dice of each class on {own.name}, from the largest mean to the smallest; boxes as "
            "above.",
            draw_classes(own, known),
        )
    if any(entry.path["weight"].notna().any() for entry in own.entries):
        yield Drawing(
            f"weights-{name}",
            f"Validation Dice and folding on {own.name} against λ, means over seeds; the chosen λ "
            "is ringed. Dotted: the papers' validation Dice, which counts the background, on the "
            "right axis.",
            draw_weights(own, known, published_weight_curves()),
        )
    if any(len(entry.histories) for entry in own.entries):
        yield Drawing(
            f"convergence-{name}",
            f"Training on {own.name} at the chosen λ, a line for each seed. Losses are scaled to "
            "the range of their run: those of different metrics have no common scale.",
            draw_convergence(own, known),
        )
    if tested_corruptions(own):
        yield _draw_robustness(own, known)


def _draw_robustness(own: Comparison, known: Mapping[str, Look]) -> Drawing:
    return Drawing(
        f"robustness-{file_name(own.name)}",
        f"Test Dice and folding on {own.name} when the test images are disturbed, means over pairs "
        "and seeds; the networks were trained without. Dotted: the papers' curves, where they "
        "have one.",
        draw_robustness(own, known, published_noise_curves()),
    )


def draw_published() -> Drawing:
    """The papers' scatter."""
    rows = published_results()
    known = looks(zip(rows["label"], rows["metric"], strict=True))
    return Drawing(
        "published",
        "The papers' test Dice, with background, against the variance of the log Jacobian, on "
        "absolute differences (Czolbe et al., MIA 2023).",
        draw_smoothness(rows, "dice_published", ("logj_var_published",), known),
    )


def file_name(name: str) -> str:
    """A name without what does not belong into the name of a file."""
    kept = "".join(c if c.isalnum() or c in "_-" else " " for c in name)
    return "-".join(kept.split())
