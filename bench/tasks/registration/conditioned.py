"""Registration by a network that takes λ, for the trainer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.batches.loading import TrainingPairs
from bench.models.conditioned import Conditioned
from bench.models.flow import displacement_of
from bench.models.method import Objective
from bench.pair import Pair
from bench.seeding import derive_seed
from bench.tasks.registration.masks import Masks
from bench.tasks.registration.training import NetworkTraining

GOLDEN = (5**0.5 - 1) / 2  # steps of it, modulo 1, fill an interval evenly at every length
AT_ENDS = 0.2  # share of the samples whose λ is an end of its range
VALIDATED = (-1, -0.5, 0, 0.5, 1)  # places in the range, in turn of validation pairs


class ConditionedTraining(NetworkTraining):
    """Minimizes D(I∘Φ, J) + λ R(Φ) over the training pairs, each under a λ of its own.

    log λ is uniform over the range but for a fifth of the samples, which are at one of its ends.
    Samples in turn have λ far apart, so that a few steps see the whole range, and a sample has the
    same λ whatever the step at which the training was resumed. D weighs the same for all λ: divided
    by 1 + λ, as by Hoopes et al., IPMI 2021, the loss would neglect large λ.

    Args:
        name: How messages call it.
        network: Says which λ it learns.
        description: What checkpoints say about the network.
        objective: D and R; its λ is not looked at.
        training: The training pairs; its data set's validation pairs are validated on.
        masks: Of fixed subjects, within which scores count; None for everywhere.
    """

    def __init__(
        self,
        name: str,
        network: Conditioned,
        description: dict[str, Any],
        objective: Objective,
        training: TrainingPairs,
        masks: Masks | None = None,
    ) -> None:
        super().__init__(name, network, description, objective, training, masks)
        self.weights = network.weights
        self.start = np.random.default_rng(derive_seed(training.seed, "weight")).random()
        self.advice = f"a larger λ in model.lambda_range (now {self.weights})"

    def weight_of(self, position: int) -> float:
        """λ of a training sample."""
        place = 2 * ((self.start + position * GOLDEN) % 1) - 1
        return self.weights.at(min(max(place / (1 - AT_ENDS), -1), 1))

    def loss(
        self, network: Callable[..., Tensor], positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """`loss`, `similarity` and unweighted `regularization` of one batch."""
        pair = self.training.batch(positions, device)
        _, losses = self._registered(network, pair, [self.weight_of(n) for n in positions])
        return {name: values.mean() for name, values in losses.items()}

    def _validated(
        self, network: Callable[..., Tensor], pair: Pair, first: int
    ) -> tuple[Pair, dict[str, Tensor]]:
        numbers = range(first, first + len(pair.fixed))
        places = [VALIDATED[number % len(VALIDATED)] for number in numbers]
        return self._registered(network, pair, [self.weights.at(place) for place in places])

    def _registered(
        self, network: Callable[..., Tensor], pair: Pair, weights: Sequence[float]
    ) -> tuple[Pair, dict[str, Tensor]]:
        """A batch registered, each pair under its λ, and losses (B,) of each."""
        weight = torch.tensor(weights, dtype=torch.float32, device=pair.fixed.device)
        u, regularized = displacement_of(network(pair.moving, pair.fixed, weight))
        moved = pair.at(u)
        similarity, regularization = self.objective.each(moved, regularized)
        return moved, {
            "loss": similarity + weight * regularization,
            "similarity": similarity,
            "regularization": regularization,
        }
