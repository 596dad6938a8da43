"""Segmenter: features that know the classes (DeepSim_seg)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from bench.extractors.surrogate import FullResolutionFeatures
from bench.scores.overlap import dice_per_class, foreground_dice


class Segmenter(FullResolutionFeatures):
    """The backbone with skips, predicting the class of each voxel.

    Trained on cross-entropy. Source: Czolbe et al., MIDL 2021 and MIA 2023.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of the image.
        classes: Number of classes, background included.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
    """

    task = "segmenter"
    needs_labels = True

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        classes: int,
        channels: Sequence[int] = (32, 64, 128),
        norm: bool = True,
        dropout: bool = True,
    ) -> None:
        super().__init__(ndim, image_channels, classes, channels, norm, dropout, skips=True)
        self.classes = classes

    def forward(self, image: Tensor) -> Tensor:
        """Class scores (B, K, *S) before the softmax."""
        return self.network(image)

    def loss(self, output: Tensor, image: Tensor, segmentation: Tensor | None) -> Tensor:
        """Cross-entropy against the label map."""
        assert segmentation is not None
        return F.cross_entropy(output, segmentation.squeeze(1).long())

    def score(self, output: Tensor, image: Tensor, segmentation: Tensor | None) -> dict[str, float]:
        """`dice`: mean foreground Dice of the most probable classes."""
        assert segmentation is not None
        predicted = output.argmax(dim=1, keepdim=True)
        return {"dice": foreground_dice(dice_per_class(predicted, segmentation, self.classes))}
