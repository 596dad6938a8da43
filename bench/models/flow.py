"""What a registration network ends in."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.errors import ConfigError
from bench.spatial import integrate

MOST_SQUARINGS = 20


class Integrated(NamedTuple):
    """A displacement that comes from a stationary velocity.

    Attributes:
        u: (B, D, *S), voxels.
        velocity: (B, D, *S), voxels; what is regularized.
    """

    u: Tensor
    velocity: Tensor


def check_integrate(steps: int) -> None:
    """Raises ConfigError unless a velocity can be integrated by so many squarings."""
    if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= MOST_SQUARINGS:
        raise ConfigError(
            f"model.integrate={steps}: must be 0, or a number of squarings such as 7, at most "
            f"{MOST_SQUARINGS}."
        )


def integrated(velocity: Tensor, steps: int) -> Integrated:
    """Integrates a network's output by scaling and squaring, in float32."""
    with torch.autocast(velocity.device.type, enabled=False):
        velocity = velocity.float()
        return Integrated(integrate(velocity, steps), velocity)


def displacement_of(output: Tensor | Integrated) -> tuple[Tensor, Tensor]:
    """The displacement of a model's output, and what is regularized of it, in float32."""
    if isinstance(output, Tensor):
        u = output.float()
        return u, u
    return output.u.float(), output.velocity.float()


def near_zero(layer: nn.Module, std: float) -> None:
    """Starts a convolution from N(0, std) without bias, so that its output is nearly zero."""
    assert isinstance(layer, nn.Conv2d | nn.Conv3d)
    nn.init.normal_(layer.weight, std=std)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
