"""Scores of a registered pair. Their names, units and directions are in `bench.scores.registry`."""

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from bench.spatial import central_jacobian_determinant, jacobian_determinant

SMALLEST_DETERMINANT = 1e-9
LARGEST_DETERMINANT = 1e9
LEARN2REG_SHIFT = 3


def dice_per_class(first: Tensor, second: Tensor, classes: int) -> Tensor:
    """Dice of each class between two label maps.

    Args:
        first: Whole numbers 0..classes-1, any shape.
        second: The same shape.
        classes: Number of classes, background included.

    Returns:
        (classes,) float64; 1 for equal, 0 for disjoint, NaN for a class absent from both.
    """
    joint = torch.bincount(
        first.flatten().long() * classes + second.flatten().long(), minlength=classes**2
    )
    joint = joint.view(classes, classes).double()
    return 2 * joint.diagonal() / (joint.sum(0) + joint.sum(1))


def foreground_dice(dice: Tensor) -> float:
    """Mean over the classes but the first that are present; NaN if there is none."""
    return float(dice[1:].nanmean())


def published_dice(dice: Tensor) -> float:
    """Mean over all classes with background, absent classes as 0 (the papers' definition)."""
    return float(dice.nan_to_num(0).mean())


def folding(displacement: Tensor) -> float:
    """Fraction of places where the signed Jacobian determinant is 0 or less."""
    return float((jacobian_determinant(displacement) <= 0).double().mean())


def sdlogj(displacement: Tensor) -> float:
    """Standard deviation of log(J + 3) with J + 3 clipped to [1e-9, 1e9].

    The formula of the Learn2Reg challenge's evaluation (Hering et al., IEEE TMI 2022), with its
    shift, central differences and cut margins, so that the figures compare with its tables.
    """
    determinant = central_jacobian_determinant(displacement.double()) + LEARN2REG_SHIFT
    clipped = determinant.clamp(SMALLEST_DETERMINANT, LARGEST_DETERMINANT)
    return float(clipped.log().std(correction=0))


def published_logj_variance(displacement: Tensor) -> float:
    """Variance of log |J| on absolute differences (Czolbe et al., MIA 2023, published code).

    Determinants below 1e-9 are raised to it, where the published code takes log 0.
    """
    determinant = jacobian_determinant(displacement, absolute=True).abs()
    return float(determinant.clamp(min=SMALLEST_DETERMINANT).log().var())


def hd95_per_class(
    first: np.ndarray, second: np.ndarray, classes: int, spacing: Sequence[float]
) -> list[float]:
    """95th percentile surface distance of each class, the larger of both directions.

    Args:
        first: Label map (*S), whole numbers.
        second: The same shape.
        classes: Number of classes, background included.
        spacing: Edge lengths of a voxel in mm.

    Returns:
        One distance in mm per class; NaN for the background and for a class that either map
        lacks.
    """
    from monai.metrics import compute_hausdorff_distance

    present = [
        label for label in range(1, classes) if (first == label).any() and (second == label).any()
    ]
    distances = [math.nan] * classes
    if present:
        masks = [
            torch.stack([torch.from_numpy(image == label) for label in present]).unsqueeze(0)
            for image in (first, second)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = compute_hausdorff_distance(
                *masks, include_background=True, percentile=95, spacing=list(spacing)
            )
        for label, distance in zip(present, found[0].tolist(), strict=True):
            distances[label] = distance
    return distances


def score_displacement(displacement: Tensor) -> dict[str, float]:
    """Scores of smoothness of one displacement (1, D, *S)."""
    return {
        "folding": folding(displacement),
        "sdlogj": sdlogj(displacement),
        "logj_var_published": published_logj_variance(displacement),
    }


def score_labels(
    warped: np.ndarray, fixed: np.ndarray, classes: int, spacing: Sequence[float]
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """Scores of overlap of one pair.

    Args:
        warped: Warped moving label map (*S), whole numbers.
        fixed: Fixed label map (*S).
        classes: Number of classes, background included.
        spacing: Edge lengths of a voxel in mm.

    Returns:
        The pair's scores, and `dice` and `hd95` of each class.
    """
    dice = dice_per_class(torch.from_numpy(warped), torch.from_numpy(fixed), classes)
    distances = hd95_per_class(warped, fixed, classes, spacing)
    scores = {
        "dice": foreground_dice(dice),
        "dice_published": published_dice(dice),
        "hd95": mean_of_finite(distances),
    }
    per_class = [
        {"dice": float(overlap), "hd95": distance}
        for overlap, distance in zip(dice, distances, strict=True)
    ]
    return scores, per_class


def mean_of_finite(values: Sequence[float]) -> float:
    """Mean of the values that are finite; NaN if none is."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def validation_means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each value over validation pairs or images.

    Dice leaves out pairs without foreground, where it is NaN. Nothing else may be NaN unseen.
    """
    means = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        means[name] = mean_of_finite(values) if name == "dice" else sum(values) / len(values)
    return means


def summarize(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> dict[str, dict]:
    """Mean, standard deviation and count of each score over pairs, leaving out NaN.

    Args:
        rows: One mapping per pair; a missing score counts as NaN.
        names: Scores to summarize.

    Returns:
        `{name: {"mean", "std", "n"}}`; mean and std are None where n is 0, std (ddof 1) is
        None where n is 1.
    """
    table = {}
    for name in names:
        values = np.array([row.get(name, math.nan) for row in rows], dtype=float)
        values = values[np.isfinite(values)]
        table[name] = {
            "mean": float(values.mean()) if len(values) else None,
            "std": float(values.std(ddof=1)) if len(values) > 1 else None,
            "n": len(values),
        }
    return table
