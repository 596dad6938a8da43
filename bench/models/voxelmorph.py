"""VoxelMorph, in the variant of the DeepSim papers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.errors import ConfigError
from bench.models.flow import Integrated, check_integrate, integrated, near_zero
from bench.models.unet import FullResolution, Head, UNet


class VoxelMorph(nn.Module):
    """A U-Net on the concatenated pair that predicts the displacement, or a velocity.

    Source: Balakrishnan et al., IEEE TMI 2019; widths, norm and flow head as in Czolbe et al.,
    MIA 2023. The last convolution starts from N(0, flow_std), so training starts near the
    identity. Integration as in Dalca et al., MICCAI 2018.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of each image.
        channels: Width of each encoder stage, finest first.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
        integrate: Squarings by which the output, taken as a stationary velocity, is integrated
            to a displacement; 0 takes the output as the displacement.
        flow_std: Standard deviation of the last convolution's initial weights.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        channels: Sequence[int] = (32, 64, 128),
        norm: bool = True,
        dropout: bool = True,
        integrate: int = 0,
        flow_std: float = 1e-5,
    ) -> None:
        super().__init__()
        check_integrate(integrate)
        if not flow_std > 0:
            raise ConfigError(f"model.flow_std={flow_std}: must be a number above 0.")
        backbone = UNet(ndim, 2 * image_channels, channels, norm, dropout)
        flow = Head(ndim, backbone.outputs, ndim, last_kernel=3)
        near_zero(flow[-1], flow_std)
        self.network = FullResolution(backbone, flow)
        self.integrate = integrate

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor | Integrated:
        """Displacement (B, D, *S) in voxels from two images (B, C, *S) of any size."""
        output = self.network(torch.cat([moving, fixed], dim=1))
        return integrated(output, self.integrate) if self.integrate else output
