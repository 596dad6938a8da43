"""Training of networks that map changes themselves."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.batches.loading import TrainingPairs
from bench.models.change_networks import ChangeNetwork
from bench.models.method import Objective
from bench.pair import Pair
from bench.seeding import derive_seed
from bench.tasks.changes.truth import Truth
from bench.tasks.registration.training import NetworkTraining


class MapTraining(NetworkTraining):
    """Minimizes what a network that maps changes says of its output.

    One that needs a truth learns from the class of change, or from changes that are put into
    training pairs as `dataset.insert` puts others into test pairs. Another one learns to
    reconstruct moving images, which are never changed.

    Args:
        name: How messages call it.
        network: The network.
        description: What checkpoints say about the network.
        training: The training pairs; its data set's validation pairs are validated on.
        truth: What maps are judged by.
    """

    def __init__(
        self,
        name: str,
        network: ChangeNetwork,
        description: dict[str, Any],
        training: TrainingPairs,
        truth: Truth,
    ) -> None:
        super().__init__(name, network, description, Objective(None, None, 0.0), training)
        self.truth = truth
        self.insertion = training.dataset.insertion
        self.advice = "trainer.clip_norm=0.1"
        self.learner = network

    def loss(
        self, network: Callable[..., Any], positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """Means of the network's losses over a batch."""
        pair = self.training.batch(positions, device)
        seeds = [derive_seed(self.training.seed, "insert", position) for position in positions]
        losses = self._losses(network, pair, seeds)
        return {name: values.mean() for name, values in losses.items()}

    def _validated(
        self, network: Callable[..., Any], pair: Pair, first: int
    ) -> tuple[Pair, dict[str, Tensor]]:
        count = len(pair.fixed)
        seeds = [derive_seed(self.training.seed, "validation", first + i) for i in range(count)]
        return pair.at(pair.u), self._losses(network, pair, seeds)

    def _losses(
        self, network: Callable[..., Any], pair: Pair, seeds: Sequence[int]
    ) -> dict[str, Tensor]:
        if not self.learner.needs_truth:
            return self.learner.losses(network(pair.fixed, pair.moving), None)
        fixed, truth = self._changed(pair, seeds)
        return self.learner.losses(network(pair.moving, fixed), truth)

    def _changed(self, pair: Pair, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Fixed images (B, C, *S) and their masks of change (B, 1, *S)."""
        if self.truth.label is not None:
            masks = [self.truth.of(pair.one(i))[0] for i in range(len(seeds))]
            return pair.fixed, torch.from_numpy(np.stack(masks)[:, None]).to(pair.fixed.device)
        assert self.insertion is not None
        images, masks = [], []
        for image, seed in zip(pair.fixed.cpu().numpy(), seeds, strict=True):
            changed, mask = replace(self.insertion, seed=seed).into(image, "", "")
            images.append(changed)
            masks.append(mask[None])
        found = (torch.from_numpy(np.stack(arrays)) for arrays in (images, masks))
        fixed, truth = (array.to(pair.fixed.device) for array in found)
        return fixed, truth
