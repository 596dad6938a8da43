"""The network that makes images."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.models.unet import FullResolution, Head, UNet


class Synthesizer(nn.Module):
    """The U-Net of the suite, from an image to an image of the same size.

    A restoration adds what it finds to its input, and starts as the identity. Sources: Ronneberger
    et al., MICCAI 2015 (U-Net); Zhang et al., IEEE TIP 2017, for learning the residual.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of input and output.
        channels: Width of each encoder stage, finest first.
        restores: Whether the output is a correction of the input.
    """

    def __init__(
        self, ndim: int, image_channels: int, channels: Sequence[int], restores: bool
    ) -> None:
        super().__init__()
        backbone = UNet(ndim, image_channels, channels, norm=False, dropout=False)
        self.network = FullResolution(backbone, Head(ndim, backbone.outputs, image_channels, 3))
        self.restores = restores
        if restores:
            last = self.network.head[-1]
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *S) to (B, C, *S) float32."""
        found = self.network(image).float()
        return image + found if self.restores else found


@torch.no_grad()
def synthesize(network: nn.Module, image: Tensor, precision: torch.dtype) -> Tensor:
    """The image (B, C, *S) that a network makes of one, computed in a precision."""
    enabled = precision != torch.float32
    with torch.autocast(image.device.type, precision, enabled=enabled):
        return network(image)
