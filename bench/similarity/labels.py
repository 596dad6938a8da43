"""Supervision by labels."""

import torch.nn.functional as F
from torch import Tensor

from bench.pair import Pair
from bench.similarity.base import Similarity

NEEDS_LABELS = "needs labels, but the data set has none"


class LabelMSE(Similarity):
    """D = mean over voxels and classes of (warped one-hot - fixed one-hot)^2.

    The supervised term of NCC_sup. Source: Czolbe et al., MIDL 2021.
    """

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        return None if labels else NEEDS_LABELS

    def __call__(self, pair: Pair) -> Tensor:
        return F.mse_loss(pair.warped_labels, pair.fixed_labels)
