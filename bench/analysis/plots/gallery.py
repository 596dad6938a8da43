"""The figures of a report, with their captions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import pandas as pd

from bench.analysis.numbers.comparisons import LEADING, Comparison
from bench.analysis.numbers.over_datasets import OVER_ALL, by_noise, lead_means, mean_ranks
from bench.analysis.numbers.ranking import enough_for_ranks
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.plots import descriptions
from bench.analysis.plots.boxes import draw_boxes
from bench.analysis.plots.classes import draw_classes
from bench.analysis.plots.convergence import draw_convergence
from bench.analysis.plots.drawings import Drawing, Shown, file_name, left_out, legend, said
from bench.analysis.plots.interactive.boxes import plot_boxes
from bench.analysis.plots.interactive.canvas import Plot
from bench.analysis.plots.interactive.paths import plot_front, plot_weights
from bench.analysis.plots.ranks import draw_ranks
from bench.analysis.plots.robustness import complete_levels, draw_robustness, tested_corruptions
from bench.analysis.plots.smoothness import draw_smoothness
from bench.analysis.plots.style import looks
from bench.analysis.plots.weights import draw_weights
from bench.analysis.reading.published_values import (
    published_noise_curves,
    published_results,
    published_weight_curves,
)
from bench.scores.registry import SCORES, compared_scores

FRONT = "sdlogj"  # the smoothness that interactive plots show
NONE = pd.Series(dtype=float)


def draw_all(comparisons: Sequence[Comparison], rows: pd.DataFrame) -> Iterator[Drawing]:
    """Draws every possible figure: figures of Dice need labels, ranks need four data sets.

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


def smoothness(shown: Shown, scores: Sequence[str] | None = None) -> Iterator[Drawing]:
    """Dice against smoothness.

    Args:
        shown: What is drawn.
        scores: Of smoothness, a panel for each; by default those of short tables.
    """
    if not shown.labelled:
        return
    rows = shown.rows[shown.rows["label"] != UNREGISTERED]
    known = [name for name in compared_scores("smoothness") if rows[name].notna().any()]
    names = [name for name in known if SCORES[name].in_short and name in (scores or known)]
    drawn = rows.dropna(subset=["dice", *names])
    fronts = {}
    for one in shown.labelled:
        labels = set(drawn.loc[drawn["comparison"] == one.name, "label"])
        entries = [entry for entry in one.entries if entry.label in labels]
        if sum(len(entry.path) for entry in entries) > 1:
            fronts[one.name] = replace(one, entries=entries)
    drawn = drawn[drawn["comparison"].isin(fronts)]
    if drawn.empty or not names:
        return
    lacking = rows[rows["comparison"].isin(fronts)].drop(drawn.index)
    paths = {
        (one.name, entry.label): entry.path for one in fronts.values() for entry in one.entries
    }
    yield Drawing(
        "smoothness",
        "Mean test Dice against smoothness of the deformation at the chosen λ (large markers; the "
        "files add 95 % bootstrap intervals); lines follow λ, a marker without a line has one λ or "
        "none. Better is up and left." + left_out(lacking),
        draw_smoothness(drawn, "dice", names, shown.looks, paths),
        "Dice and smoothness",
        descriptions.of_smoothness(drawn, "dice", names),
        lambda: [
            plot_front(one, shown.looks, FRONT, f"front-{file_name(one.name)}")
            for one in fronts.values()
            if FRONT in names
        ],
        legend(fronts.values(), shown.looks),
    )


def boxes(shown: Shown) -> Iterator[Drawing]:
    """The leading score over test pairs: Dice, and TRE of data sets without labels."""
    for score in LEADING:
        several = [one for one in shown.judged_by(score) if len(one.subjects) > 1]
        if not several:
            continue
        names = {one.name for one in several}
        missing = shown.rows[shown.rows["comparison"].isin(names) & shown.rows[score].isna()]
        title = SCORES[score].title
        yield Drawing(
            score,
            f"{title} over test pairs, seeds averaged. Boxes show quartiles, lines medians, "
            "whiskers deciles, dots pairs (in the files only those beyond the whiskers); the "
            "dashed line marks the median of the unregistered pairs. In the files the label of the "
            "best mean is bold." + left_out(missing),
            draw_boxes(several, shown.looks),
            f"{title} over test pairs",
            descriptions.of_boxes(several, score),
            partial(_interactive_boxes, several, shown),
            legend(several, shown.looks),
        )


def _interactive_boxes(comparisons: Sequence[Comparison], shown: Shown) -> list[Plot]:
    return [plot_boxes(one, shown.looks, f"boxes-{file_name(one.name)}") for one in comparisons]


def ranks(shown: Shown) -> Iterator[Drawing]:
    """Mean ranks over data sets, those under one noise together."""
    for about, group in by_noise(shown.comparisons).items():
        ranked = lead_means(group)
        if not enough_for_ranks(ranked):
            continue
        metrics = {e.label for one in group for e in one.entries if not e.is_reference}
        yield Drawing(
            file_name(about.replace(OVER_ALL, "ranks")),
            f"{about}: mean rank of each metric by mean test Dice, or TRE without labels; 1 is "
            "best. A bar joins metrics between which Nemenyi's test finds no significant "
            "difference."
            + said(dict.fromkeys(sorted(metrics - set(ranked)), "not on every data set")),
            draw_ranks(ranked, shown.looks),
            "Ranks over data sets",
            descriptions.of_ranks(mean_ranks(ranked)),
        )


