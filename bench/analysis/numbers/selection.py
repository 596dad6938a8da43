"""Chooses λ, or c of a synthesis, on validation scores; shows test scores of those runs."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bench.config.overrides import quoted
from bench.errors import ConfigError

CRITERIA = ("val_dice", "val_loss", "val_dice_bounded")
Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """The λ chosen for one way to register, over its seeds.

    Attributes:
        weight: λ; None for a method that uses none.
        weights: All that were tried, ascending.
        runs: Summaries of the runs of the chosen λ, one for each seed.
        missing: Seeds that were run under another λ but not under the chosen one.
        blind: Whether several λ were tried without a validation; the choice is then the smallest.
    """

    weight: float | None
    weights: list[float | None]
    runs: list[Summary]
    missing: list[int]
    blind: bool = False

    @property
    def at_border(self) -> bool:
        """Whether a λ beyond those tried may be better."""
        return (
            not self.blind
            and len(self.weights) > 1
            and self.weight in (self.weights[0], self.weights[-1])
        )


def choose(
    summaries: Iterable[Summary], criterion: str = "val_dice", folding: float = 0.01
) -> dict[tuple[str, str | None, str], Choice]:
    """Chooses λ for each data set, metric and variant.

    A variant is everything else that makes a run but λ and the seed. Values are averaged over
    seeds; only weights with the most seeds take part. Runs without the score that the criterion
    needs (Dice, where there are no labels) are chosen among by loss.

    Args:
        summaries: Of finished runs.
        criterion: `val_dice`: largest validation Dice; `val_loss`: least validation loss without
            the regularizer's part, of a synthesis least distance or, without, largest SSIM;
            `val_dice_bounded`: largest validation Dice among those whose validation folding is at
            most `folding`, or least folding if there is none.
        folding: The bound.

    Returns:
        By (dataset, metric, variant); the metric is None for a method that uses none.

    Raises:
        ConfigError: If there is no such criterion.
    """
    if criterion not in CRITERIA:
        raise ConfigError(f"select={quoted(criterion)}: must be one of {', '.join(CRITERIA)}.")
    groups: dict[tuple[str, str | None, str], dict[float | None, list[Summary]]] = {}
    for summary in summaries:
        key = (summary["dataset"], summary.get("metric"), summary.get("variant", ""))
        groups.setdefault(key, {}).setdefault(summary["weight"], []).append(summary)
    return {key: _choose(by_weight, criterion, folding) for key, by_weight in groups.items()}


def _choose(
    by_weight: Mapping[float | None, list[Summary]], criterion: str, bound: float
) -> Choice:
    weights = sorted(by_weight, key=lambda weight: 0.0 if weight is None else weight)
    most = max(len(by_weight[weight]) for weight in weights)
    complete = {weight: runs for weight in weights if len(runs := by_weight[weight]) == most}
    scores = {
        weight: _means([run["validation"] for run in runs]) for weight, runs in complete.items()
    }
    if not any("dice" in means for means in scores.values()):
        criterion = "val_loss"
    values = {weight: _value(means, criterion, bound) for weight, means in scores.items()}
    weight = max(values, key=lambda tried: values[tried])
    seeds = {run["seed"] for runs in by_weight.values() for run in runs}
    runs = sorted(by_weight[weight], key=lambda run: run["seed"])
    missing = sorted(seeds - {run["seed"] for run in runs})
    blind = len(values) > 1 and all(value[-1] == -math.inf for value in values.values())
    return Choice(weight, weights, runs, missing, blind)


def _means(scores: list[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each score over seeds; those that are NaN for one are left out."""
    means = {name: fmean(row.get(name, math.nan) for row in scores) for name in scores[0]}
    return {name: value for name, value in means.items() if not math.isnan(value)}


def _value(means: Mapping[str, float], criterion: str, bound: float) -> tuple[float, ...]:
    """What is to be largest, compared in order; a score that is missing comes last."""
    if criterion == "val_loss":
        if "ssim" in means:  # of a synthesis, whose c is no part of its scores
            return (-means["distance"],) if "distance" in means else (means["ssim"],)
        return (-means.get("similarity", math.inf),)
    dice = means.get("dice", -math.inf)
    if criterion == "val_dice_bounded":
        folds = means.get("folding", math.inf)
        return (0.0, dice) if folds <= bound else (-folds, dice)
    return (dice,)
