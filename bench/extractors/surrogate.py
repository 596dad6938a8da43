"""What surrogate networks share: the encoder of the backbone, whose stages are the features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.models.unet import Encoder, FullResolution, Head, UNet
from bench.spatial.resolution import crop_to, pad_to_multiple


class EncoderFeatures(nn.Module, ABC):
    """A network that has an encoder.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of the image.
        channels: Width of each encoder stage, finest first.

    Attributes:
        levels: Number of stages.
        factors: How much coarser than the image each of them is.
    """

    def __init__(self, ndim: int, image_channels: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.ndim = ndim
        self.image_channels = image_channels
        self.levels = len(channels)
        self.factors = [2**level for level in range(1, self.levels + 1)]

    @property
    @abstractmethod
    def encoder(self) -> Encoder:
        """The stages."""

    def supports(self, ndim: int, channels: int) -> str | None:
        """Why it cannot read such images, or None if it can."""
        if (ndim, channels) == (self.ndim, self.image_channels):
            return None
        return (
            f"the extractor was trained on {self.ndim}D images of {self.image_channels} "
            f"channel(s), but the data set has {ndim}D images of {channels}"
        )

    def features(self, image: Tensor) -> list[Tensor]:
        """Encoder stages [(B, C_l, *ceil(S / 2^l))], finest first."""
        stages = self.encoder(pad_to_multiple(image, self.encoder.stride))
        return [
            crop_to(features, torch.Size(-(-size // factor) for size in image.shape[2:]))
            for features, factor in zip(stages, self.factors, strict=True)
        ]


class FullResolutionFeatures(EncoderFeatures):
    """A full-resolution network on the backbone.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of the image.
        outputs: Channels of the output.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
        skips: Whether encoder stages are concatenated in the decoder.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        outputs: int,
        channels: Sequence[int],
        norm: bool,
        dropout: bool,
        skips: bool,
    ) -> None:
        super().__init__(ndim, image_channels, channels)
        backbone = UNet(ndim, image_channels, channels, norm, dropout, skips)
        self.network = FullResolution(backbone, Head(ndim, backbone.outputs, outputs, 1))

    @property
    def encoder(self) -> Encoder:
        """The backbone's stages."""
        return self.network.backbone.encoder
