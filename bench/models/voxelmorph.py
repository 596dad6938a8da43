"""VoxelMorph, in the variant of the DeepSim papers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.models.checks import require
from bench.models.unet import FullResolution, HalfHead, HalfResolution, Head, UNet


class VoxelMorph(nn.Module):
    """A U-Net on the concatenated pair that predicts the displacement.

    Source: Balakrishnan et al., IEEE TMI 2019; widths, norm and flow head as in Czolbe et al.,
    MIA 2023.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of each image.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
        flow_scale: 1 as published, or 2: the displacement is predicted at half the resolution and
            doubled by linear interpolation, as Hoopes et al., IPMI 2021, have it for velocities.

    Raises:
        ConfigError: If one of them is out of range.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        channels: Sequence[int] = (32, 64, 128),
        norm: bool = True,
        dropout: bool = True,
        flow_scale: int = 1,
    ) -> None:
        super().__init__()
        require("flow_scale", flow_scale, flow_scale in (1, 2), "1 or 2")
        backbone = UNet(ndim, 2 * image_channels, channels, norm, dropout)
        self.network: nn.Module
        if flow_scale == 1:
            full = Head(ndim, backbone.outputs, ndim, last_kernel=3)
            self.network = FullResolution(backbone, full)
        else:
            half = HalfHead(ndim, channels[0], ndim, last_kernel=3)
            self.network = HalfResolution(backbone, half)

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Displacement (B, D, *S) in voxels from two images (B, C, *S) of any size."""
        return self.network(torch.cat([moving, fixed], dim=1))
