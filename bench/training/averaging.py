"""A running mean of a network's weights, which is steadier than the weights themselves."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """An exponential running mean of weights, and of statistics of batch normalization.

    In step t the mean goes by 1 - min(decay, t / (t + 9)) of the way to the weights, so that it
    soon forgets those of the beginning. Source: Polyak and Juditsky, SIAM J. Control Optim. 1992,
    in the exponential form.

    Args:
        network: Whose weights; on its device.
        decay: In (0, 1); the mean is over about 1 / (1 - decay) steps.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = _weights(network)
        self._mean = [value.clone() for value in self._live.values()]

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """To be called once after each optimizer step, with its number from 1."""
        share = 1 - min(self.decay, step / (step + 9))
        torch._foreach_lerp_(self._mean, list(self._live.values()), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the network has the mean's weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for live, mean in zip(self._live.values(), self._mean, strict=True):
            kept = live.clone()
            live.copy_(mean)
            mean.copy_(kept)

    def state_dict(self) -> dict[str, Tensor]:
        """The mean, by the names of the weights."""
        return dict(zip(self._live, self._mean, strict=True))

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a mean that was saved."""
        for name, mean in zip(self._live, self._mean, strict=True):
            mean.copy_(state[name])


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """What is averaged: everything that a checkpoint holds but counters."""
    return {
        name: value for name, value in network.state_dict().items() if value.is_floating_point()
    }
