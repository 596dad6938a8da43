"""Networks of MONAI as registration networks."""

from typing import Any

import torch
from torch import Tensor, nn

from bench.config.numbers import is_count
from bench.errors import ConfigError
from bench.models.checks import require
from bench.models.unet import convolution
from bench.spatial.resolution import crop_to, pad_to_multiple


class MonaiNetwork(nn.Module):
    """A MONAI network on the concatenated pair, followed by a flow convolution.

    Fits those that take `spatial_dims`, `in_channels` and `out_channels` and return a map of the
    image's size. Source: Cardoso et al., arXiv:2211.02701.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of each image.
        network: Name in `monai.networks.nets`.
        features: Channels that it hands to the flow convolution.
        multiple: What it needs image axes to be multiples of; images are padded and cropped back.
        options: Further arguments of the network.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        network: str,
        features: int = 16,
        multiple: int = 16,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("features", features), ("multiple", multiple)):
            require(name, value, is_count(value), "a whole number of at least 1")
        from monai.networks import nets

        kind = getattr(nets, network, None)
        if kind is None:
            raise ConfigError(
                f"model.network={network}: monai.networks.nets has no such network. Name one, such "
                "as SegResNet or SwinUNETR."
            )
        self.network = kind(
            spatial_dims=ndim,
            in_channels=2 * image_channels,
            out_channels=features,
            **(options or {}),
        )
        self.flow = convolution(ndim, features, ndim, kernel=3)
        self.multiple = multiple

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Displacement (B, D, *S) in voxels from two images (B, C, *S) of any size."""
        x = pad_to_multiple(torch.cat([moving, fixed], dim=1), self.multiple)
        return crop_to(self.flow(self.network(x)), moving.shape[2:])
