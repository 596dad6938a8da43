"""The figure of a run: one registered test pair."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.analysis.plots.registered import Points, draw_registration
from bench.pair import Pair
from bench.spatial.displacement import warp


def draw_pair(path: Path, pair: Pair, title: str, names: Sequence[str]) -> None:
    """Draws a pair under its displacement: images, label contours, grid and Jacobian.

    Args:
        path: PNG file to write.
        pair: One pair.
        title: Written above.
        names: Of the classes, background first; none without labels.
    """
    labels: list[np.ndarray | None] = [None, None, None]
    if pair.has_labels:
        moving, fixed = pair.segmentations
        warped = warp(moving, pair.u, mode="nearest")
        labels = [label[0, 0].cpu().numpy() for label in (moving, fixed, warped)]
    draw_registration(
        path,
        images=[image[0].cpu().numpy() for image in (pair.moving, pair.fixed, pair.warped)],
        labels=labels,
        displacement=pair.u[0].cpu().numpy(),
        title=title,
        landmarks=landmarks_of(pair),
        names=names,
    )


def landmarks_of(pair: Pair) -> Points | None:
    """The landmarks of one pair under its displacement, to be drawn; None without."""
    if not pair.has_landmarks:
        return None
    moving, fixed = pair.landmarks
    drawn = (points[0].cpu().numpy() for points in (fixed, pair.mapped_landmarks, moving))
    return Points(*drawn)
