"""Mean squared error of the intensities."""

import torch.nn.functional as F
from torch import Tensor

from bench.similarity.base import Similarity
from bench.similarity.pair import Pair


class MSE(Similarity):
    """D = mean over voxels and channels of (warped - fixed)^2."""

    def __call__(self, pair: Pair) -> Tensor:
        return F.mse_loss(pair.warped, pair.fixed)
