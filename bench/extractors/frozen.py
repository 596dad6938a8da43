"""A trained network as the metric sees it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from bench.models.layout import to_channels_last
from bench.store.folder import WEIGHTS


class FeatureNetwork(Protocol):
    """What a network must offer to serve as an extractor.

    Attributes:
        levels: Length of the pyramid.
        factors: How much coarser than the image each level is.
    """

    levels: int
    factors: Sequence[int]

    def supports(self, ndim: int, channels: int) -> str | None:
        """Why it cannot read such images, or None if it can."""

    def features(self, image: Tensor) -> list[Tensor]:
        """Pyramid of (B, C_l, *S_l), finest first, from (B, C, *S)."""


class Extractor:
    """A feature network without gradients of its own, in eval mode.

    Args:
        network: The trained network.
        precision: Precision it computes in; see `bench.training.devices.network_precision`.
    """

    def __init__(self, network: nn.Module, precision: torch.dtype = torch.float32) -> None:
        self.network = network.eval().requires_grad_(False)
        to_channels_last(network)
        self.precision = precision
        self.levels: int = network.levels  # type: ignore[assignment]
        self.factors: Sequence[int] = network.factors  # type: ignore[assignment]

    def to(self, device: torch.device) -> "Extractor":
        """Moves the network to a device, in place."""
        self.network.to(device)
        return self

    def load(self, results: Path) -> None:
        """Reads the weights of a pretrained network, downloaded into the results if need be."""
        if hasattr(self.network, "load"):
            self.network.load(results / WEIGHTS)

    def supports(self, ndim: int, channels: int) -> str | None:
        """Why it cannot read such images, or None if it can."""
        return self.network.supports(ndim, channels)  # type: ignore[operator]

    def __call__(self, image: Tensor) -> list[Tensor]:
        """Feature pyramid [(B, C_l, *S_l)], finest first; differentiable in the image."""
        with torch.autocast(
            image.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            return self.network.features(image)  # type: ignore[operator]
