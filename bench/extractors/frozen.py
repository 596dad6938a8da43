"""A trained network as the metric sees it."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.extractors.pretrained import Pretrained
from bench.extractors.protocol import feature_network
from bench.models.layout import to_channels_last
from bench.store.layout import WEIGHTS


class Extractor:
    """A feature network that is no longer trained, in eval mode.

    Args:
        network: The network, see `bench.extractors.protocol.FeatureNetwork`.
        precision: Precision it computes in; see `bench.training.devices.network_precision`.

    Raises:
        ConfigError: If it is no feature network.
    """

    def __init__(self, network: nn.Module, precision: torch.dtype = torch.float32) -> None:
        self._pyramid = feature_network(network)
        self.network = network.eval().requires_grad_(False)
        to_channels_last(network)
        self.precision = precision
        self.levels: int = self._pyramid.levels
        self.factors: Sequence[int] = self._pyramid.factors

    def to(self, device: torch.device) -> "Extractor":
        """Moves the network to a device, in place."""
        self.network.to(device)
        return self

    def load(self, results: Path) -> None:
        """Reads the file of a pretrained network, downloaded into the results if need be."""
        if isinstance(self.network, Pretrained):
            self.network.load(results / WEIGHTS)

    def supports(self, ndim: int, channels: int) -> str | None:
        """Why it cannot read such images, or None if it can."""
        return self._pyramid.supports(ndim, channels)

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Feature pyramid [(B, C_l, *S_l)], finest first; differentiable in the image."""
        with torch.autocast(
            image.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            return self._pyramid.features(image)
