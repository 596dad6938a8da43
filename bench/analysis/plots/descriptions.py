"""Descriptions of figures in words, for screen readers."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.scores.registry import SCORES

MOST = 12  # values that are listed; of more, the first and the last


def listed(values: pd.Series, digits: int = 3) -> str:
    """Values with their names, from the largest."""
    ordered = values.dropna().sort_values(ascending=False, kind="stable")
    texts = [f"{name} {value:.{digits}f}" for name, value in ordered.items()]
    return ", ".join(texts) if len(texts) <= MOST else f"from {texts[0]} to {texts[-1]}"


def of_boxes(comparisons: Iterable[Comparison], score: str) -> str:
    """Medians of the boxes of a score."""
    digits = SCORES[score].digits
    texts = [
        f"{one.name}: medians {listed(one.scores(score).median(), digits)}, unregistered "
        f"{one.before(score).median():.{digits}f}."
        for one in comparisons
    ]
    return f"Box plots of {SCORES[score].title} over test pairs. {' '.join(texts)}"


def of_smoothness(rows: pd.DataFrame, dice: str, smoothness: Sequence[str]) -> str:
    """Where the points are.

    Args:
        rows: Those that are drawn, as `draw_smoothness` takes them.
        dice: Score upwards.
        smoothness: Scores to the right.
    """
    texts = []
    for name, points in rows.groupby("comparison", sort=False):
        by_label = points.set_index("label")
        places = [f"{SCORES[score].title} {listed(by_label[score], 4)}" for score in smoothness]
        texts.append(f"{name}: {'; '.join([f'Dice {listed(by_label[dice])}', *places])}.")
    return f"Points of Dice against {_titles(smoothness)}. {' '.join(texts)}"


def of_ranks(ranks: pd.Series) -> str:
    """The mean ranks."""
    ordered = ranks.sort_values(kind="stable")
    texts = [f"{label} {place:.2f}" for label, place in ordered.items()]
    return f"Critical-difference diagram of mean ranks: {', '.join(texts)}."


def of_classes(name: str, rows: pd.DataFrame) -> str:
    """Means of each class over methods.

    Args:
        name: Of the comparison.
        rows: With `class` and `dice`.
    """
    means = rows.groupby("class")["dice"].mean()
    return f"Box plots of Dice of each class on {name}; means over methods: {listed(means)}."


def of_weights(comparison: Comparison) -> str:
    """The largest validation Dice of each method, and its λ."""
    texts = []
    for entry in comparison.entries:
        known = entry.path.dropna(subset=["weight", "val_dice"])
        if len(known):
            dice, weight = max(zip(known["val_dice"], known["weight"], strict=True))
            texts.append(f"{entry.label} {dice:.3f} at λ = {weight:g}")
    return (
        f"Lines of validation Dice and folding against λ on {comparison.name}. Largest validation "
        f"Dice: {', '.join(texts) or 'not measured'}."
    )


def of_curves(title: str, last: Mapping[str, float]) -> str:
    """Where lines end.

    Args:
        title: What the lines are.
        last: By label, the last value.
    """
    return f"{title} Last values: {listed(pd.Series(last, dtype=float)) or 'not measured'}."


def _titles(scores: Sequence[str]) -> str:
    return " and ".join(SCORES[name].title for name in scores)
