"""A network that knows λ: one training for every weight of the regularizer.

Maps in the network are scaled and shifted, channel by channel, by what a small network makes of
log λ. Source: Perez et al., AAAI 2018 (feature-wise modulation); Hoopes et al., IPMI 2021, and Mok
and Chung, MICCAI 2021 (one registration network for all λ).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bench.config.conditioning import WeightRange
from bench.errors import ConfigError, Unsupported
from bench.models.convolution import Chain
from bench.models.unet import NEGATIVE_SLOPE, HalfHead, Head, Joining

WIDTH = 64  # of the layers that read λ


class Modulation(nn.Module):
    """x + scale x + shift, a scale and a shift for each channel of each item.

    Args:
        channels: Of the map x.

    Attributes:
        change: Scales and shifts (B, 2 * channels), set for each pass by `Conditioned`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.change: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, *S) to the same."""
        if self.change is None:
            raise ConfigError(
                "model.conditioned=lambda: the network passes through a stage outside its forward "
                "pass, where it has no λ, as gradient checkpointing does. Leave that out."
            )
        change = self.change.to(x.dtype).view(*self.change.shape, *[1] * (x.ndim - 2))
        scale, shift = change.chunk(2, dim=1)
        return torch.addcmul(x + shift, x, scale)


class Conditioned(nn.Module):
    """A registration network whose stages are modulated by λ.

    In each stage the map after the first convolution is modulated: what follows mixes channels, so
    that batch normalization of a later stage does not undo it. At first nothing is changed, bit for
    bit. Changes are divided by the root of the number of units, all of which a step of Adam moves
    by the learning rate: a channel would otherwise move ten times as fast as a bias does.

    Args:
        network: (moving, fixed) -> u or `bench.models.flow.Integrated`; changed in place.
        weights: The λ that it learns.
        name: What it is called in messages.

    Raises:
        Unsupported: If the network has no such stages.
    """

    def __init__(self, network: nn.Module, weights: WeightRange, name: str) -> None:
        super().__init__()
        self.network = network
        self.weights = weights
        self.modulations = list(_modulated(network))  # registered in the stages
        if not self.modulations:
            raise Unsupported(
                f"model.conditioned=lambda: model={name} cannot take λ, which needs stages of "
                "bench.models.unet. Use model=pyramid or model=voxelmorph, or build yours from "
                "bench.models.unet.stage."
            )
        self.sizes = [2 * modulation.channels for modulation in self.modulations]
        self.units = nn.Sequential(
            nn.Linear(1, WIDTH),
            nn.LeakyReLU(NEGATIVE_SLOPE),
            nn.Linear(WIDTH, WIDTH),
            nn.LeakyReLU(NEGATIVE_SLOPE),
        )
        self.changes = nn.Linear(WIDTH, sum(self.sizes))
        nn.init.zeros_(self.changes.weight)
        nn.init.zeros_(self.changes.bias)

    def forward(self, moving: Tensor, fixed: Tensor, weight: Tensor) -> Tensor:
        """What the network returns for two images (B, C, *S) under λ (B,), of each item."""
        with torch.autocast(weight.device.type, enabled=False):
            changes = self.changes(self.units(self._places(weight)[:, None])) / WIDTH**0.5
        for modulation, change in zip(
            self.modulations, changes.split(self.sizes, dim=1), strict=True
        ):
            modulation.change = change
        output = self.network(moving, fixed)
        for modulation in self.modulations:
            modulation.change = None  # which would keep the pass's maps
        return output

    def _places(self, weight: Tensor) -> Tensor:
        """log λ, -1 at the least and 1 at the largest."""
        half = math.log(self.weights.high / self.weights.low) / 2
        return torch.log(weight.float() / self.weights.middle) / half


def _modulated(network: nn.Module) -> Iterator[Modulation]:
    """The modulations that are put into a network's stages, heads left out."""
    for stage in list(network.modules()):
        if not isinstance(stage, Chain | Joining) or isinstance(stage, Head | HalfHead):
            continue
        for place, layer in enumerate(stage):
            if isinstance(layer, nn.Conv2d | nn.Conv3d):
                modulation = Modulation(layer.out_channels)
                stage.insert(place + 1, modulation)
                yield modulation
                break


@contextmanager
def reached(network: nn.Module, name: str) -> Iterator[None]:
    """Refuses a network conditioned on λ that does not pass through any modulated stage within.

    Args:
        network: A registration network, with or without λ.
        name: What it is called in messages.

    Raises:
        Unsupported: If λ has no effect on it.
    """
    if not isinstance(network, Conditioned):
        yield
        return
    passed: list[nn.Module] = []
    hooks = [
        modulation.register_forward_hook(lambda module, *_: passed.append(module))
        for modulation in network.modulations
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    if not passed:
        raise Unsupported(
            f"model.conditioned=lambda: λ has no effect on model={name}, which has stages of "
            "bench.models.unet but does not use them. Use them, or leave model.conditioned out."
        )


def at_weight(network: nn.Module, like: Tensor, weight: float) -> tuple[Tensor, ...]:
    """What a network takes besides two images: λ of each item if it knows λ, else nothing.

    Args:
        network: A registration network.
        like: A batch (B, ...), for its size and device.
        weight: λ.
    """
    if not isinstance(network, Conditioned):
        return ()
    return (torch.full((len(like),), weight, device=like.device),)
