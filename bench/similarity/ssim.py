"""Structural similarity."""

from torch import Tensor

from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.errors import ConfigError, Unsupported
from bench.pair import Pair
from bench.similarity.base import Similarity


class SSIM(Similarity):
    """D = 1 - mean structural similarity in Gaussian windows of standard deviation 1.5 voxels.

    Windows lie inside the image. The stabilizing constants are 0.01 and 0.03 of the range of the
    fixed image, squared. Computed by MONAI. Source: Wang et al., IEEE TIP 2004.

    Args:
        window: Edge of the window in voxels, odd and at most the image's shortest axis.
    """

    def __init__(self, window: int = 7) -> None:
        if not (is_count(window, 3) and window % 2 == 1):
            raise ConfigError(
                f"metric.window={quoted(window)}: must be an odd whole number of at least 3."
            )
        self.window = window

    def __call__(self, pair: Pair) -> Tensor:
        return self.each(pair).mean()

    def each(self, pair: Pair) -> Tensor:
        from monai.losses import SSIMLoss

        shape = pair.fixed.shape[2:]
        if self.window > min(shape):
            raise Unsupported(
                f"SSIM's window={self.window} is larger than the images, whose shortest axis has "
                f"{min(shape)} voxels. Choose a smaller metric.window."
            )
        fixed = pair.fixed.flatten(1)
        span = (fixed.amax(1) - fixed.amin(1)).clamp(min=1e-6).view(-1, *[1] * (len(shape) + 1))
        loss = SSIMLoss(len(shape), data_range=1.0, win_size=self.window, reduction="none")
        return loss(pair.warped / span, pair.fixed / span).flatten(1).mean(1)
