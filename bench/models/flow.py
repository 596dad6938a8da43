"""What any registration network may end in: a small first flow, and the integration of a velocity.

Both are settings of the suite (`model.flow_std`, `model.integrate`) that a network need not know.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.config.numbers import is_number
from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.spatial.displacement import integrate

MOST_SQUARINGS = 20


class Integrated(NamedTuple):
    """A displacement that comes from a stationary velocity.

    Attributes:
        u: (B, D, *S), voxels.
        velocity: (B, D, *S), voxels; what is regularized.
    """

    u: Tensor
    velocity: Tensor


class Posterior(NamedTuple):
    """Gaussian distributions of displacements, independent for each voxel and axis.

    Attributes:
        mean: (B, D, *S), voxels; the displacement in tests.
        log_variance: The same shape, of squared voxels.
        log_noise: Log variances (K,) of the likelihood, of each channel that it compares; None
            before it is known what that is.
    """

    mean: Tensor
    log_variance: Tensor
    log_noise: Tensor | None


class Integration(nn.Module):
    """Integrates a network's output, taken as a stationary velocity, by scaling and squaring.

    The integration runs in float32. Source: Dalca et al., MICCAI 2018.

    Args:
        network: (moving, fixed) -> velocity (B, D, *S), voxels.
        squarings: Number of squarings, such as 7.
    """

    def __init__(self, network: nn.Module, squarings: int) -> None:
        super().__init__()
        self.network = network
        self.squarings = squarings

    def forward(self, moving: Tensor, fixed: Tensor) -> Integrated:
        """The displacement (B, D, *S) in voxels with its velocity."""
        velocity = self.network(moving, fixed)
        with torch.autocast(velocity.device.type, enabled=False):
            velocity = velocity.float()
            return Integrated(integrate(velocity, self.squarings), velocity)


class Suspected(NamedTuple):
    """A map of changes, by a network that registers nothing.

    Attributes:
        values: (B, *S), large where a change is suspected in the fixed image.
        kl: KL divergence (B,) per voxel of what the map was computed from; None if there is none.
    """

    values: Tensor
    kl: Tensor | None

    @property
    def u(self) -> Tensor:
        """The displacement, which is 0; (B, D, *S)."""
        batch, *shape = self.values.shape
        return self.values.new_zeros(batch, len(shape), *shape)


def finish_network(network: nn.Module, squarings: Any, flow_std: Any) -> nn.Module:
    """A network as the settings want it: near the identity at first, integrated at its end.

    Args:
        network: (moving, fixed) -> (B, D, *S).
        squarings: `model.integrate`; 0 takes the output as the displacement.
        flow_std: `model.flow_std`: the last convolution starts from N(0, flow_std) without bias,
            so that training starts near the identity; None leaves it as the network made it.

    Raises:
        ConfigError: If a setting is out of range, or the network has no convolution.
    """
    count = isinstance(squarings, int) and not isinstance(squarings, bool)
    if not count or not 0 <= squarings <= MOST_SQUARINGS:
        raise ConfigError(
            f"model.integrate={quoted(squarings)}: must be 0, or a number of squarings such as 7, "
            f"at most {MOST_SQUARINGS}."
        )
    if flow_std is not None:
        _start_near_zero(network, flow_std)
    return Integration(network, squarings) if squarings else network


def _start_near_zero(network: nn.Module, std: Any) -> None:
    if not (is_number(std) and std > 0):
        raise ConfigError(
            f"model.flow_std={quoted(std)}: must be a finite number above 0, or null."
        )
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)]
    if not convolutions:
        raise ConfigError(
            f"model.flow_std={std}: {type(network).__name__} has no convolution that could start "
            "near zero. Use model.flow_std=null."
        )
    last = convolutions[-1]
    nn.init.normal_(last.weight, std=std)
    if last.bias is not None:
        nn.init.zeros_(last.bias)


def displacement_of(output: Tensor | Integrated | Posterior | Suspected) -> tuple[Tensor, Tensor]:
    """The displacement of a network's output, and what is regularized of it, in float32."""
    if isinstance(output, Posterior):
        output = output.mean
    if isinstance(output, Suspected):
        output = output.u
    if isinstance(output, Tensor):
        u = output.float()
        return u, u
    return output.u.float(), output.velocity.float()
