"""A trained network as a method."""

from typing import Any

import torch
from torch import Tensor, nn

from bench.models.conditioned import Conditioned, at_weight
from bench.models.flow import Integration, displacement_of
from bench.models.method import Objective
from bench.pair import Pair
from bench.spatial.displacement import integrate


class NetworkMethod:
    """Registers by one forward pass, in the precision that the network was trained in.

    Args:
        network: (moving, fixed) -> u, or `bench.models.flow.Integrated`, or one that takes λ
            besides; put into eval mode.
        precision: Precision of its layers.
    """

    def __init__(self, network: nn.Module, precision: torch.dtype) -> None:
        self.network = network.eval()
        plain = network.network if isinstance(network, Conditioned) else network
        self.squarings = plain.squarings if isinstance(plain, Integration) else None
        self.precision = precision

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels."""
        u, _ = self._predict(pair, objective)
        return u

    def inverse(self, pair: Pair, objective: Objective) -> Tensor | None:
        """Displacement (B, D, *S) of the inverse transforms; None without an integrated velocity.

        It is defined on the moving image's grid.
        """
        if self.squarings is None:
            return None
        _, velocity = self._predict(pair, objective)
        return integrate(-velocity, self.squarings)

    @torch.no_grad()
    def output(self, pair: Pair, objective: Objective) -> Any:
        """What the network returns for a batch, without gradient."""
        device, images = pair.moving.device.type, (pair.moving, pair.fixed)
        weight = at_weight(self.network, pair.moving, objective.weight)
        with torch.autocast(device, self.precision, enabled=self.precision != torch.float32):
            return self.network(*images, *weight)

    def _predict(self, pair: Pair, objective: Objective) -> tuple[Tensor, Tensor]:
        """Displacement, and the velocity that it comes from if there is one."""
        u, velocity = displacement_of(self.output(pair, objective))
        return u.detach(), velocity.detach()  # a view of a parameter keeps its gradient in no_grad
