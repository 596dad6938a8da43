"""How likely a fixed image is, given the warped moving one: Gaussian, with learned variances."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.extractors.frozen import Extractor
from bench.pair import Pair
from bench.similarity.deepsim import DeepSim, at_full_size
from bench.similarity.mse import MSE
from bench.spatial.resolution import warp_level


class Likelihood:
    """-log p(fixed | moving, u): of intensities, or of features of a frozen extractor.

    Channel c of what is compared has the variance s_c, the same at all places. Features are those
    of the moving image, taken before it is warped; each place's features have length 1 over the
    channels of a level. The published code divides each channel by its norm over the image
    instead, so that what else an image shows changes a feature's scale (arXiv:2106.08233).

    Args:
        extractor: Frozen network that gives a feature pyramid; None compares intensities.
        levels: Which of its levels, from 0 (finest).
    """

    def __init__(self, extractor: Extractor | None, levels: list[int]) -> None:
        self.extractor = extractor
        self.levels = levels

    @classmethod
    def of(cls, metric: Any, all_levels: bool = False) -> "Likelihood | None":
        """The likelihood of what a metric compares; None if it is neither MSE nor DeepSim.

        Args:
            metric: The metric.
            all_levels: Whether all levels of its extractor are compared, not just its own.
        """
        if isinstance(metric, DeepSim):
            every = list(range(metric.extractor.levels))
            return cls(metric.extractor, every if all_levels else metric.levels)
        return cls(None, []) if isinstance(metric, MSE) else None

    @torch.no_grad()
    def channels(self, ndim: int, image_channels: int) -> int:
        """Channels of all that is compared, which have a variance each."""
        if self.extractor is None:
            return image_channels
        size = 2 * max(self.extractor.factors)
        features = self.extractor(torch.zeros(1, image_channels, *[max(16, size)] * ndim))
        return sum(features[level].shape[1] for level in self.levels)

    def map(self, pair: Pair, log_noise: Tensor) -> Tensor:
        """-log p at each voxel, (B, *S), differentiable in u and in the variances.

        A place of a coarser level counts once: its value is spread over the voxels that it stands
        for.

        Args:
            pair: The batch under its displacement.
            log_noise: Logarithms of the variances (K,).
        """
        if self.extractor is None:
            return _negative_log(pair.warped - pair.fixed, log_noise)[:, 0]
        shape = pair.fixed.shape[2:]
        moving = pair.keep((self, "moving"), lambda: self._features(pair.moving))
        fixed = pair.keep((self, "fixed"), lambda: self._features(pair.fixed))
        noises = log_noise.split([features.shape[1] for features in fixed])
        total = torch.zeros_like(pair.fixed[:, :1])
        for level, ours, theirs, noise in zip(self.levels, moving, fixed, noises, strict=True):
            factor = self.extractor.factors[level]
            difference = warp_level(ours, pair.u, factor) - theirs
            values = at_full_size(_negative_log(difference, noise), shape)
            total = total + values / factor ** len(shape)
        return total[:, 0]

    @torch.no_grad()
    def _features(self, image: Tensor) -> list[Tensor]:
        assert self.extractor is not None
        features = self.extractor(image)
        return [F.normalize(features[level].float(), dim=1) for level in self.levels]


def _negative_log(difference: Tensor, log_noise: Tensor) -> Tensor:
    """-log of independent Gaussians of mean 0 at each place; (B, C, *S) to (B, 1, *S)."""
    noise = log_noise.view(1, -1, *[1] * (difference.ndim - 2))
    terms = difference.square() * (-noise).exp() + noise + math.log(2 * math.pi)
    return terms.sum(1, keepdim=True) / 2
