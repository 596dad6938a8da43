"""Multi-scale structural similarity."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.errors import ConfigError, Unsupported
from bench.pair import Pair
from bench.similarity.base import Similarity

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first
DEVIATION = 1.5  # voxels
LEAST = 1e-4  # of a mean that is raised to a power; images that disagree have negative ones


class MSSSIM(Similarity):
    """D = 1 - product of structural similarity over scales, each of half the resolution.

    The coarsest scale counts with its structural similarity, the others with its part of contrast
    and structure; exponents are those of the source, scaled to a sum of 1 where there are fewer
    scales. Windows are Gaussian of standard deviation 1.5 voxels and lie inside the image. The
    stabilizing constants are 0.01 and 0.03 of the range of the fixed image, squared. Computed by
    MONAI. Source: Wang, Simoncelli & Bovik, Asilomar 2003.

    Args:
        window: Edge of the window in voxels, odd and at most the image's shortest axis.
        scales: At most so many, from 1 to 5: as many as the window fits into.
    """

    def __init__(self, window: int = 7, scales: int = len(WEIGHTS)) -> None:
        if not (is_count(window, 3) and window % 2 == 1):
            raise ConfigError(
                f"metric.window={quoted(window)}: must be an odd whole number of at least 3."
            )
        if not (is_count(scales) and scales <= len(WEIGHTS)):
            raise ConfigError(
                f"metric.scales={quoted(scales)}: must be a whole number from 1 to {len(WEIGHTS)}."
            )
        self.window = window
        self.scales = scales

    def __call__(self, pair: Pair) -> Tensor:
        return self.each(pair).mean()

    def each(self, pair: Pair) -> Tensor:
        from monai.metrics.regression import compute_ssim_and_cs

        ndim, shortest = pair.fixed.ndim - 2, min(pair.fixed.shape[2:])
        fitting = [n for n in range(1, self.scales + 1) if shortest >> (n - 1) >= self.window]
        if not fitting:
            raise Unsupported(
                f"MS-SSIM's window={self.window} is larger than the images, whose shortest axis "
                f"has {shortest} voxels. Choose a smaller metric.window."
            )
        fixed = pair.fixed.flatten(1)
        span = (fixed.amax(1) - fixed.amin(1)).clamp(min=1e-6).view(-1, *[1] * (ndim + 1))
        images = [pair.warped / span, pair.fixed / span]
        halved = getattr(F, f"avg_pool{ndim}d")
        exponents = WEIGHTS[: fitting[-1]]
        product = torch.ones(len(pair.fixed), device=pair.fixed.device)
        for scale, exponent in enumerate(exponents, start=1):
            whole, structure = compute_ssim_and_cs(
                *images,
                spatial_dims=ndim,
                kernel_size=(self.window,) * ndim,
                kernel_sigma=(DEVIATION,) * ndim,
            )
            counts = whole if scale == len(exponents) else structure
            mean = counts.flatten(1).mean(1).clamp(min=LEAST)
            product = product * mean ** (exponent / sum(exponents))
            images = [halved(image, 2) for image in images]
        return 1 - product