def classes(one: Comparison, shown: Shown) -> Iterator[Drawing]:
    """Dice of each class."""
    measured = [entry for entry in one.entries if entry.classes.get("dice", NONE).notna().any()]
    if measured and len(one.subjects) > 1:
        known = {entry.label for entry in measured}
        lacking = [entry.label for entry in one.entries if entry.label not in known]
        yield Drawing(
            f"classes-{file_name(one.name)}",
            f"Dice of each class on {one.name}, from the largest mean to the smallest; boxes as "
            "above." + said(dict.fromkeys(lacking, "no Dice")),
            draw_classes(one, shown.looks),
            "Classes",
            descriptions.of_classes(one.name, pd.concat([entry.classes for entry in measured])),
        )


def weights(one: Comparison, shown: Shown) -> Iterator[Drawing]:
    """Validation scores against λ."""
    several = [entry for entry in one.entries if entry.path["weight"].nunique() > 1]
    if not several:
        return
    single = {
        entry.label: f"λ = {weight:g} only" if weight == weight else "no λ"
        for entry in one.entries
        if entry.path["weight"].nunique() < 2
        for weight in entry.path["weight"]
    }
    drawn = replace(one, entries=several)
    if not any(entry.path[["val_dice", "val_folding"]].notna().any(axis=None) for entry in several):
        return  # a set without validation pairs
    measured = any(entry.path["val_dice"].notna().any() for entry in several)
    name = file_name(one.name)
    yield Drawing(
        f"weights-{name}",
        f"Validation Dice on {one.name} against λ, means over seeds; a large marker (in the files "
        "a ring) shows the chosen λ. The files also show validation folding and, dotted, the "
        "papers' validation Dice, which counts the background." + said(single),
        draw_weights(drawn, shown.looks, published_weight_curves()),
        "Choice of λ",
        descriptions.of_weights(drawn),
        lambda: [plot_weights(drawn, shown.looks, f"lambda-{name}")] if measured else [],
        legend([drawn], shown.looks) if measured else {},
    )


def convergence(one: Comparison, shown: Shown) -> Iterator[Drawing]:
    """Course of the training."""
    validated = {
        entry.label: entry.histories.groupby("seed").size().max()
        for entry in one.entries
        if len(entry.histories)
    }
    trained = [entry for entry in one.entries if validated.get(entry.label, 0) > 1]
    if not trained:
        return
    once = [label for label, times in validated.items() if times == 1]
    last = {
        entry.label: entry.histories.groupby("seed")["val_dice"].last().mean()
        for entry in trained
        if "val_dice" in entry.histories
    }
    yield Drawing(
        f"convergence-{file_name(one.name)}",
        f"Training on {one.name} at the chosen λ, a line for each seed. Each loss is scaled to the "
        "range of its run, since metrics share no scale."
        + said(dict.fromkeys(once, "validated once")),
        draw_convergence(replace(one, entries=trained), shown.looks),
        "Training",
        descriptions.of_curves(f"Lines of losses and validation Dice on {one.name}.", last),
    )


def robustness(one: Comparison, shown: Shown) -> Iterator[Drawing]:
    """Scores under disturbed images."""
    corruptions = tested_corruptions(one)
    if not corruptions:
        return
    lacking = [entry.label for entry in one.entries if not len(entry.robustness)]
    rows = {
        entry.label: complete_levels(entry.robustness, corruptions[0])
        for entry in one.entries
        if len(entry.robustness)
    }
    last = {
        label: of.loc[of["level"] == of["level"].max(), "dice"].mean() for label, of in rows.items()
    }
    yield Drawing(
        f"robustness-{file_name(one.name)}",
        f"Test Dice and folding on {one.name} on disturbed test images, means over pairs and "
        "seeds; the networks trained on undisturbed images. Dotted: the papers' curves, where "
        "published." + said(dict.fromkeys(lacking, "not tested")),
        draw_robustness(one, shown.looks, published_noise_curves()),
        "Noise",
        descriptions.of_curves(
            f"Lines of Dice and folding on {one.name} under more and more {corruptions[0]}.", last
        ),
    )


# A figure of the report is a function here and its place in one of these lists.
OF_ALL: list[Callable[[Shown], Iterator[Drawing]]] = [smoothness, boxes, ranks]
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
    drawn = rows.dropna(subset=["dice_published", "logj_var_published"])
    return Drawing(
        "published",
        "The papers' test Dice, with background, against the variance of the log Jacobian, on "
        "absolute differences (Czolbe et al., MIA 2023).",
        draw_smoothness(drawn, "dice_published", ("logj_var_published",), known),
        "Published values",
        descriptions.of_smoothness(drawn, "dice_published", ["logj_var_published"]),
    )
