"""Supervision by landmarks."""

from typing import Any

import torch
from torch import Tensor

from bench.pair import Pair
from bench.similarity.base import Similarity

NEEDS_LANDMARKS = "needs landmarks, but the data set has none"


class Keypoints(Similarity):
    """D = mean over landmarks of |p + u(p) - q|^2, in voxels.

    p is a landmark of the fixed image, q the same one of the moving image. Those that lie outside
    of either do not count; the mean is over the landmarks of each pair, then over pairs, where a
    pair without any has 0. What it reaches bounds what landmarks can give. As a term of a loss:
    VoxelMorph++ (Heinrich and Hansen, WBIR 2022).
    """

    needs_landmarks = True

    def __init__(self) -> None:
        self._edge = 1.0  # of a voxel of the pair, in voxels of the image

    def coarser(self, factor: int) -> "Keypoints":
        """The metric for coarser images, whose distances stay in voxels of the image."""
        other = Keypoints()
        other._edge = self._edge * factor
        return other

    def __call__(self, pair: Pair) -> Tensor:
        return self.each(pair).mean()

    def each(self, pair: Pair) -> Tensor:
        moving, _ = pair.landmarks
        counted = pair.counted_landmarks
        # zeros before the square: NaN must not reach the gradient
        apart = torch.where(counted[..., None], pair.mapped_landmarks - moving, 0).square().sum(-1)
        return self._edge**2 * apart.sum(1) / counted.sum(1).clamp(min=1)


def reason_without_landmarks(metric: Any, landmarks: bool) -> str | None:
    """Why a metric cannot work, if it needs landmarks, as `needs_landmarks` says, and has none.

    Args:
        metric: The metric.
        landmarks: Whether there are any.
    """
    return NEEDS_LANDMARKS if getattr(metric, "needs_landmarks", False) and not landmarks else None
