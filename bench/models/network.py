"""A trained network as a method."""

import torch
from torch import Tensor, nn

from bench.models.flow import displacement_of
from bench.models.method import Objective
from bench.pair import Pair


class NetworkMethod:
    """Registers by one forward pass, in the precision that the network was trained in.

    Args:
        network: (moving, fixed) -> u, or `bench.models.flow.Integrated`; put into eval mode.
        precision: Precision of its layers.
    """

    def __init__(self, network: nn.Module, precision: torch.dtype) -> None:
        self.network = network.eval()
        self.precision = precision

    @torch.no_grad()
    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels."""
        device = pair.moving.device.type
        with torch.autocast(device, self.precision, enabled=self.precision != torch.float32):
            u, _ = displacement_of(self.network(pair.moving, pair.fixed))
        return u
