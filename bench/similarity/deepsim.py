"""Deep similarity: cosine of the features of a frozen network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.errors import ConfigError
from bench.extractors.frozen import Extractor
from bench.similarity.base import Similarity
from bench.similarity.pair import Pair

SMALLEST_SQUARED_NORM = 1e-6


class DeepSim(Similarity):
    """D = 1 - mean over levels of the mean cosine of features of warped and fixed image.

    Squared norms are clamped from below at 1e-6, so places without features count as cosine 0.
    Source: Czolbe et al., MIDL 2021 and MIA 2023.

    Args:
        extractor: Frozen network that gives a feature pyramid.
        levels: Which of its levels are used, from 1 (finest).
    """

    def __init__(self, extractor: Extractor, levels: Sequence[int] = (1, 2, 3)) -> None:
        allowed = range(1, extractor.levels + 1)
        if not levels or any(level not in allowed for level in levels):
            raise ConfigError(
                f"metric.levels={list(levels)}: the extractor has levels {list(allowed)}; "
                "name one or more of them."
            )
        self.extractor = extractor
        self.levels = [level - 1 for level in levels]

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        return self.extractor.supports(ndim, channels)

    def __call__(self, pair: Pair) -> Tensor:
        warped = self.extractor(pair.warped)
        with torch.no_grad():
            fixed = self.extractor(pair.fixed)
        cosines = [mean_cosine(warped[level], fixed[level]) for level in self.levels]
        return 1 - torch.stack(cosines).mean()


def mean_cosine(a: Tensor, b: Tensor) -> Tensor:
    """Mean over places of the cosine between feature vectors of two (B, C, *S) maps, float32."""
    a, b = a.float(), b.float()
    product = (a * b).sum(dim=1)
    norms = a.square().sum(dim=1).clamp(min=SMALLEST_SQUARED_NORM) * b.square().sum(dim=1).clamp(
        min=SMALLEST_SQUARED_NORM
    )
    return (product * norms.rsqrt()).mean()
