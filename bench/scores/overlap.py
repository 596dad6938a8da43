"""Overlap and surface distance of label maps."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from scipy.spatial import KDTree
from torch import Tensor

from bench.scores.case import Case
from bench.scores.summary import mean_of_finite


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

    A voxel of a class is at its surface if a neighbour along an axis is not, or lies outside.

    Args:
        first: Label map (*S), whole numbers.
        second: The same shape.
        classes: Number of classes, background included.
        spacing: Edge lengths of a voxel.

    Returns:
        One distance per class, in the unit of the spacing; NaN for the background and for a class
        that either map lacks.
    """
    boxes = [ndimage.find_objects(image, classes - 1) for image in (first, second)]
    distances = [math.nan]
    for label, places in enumerate(zip(*boxes, strict=True), start=1):
        if None in places:
            distances.append(math.nan)
            continue
        box = tuple(
            slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*places, strict=True)
        )
        distances.append(_hd95(first[box] == label, second[box] == label, spacing))
    return distances


def _hd95(first: np.ndarray, second: np.ndarray, spacing: Sequence[float]) -> float:
    """HD95 of two masks that are nowhere outside of these arrays."""
    surfaces = [
        np.argwhere(mask & ~ndimage.binary_erosion(mask)) * spacing for mask in (first, second)
    ]
    directed = [
        np.percentile(KDTree(there).query(here)[0], 95)
        for here, there in (surfaces, surfaces[::-1])
    ]
    return float(max(directed))


def dice(case: Case) -> float:
    """Foreground Dice of a case."""
    return foreground_dice(_dice(case))


def dice_published(case: Case) -> float:
    """Dice of a case by the papers' definition."""
    return published_dice(_dice(case))


def dice_of_classes(case: Case) -> list[float]:
    """Dice of each class of a case."""
    return _dice(case).tolist()


def hd95(case: Case) -> float:
    """Mean HD95 over the classes of a case that both maps have."""
    return mean_of_finite(hd95_of_classes(case))


def hd95_left_out(case: Case) -> float:
    """How many classes but the first one image has and the other lacks: they have no distance."""
    there = [
        {label for label, box in enumerate(ndimage.find_objects(image, case.classes - 1), 1) if box}
        for image in _maps(case)
    ]
    return float(len(there[0] ^ there[1]))


def hd95_of_classes(case: Case) -> list[float]:
    """HD95 of each class of a case."""
    return case.keep("hd95", lambda: hd95_per_class(*_maps(case), case.classes, case.spacing))


def _dice(case: Case) -> Tensor:
    inside = ... if case.mask is None else case.mask.numpy()
    warped, fixed = (image[inside] for image in _maps(case))
    return case.keep("dice", lambda: dice_per_class(warped, fixed, case.classes))


def _maps(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Warped and fixed label map (*S), background outside of the mask."""
    warped, fixed = np.asarray(case.warped), np.asarray(case.fixed)
    if case.mask is None:
        return warped, fixed
    inside = case.mask.numpy()
    return np.where(inside, warped, 0), np.where(inside, fixed, 0)
