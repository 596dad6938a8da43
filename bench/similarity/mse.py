"""Mean squared error of the intensities."""

import torch.nn.functional as F
from torch import Tensor

from bench.pair import Pair
from bench.similarity.base import Similarity
from bench.similarity.masks import check_mask, mask_shares, mask_supports


class MSE(Similarity):
    """D = mean over voxels and channels of (warped - fixed)^2.

    Args:
        mask: Which voxels count, see `bench.similarity.masks`.
    """

    def __init__(self, mask: str | None = None) -> None:
        self.mask = check_mask(mask)

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        return mask_supports(self.mask, labels)

    def __call__(self, pair: Pair) -> Tensor:
        shares = mask_shares(self.mask, pair)
        if shares is None:
            return F.mse_loss(pair.warped, pair.fixed)
        return ((pair.warped - pair.fixed).square() * shares).sum() / pair.fixed.shape[1]

    def local(self, pair: Pair) -> Tensor:
        return (pair.warped - pair.fixed).square().mean(1)

    def each(self, pair: Pair) -> Tensor:
        squares = (pair.warped - pair.fixed).square()
        shares = mask_shares(self.mask, pair)
        if shares is None:
            return squares.flatten(1).mean(1)
        return (squares * shares).flatten(1).sum(1) * (len(squares) / squares.shape[1])
