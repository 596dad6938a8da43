"""No registration: what every method has to be better than."""

import torch
from torch import Tensor

from bench.models.method import Objective
from bench.pair import Pair


class Identity:
    """u = 0: the pair as it is.

    Args:
        ndim: Spatial axes of the images, 2 or 3.
        image_channels: Channels of the images.
    """

    def __init__(self, ndim: int, image_channels: int) -> None:
        self.ndim = ndim

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels: zeros."""
        batch, _, *shape = pair.fixed.shape
        return torch.zeros(batch, self.ndim, *shape, device=pair.fixed.device)
