"""Soft Dice of the labels."""

from torch import Tensor

from bench.pair import Pair
from bench.similarity.base import Similarity
from bench.similarity.labels import NEEDS_LABELS


class Dice(Similarity):
    """D = 1 - mean over classes of the soft Dice of warped and fixed one-hot labels.

    Background does not count, nor do classes that neither image of a pair has; the mean is over
    the classes of each pair, then over pairs. What it reaches bounds what labels can give.
    Source: Milletari et al., 3DV 2016; as a registration loss Balakrishnan et al., IEEE TMI 2019.
    """

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        return None if labels else NEEDS_LABELS

    def __call__(self, pair: Pair) -> Tensor:
        warped = pair.warped_labels[:, 1:].flatten(2)
        fixed = pair.fixed_labels[:, 1:].flatten(2)
        size = warped.sum(2) + fixed.sum(2)
        present = size > 0
        dice = 2 * (warped * fixed).sum(2) / size.clamp(min=1e-6)
        per_pair = ((1 - dice) * present).sum(1) / present.sum(1).clamp(min=1)
        return per_pair.mean()
