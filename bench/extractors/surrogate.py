"""What autoencoder and segmenter share: the backbone and its encoder stages as features."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.models.unet import FullResolution, UNet, head
from bench.spatial import crop_to, pad_to_multiple


class EncoderFeatures(nn.Module):
    """A full-resolution network whose encoder stages are the features.

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
        super().__init__()
        self.ndim = ndim
        self.image_channels = image_channels
        self.levels = len(channels)
        backbone = UNet(ndim, image_channels, channels, norm, dropout, skips)
        self.network = FullResolution(backbone, head(ndim, backbone.outputs, outputs, 1))

    def supports(self, ndim: int, channels: int) -> str | None:
        """Why it cannot read such images, or None if it can."""
        if (ndim, channels) == (self.ndim, self.image_channels):
            return None
        return (
            f"the extractor was trained on {self.ndim}D images of {self.image_channels} "
            f"channel(s), the data set has {ndim}D images of {channels}"
        )

    def features(self, image: Tensor) -> list[Tensor]:
        """Encoder stages [(B, C_l, *ceil(S / 2^l))], finest first."""
        backbone = self.network.backbone
        stages = backbone.encode(pad_to_multiple(image, backbone.stride))
        shape = image.shape[2:]
        return [
            crop_to(features, torch.Size(-(-size // 2**level) for size in shape))
            for level, features in enumerate(stages, start=1)
        ]
