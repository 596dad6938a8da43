"""What a similarity metric is."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.pair import Pair


def reason_against(metric: Any, ndim: int, channels: int, labels: bool) -> str | None:
    """Why a metric cannot work on such images, or None if it can or does not say."""
    supports = getattr(metric, "supports", None)
    return supports(ndim, channels, labels) if supports else None


def each(metric: Any, pair: Pair) -> Tensor:
    """D of each pair of a batch, (B,), as if it were alone; for any callable on pairs."""
    own = getattr(metric, "each", None)
    return own(pair) if own else one_by_one(metric, pair)


def one_by_one(metric: Callable[[Pair], Tensor], pair: Pair) -> Tensor:
    """A metric of each pair of a batch, computed one after the other; (B,)."""
    if len(pair.fixed) == 1:
        return metric(pair)[None]
    return torch.stack([metric(pair.one(index)) for index in range(len(pair.fixed))])


def coarser(metric: Any, factor: int) -> Any:
    """The metric for images whose voxels are `factor` times as large; itself if it does not say."""
    own = getattr(metric, "coarser", None)
    return own(factor) if own and factor > 1 else metric


class Similarity(ABC):
    """Base class of the metrics here; any callable will do, `supports` is optional."""

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        """Why the metric cannot work on such images, or None if it can.

        Asked before anything is trained.

        Args:
            ndim: 2 or 3 spatial axes.
            channels: Channels of the images.
            labels: Whether the data set has label maps.
        """
        return None

    @abstractmethod
    def __call__(self, pair: Pair) -> Tensor:
        """Dissimilarity of the warped moving image and the fixed image.

        Returns:
            Float32 scalar, differentiable in `pair.u`.
        """

    def each(self, pair: Pair) -> Tensor:
        """D of each pair of the batch, as if it were alone.

        Returns:
            (B,) float32, differentiable in `pair.u`.
        """
        return one_by_one(self, pair)
