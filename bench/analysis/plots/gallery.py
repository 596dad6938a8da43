"""The figures of a report, each with the sentences that say what it shows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.ranking import enough_for_ranks
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.plots.boxes import draw_boxes
from bench.analysis.plots.classes import draw_classes
from bench.analysis.plots.convergence import draw_convergence
from bench.analysis.plots.ranks import draw_ranks
from bench.analysis.plots.robustness import draw_robustness, tested_corruptions
from bench.analysis.plots.smoothness import draw_smoothness
from bench.analysis.plots.style import Look, looks
from bench.analysis.plots.weights import draw_weights
from bench.analysis.reading.published_values import (
    published_noise_curves,
    published_results,
    published_weight_curves,
)
from bench.scores.registry import SCORES, compared_scores


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


@dataclass(frozen=True)
class Shown:
    """What the figures of a report are drawn from.

    Attributes:
        comparisons: From `compare`.
        rows: Of `bench.analysis.numbers.results`, of all comparisons.
        looks: Of the labels.
    """

    comparisons: Sequence[Comparison]
    rows: pd.DataFrame
    looks: Mapping[str, Look]

    @property
    def labelled(self) -> list[Comparison]:
        """Those comparisons that have Dice."""
        return [one for one in self.comparisons if one.scores("dice").notna().any(axis=None)]


def draw_all(comparisons: Sequence[Comparison], rows: pd.DataFrame) -> Iterator[Drawing]:
    """Draws what the runs allow: figures of Dice need labels, ranks need four data sets.

    Args:
        comparisons: From `compare`.
        rows: Of `bench.analysis.numbers.results`, of all comparisons.
    """
    known = looks((entry.label, entry.metric) for one in comparisons for entry in one.entries)
    shown = Shown(comparisons, rows, known)
    for draw in OF_ALL:
        yield from draw(shown)
    for comparison in comparisons:
        for draw_one in OF_EACH:
            yield from draw_one(comparison, shown)


def boxes(shown: Shown) -> Iterator[Drawing]:
    """Dice over test pairs."""
    if shown.labelled:
        yield Drawing(
            "dice",
            "Dice over test pairs, seeds averaged. Boxes are quartiles, lines medians, whiskers "
            "deciles, dots pairs beyond; the dashed line is the median of the unregistered pairs. "
            "The label with the largest mean is bold, the second black.",
            draw_boxes(shown.labelled, shown.looks),
        )


def smoothness(shown: Shown) -> Iterator[Drawing]:
    """Dice against smoothness."""
    if not shown.labelled:
        return
    rows = shown.rows
    known = [name for name in compared_scores("smoothness") if rows[name].notna().any()]
    names = [name for name in known if SCORES[name].in_short]
    paths = {(one.name, entry.label): entry.path for one in shown.labelled for entry in one.entries}
    yield Drawing(
        "smoothness",
        "Mean test Dice against smoothness of the deformation at the chosen λ, with 95 % bootstrap "
        "intervals; better is up and left. Thin lines follow λ.",
        draw_smoothness(rows[rows["label"] != UNREGISTERED], "dice", names, shown.looks, paths),
    )


def ranks(shown: Shown) -> Iterator[Drawing]:
    """Mean ranks over data sets."""
    means = pd.DataFrame({one.name: one.scores("dice").mean() for one in shown.labelled}).T
    ranked = means.dropna(axis=1)
    if enough_for_ranks(ranked):
        yield Drawing(
            "ranks",
            "Mean rank of each metric over data sets by mean test Dice, 1 is best. A bar joins "
            "metrics that Nemenyi's test does not tell apart.",
            draw_ranks(ranked, shown.looks),
        )


def classes(one: Comparison, shown: Shown) -> Iterator[Drawing]:
    """Dice of each class."""
    if any(entry.classes.get("dice", pd.Series()).notna().any() for entry in one.entries):
        yield Drawing(
            f"classes-{file_name(one.name)}",
            f"Dice of each class on {one.name}, from the largest mean to the smallest; boxes as "
            "above.",
            draw_classes(one, shown.looks),
        )


def weights(one: Comparison, shown: Shown) -> Iterator[Drawing]:
    """Validation scores against λ."""
    if any(entry.path["weight"].notna().any() for entry in one.entries):
        yield Drawing(
            f"weights-{file_name(one.name)}",
            f"Validation Dice and folding on {one.name} against λ, means over seeds; the chosen λ "
            "is ringed. Dotted: the papers' validation Dice, which counts the background, on the "
            "right axis.",
            draw_weights(one, shown.looks, published_weight_curves()),
        )


def convergence(one: Comparison, shown: Shown) -> Iterator[Drawing]:
    """How training went on."""
    if any(len(entry.histories) for entry in one.entries):
        yield Drawing(
            f"convergence-{file_name(one.name)}",
            f"Training on {one.name} at the chosen λ, a line for each seed. Losses are scaled to "
            "the range of their run: those of different metrics have no common scale.",
            draw_convergence(one, shown.looks),
        )


def robustness(one: Comparison, shown: Shown) -> Iterator[Drawing]:
    """Scores under disturbed images."""
    if tested_corruptions(one):
        yield Drawing(
            f"robustness-{file_name(one.name)}",
            f"Test Dice and folding on {one.name} when the test images are disturbed, means over "
            "pairs and seeds; networks were trained without. Dotted: the papers' curves, where "
            "they have one.",
            draw_robustness(one, shown.looks, published_noise_curves()),
        )


# A figure of the report is a function here and its place in one of these lists.
OF_ALL: list[Callable[[Shown], Iterator[Drawing]]] = [boxes, smoothness, ranks]
OF_EACH: list[Callable[[Comparison, Shown], Iterator[Drawing]]] = [
    classes,
    weights,
    convergence,
    robustness,
]


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
