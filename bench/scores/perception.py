"""Scores of how a metric orders images whose order is known; pure functions of its distances."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

SAME = 1e-5  # relative difference below which float32 does not tell two distances apart


def two_afc(
    distances: Sequence[float], adjacent: bool = False, order: Sequence[float] | None = None
) -> float:
    """Share of pairs that a metric puts in order, ties as a half; NaN without a pair.

    It is the two-alternative forced choice of LPIPS with a judge who is always right: of
    (1 - h) where d0 < d1, h where d1 < d0 and 1/2 at ties, h is 0. Source: Zhang et al., CVPR 2018.

    Args:
        distances: D of images in their known order, the nearest first.
        adjacent: Whether only neighbours in the order count.
        order: Where each image stands, ascending, if some stand at one place: two of these make no
            pair.
    """
    d = np.asarray(distances, dtype=float)
    first, second = np.triu_indices(len(d), 1)
    if adjacent:
        first, second = np.arange(len(d) - 1), np.arange(1, len(d))
    if order is not None:
        apart = np.asarray(order)[first] < np.asarray(order)[second]
        first, second = first[apart], second[apart]
    if len(first) == 0:
        return float("nan")
    return float(np.mean(_first_is_nearer(d[first], d[second])))


def agreement(a: float, b: float, preferring_b: float) -> float:
    """Share of people with whom a metric agrees on which of two images is nearer to a reference.

    (1 - h) where a is less than b, h where b is less than a, and 1/2 at ties. Its mean over
    triplets is LPIPS's 2AFC score. Source: Zhang et al., CVPR 2018.

    Args:
        a: D of the first image.
        b: D of the second.
        preferring_b: h, the share of people to whom the second is nearer, from 0 to 1.
    """
    first = float(_first_is_nearer(np.array(a), np.array(b)))
    return first * (1 - preferring_b) + (1 - first) * preferring_b


def _first_is_nearer(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """1 where the first distance is less, 0 where the second is, 0.5 where they are the same."""
    return np.where(are_same(first, second), 0.5, first < second)


def are_same(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """Whether distances are ties: they differ by no more than float32's rounding may explain."""
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    return np.asarray(np.abs(b - a) <= SAME * np.maximum(np.abs(a), np.abs(b)))


def rank_correlation(distances: Sequence[float]) -> float:
    """Spearman's correlation of D with the known order, 0 if D is constant; NaN for one image.

    Args:
        distances: D of images in their known order, the nearest first.
    """
    if len(distances) < 2:
        return float("nan")
    ranks = rankdata(distances)
    if np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])


def average_precision(distances: Sequence[float], same: Sequence[bool]) -> float:
    """Area under precision over recall of pairs that are the same, those of least distance first.

    By the VOC rule, as LPIPS's score of just noticeable differences: at each recall the largest
    precision at that or a larger one. Pairs of one distance count at once. Source: Zhang et al.,
    CVPR 2018.

    Args:
        distances: D of each pair.
        same: Whether the pair is the same.

    Returns:
        From 0 to 1; NaN if no pair is the same.
    """
    d, truth = np.asarray(distances, dtype=float), np.asarray(same, dtype=float)
    if truth.sum() == 0:
        return float("nan")
    order = np.argsort(d, kind="stable")
    d, hits = d[order], truth[order].cumsum()
    ends = np.flatnonzero(np.append(np.diff(d) > 0, True))
    precision, recall = hits[ends] / (ends + 1), hits[ends] / truth.sum()
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0) * envelope).sum())


def along_path(distances: Sequence[float]) -> dict[str, float]:
    """How D goes on the true path, from the images as they are to the images that agree.

    Args:
        distances: D at evenly spaced t from 0 to 1, at least two.

    Returns:
        `falling`, share of the steps in which D falls; `minimum`, t of the least D; `basin`, share
        of the path that lies behind the last of these t at which D is half way up from its least
        value to that at 0, or higher.
    """
    d = np.asarray(distances, dtype=float)
    steps = len(d) - 1
    outside = np.flatnonzero(d >= (d[0] + d.min()) / 2)
    return {
        "falling": float((np.diff(d) < 0).mean()),
        "minimum": float(d.argmin() / steps),
        "basin": float((steps - outside[-1]) / steps),
    }
