"""Registration by a network, for the trainer."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.settings import TrainerSettings
from bench.data.batches.loading import TrainingPairs, read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.data.sources.pairs import evenly_spaced
from bench.models.flow import displacement_of
from bench.models.method import Objective
from bench.pair import Pair
from bench.scores.registry import SCORES
from bench.scores.scoring import score_case
from bench.scores.summary import validation_means
from bench.similarity.building import move_metric
from bench.tasks.registration.masks import Masks
from bench.tasks.registration.testing import case_of


class NetworkTraining:
    """Minimizes D(I∘Φ, J) + λ R(Φ) over the training pairs.

    Args:
        name: How messages call it.
        network: (moving, fixed) -> u.
        description: What checkpoints say about the network.
        objective: D, R and λ.
        training: The training pairs; its data set's validation pairs are validated on.
        masks: Of fixed subjects, within which scores count; None for everywhere.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        description: dict[str, Any],
        objective: Objective,
        training: TrainingPairs,
        masks: Masks | None = None,
    ) -> None:
        self.name = name
        self.network = network
        self.description = description
        self.objective = objective
        self.training = training
        self.dataset = training.dataset
        self.masks = masks
        self.advice = f"a larger regularizer.weight (now {objective.weight:g})"

    def prepare(self, device: torch.device) -> None:
        """Moves the metric to the device."""
        move_metric(self.objective.similarity, device)

    def loss(
        self, network: Callable[..., Tensor], positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """`loss`, `similarity` and unweighted `regularization` of one batch."""
        pair = self.training.batch(positions, device)
        u, regularized = displacement_of(network(pair.moving, pair.fixed))
        return self.objective.losses(pair.at(u), regularized)

    def validate(
        self, network: Callable[..., Tensor], settings: TrainerSettings, device: torch.device
    ) -> dict[str, float]:
        """Losses, foreground Dice and folding, averaged over validation pairs."""
        pairs = evenly_spaced(self.dataset.pairs("val"), settings.validation_pairs)
        rows: list[dict[str, float]] = []
        for first in range(0, len(pairs), settings.batch_size):
            pair = read_pairs(self.dataset, pairs[first : first + settings.batch_size], device)
            moved, losses = self._validated(network, pair, first)
            rows += [
                {name: float(values[i]) for name, values in losses.items()}
                | validation_scores(moved.one(i), self.dataset, self.masks)
                for i in range(len(moved.u))
            ]
        return validation_means(rows)

    def _validated(
        self, network: Callable[..., Tensor], pair: Pair, first: int
    ) -> tuple[Pair, dict[str, Tensor]]:
        """A batch of validation pairs, from number `first`, registered; losses (B,) of each."""
        u, regularized = displacement_of(network(pair.moving, pair.fixed))
        moved = pair.at(u)
        losses = self.objective.losses(moved, regularized)
        return moved, {name: value.expand(len(u)) for name, value in losses.items()}


def validation_scores(
    pair: Pair, dataset: PreparedDataset, masks: Masks | None = None
) -> dict[str, float]:
    """The scores that are measured in validation, of one pair under its displacement."""
    case = case_of(pair, dataset, masks=masks)
    return score_case(case, [score for score in SCORES.values() if score.in_validation])
