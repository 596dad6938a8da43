"""Overlap and surface distance of label maps."""

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.scores.summary import mean_of_finite

if TYPE_CHECKING:
    from bench.scores.case import Case


def dice_per_class(first: Tensor | np.ndarray, second: Tensor | np.ndarray, classes: int) -> Tensor:
    """Dice of each class between two label maps.

    Args:
        first: Whole numbers 0..classes-1, any shape.
        second: The same shape.
        classes: Number of classes, background included.

    Returns:
        (classes,) float64; 1 for equal, 0 for disjoint, NaN for a class absent from both.
    """
    first, second = torch.as_tensor(first), torch.as_tensor(second)
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


def hd95_per_class(
    first: np.ndarray, second: np.ndarray, classes: int, spacing: Sequence[float]
) -> list[float]:
    """95th percentile surface distance of each class, the larger of both directions.

    Args:
        first: Label map (*S), whole numbers.
        second: The same shape.
        classes: Number of classes, background included.
        spacing: Edge lengths of a voxel.

    Returns:
        One distance per class, in the unit of the spacing; NaN for the background and for a class
        that either map lacks.
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


def dice(case: "Case") -> float:
    """Foreground Dice of a case."""
    return foreground_dice(case.dice)


def dice_published(case: "Case") -> float:
    """Dice of a case by the papers' definition."""
    return published_dice(case.dice)


def dice_of_classes(case: "Case") -> list[float]:
    """Dice of each class of a case."""
    return case.dice.tolist()


def hd95(case: "Case") -> float:
    """Mean HD95 over the classes of a case that both maps have."""
    return mean_of_finite(case.hd95)


def hd95_of_classes(case: "Case") -> list[float]:
    """HD95 of each class of a case."""
    return case.hd95
