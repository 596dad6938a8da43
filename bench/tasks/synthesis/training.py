"""Synthesis by a network, for the trainer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.settings import TrainerSettings
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs
from bench.data.cache.prepared import PreparedDataset
from bench.data.sources.pairs import Pairs, evenly_spaced
from bench.pair import Pair
from bench.scores.summary import validation_means
from bench.seeding import derive_seed
from bench.similarity.building import move_metric
from bench.tasks.synthesis.judging import Judges, Shown
from bench.tasks.synthesis.problems import Problem


@dataclass(frozen=True)
class Loss:
    """Mean squared error + c · D(output, truth).

    Attributes:
        metric: D.
        factor: c; None for the mean squared error alone.
    """

    metric: Any
    factor: float | None

    def __call__(self, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """`loss`, and what it is made of: `mse` and, unless that is all, `similarity`."""
        error = F.mse_loss(output, target)
        if self.factor is None:
            return {"loss": error, "mse": error}
        similarity = self.metric(Pair(output, target))
        return {
            "loss": error + self.factor * similarity,
            "mse": error,
            "similarity": similarity,
        }


class TrainingSubjects(TrainingPairs):
    """Augmented moving and fixed images of one subject, by sample number; patches of them.

    Args:
        dataset: The data set.
        augmentation: Random maps; intensities are left as they are, since they are to be made.
        seed: The run's seed.
        patch: Edge of a patch in voxels, an axis that is shorter is taken whole; None: images.
    """

    def __init__(
        self, dataset: PreparedDataset, augmentation: Augmentation, seed: int, patch: int | None
    ) -> None:
        super().__init__(dataset, Augmentation(affine=augmentation.affine), seed)
        self.patch = patch

    @cached_property
    def pairs(self) -> Pairs:
        """Each training subject with itself."""
        return [(member, member) for member in self.dataset.some_members("train")]

    def images(self, positions: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Moving and fixed images (B, C, *S) at these positions."""
        pair = self.batch(positions, device)
        if self.patch is None:
            return pair.moving, pair.fixed
        shape = pair.fixed.shape[2:]
        places = [self._place(shape, position) for position in positions]
        first, second = (
            torch.stack([one[place] for one, place in zip(images, places, strict=True)])
            for images in (pair.moving, pair.fixed)
        )
        return first, second

    def _place(self, shape: Sequence[int], position: int) -> tuple[slice, ...]:
        """Where the patch of a position lies in its image (C, *S)."""
        assert self.patch is not None
        random = np.random.default_rng(derive_seed(self.seed, "patch", position))
        edges = [min(self.patch, size) for size in shape]
        starts = [int(random.integers(n - e + 1)) for n, e in zip(shape, edges, strict=True)]
        return (slice(None), *(slice(s, s + e) for s, e in zip(starts, edges, strict=True)))


class SynthesisTraining:
    """Minimizes the loss over training subjects; see `bench.training.trainee.Trainable`.

    Args:
        name: How messages call it.
        network: Input to output.
        description: What checkpoints say about the network.
        problem: What the input is.
        loss: What is minimized.
        training: The training subjects; their data set's validation subjects are validated on.
        judges: What scores validation images.
        seed: Determines what is random in the inputs.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        description: dict[str, Any],
        problem: Problem,
        loss: Loss,
        training: TrainingSubjects,
        judges: Judges,
        seed: int,
    ) -> None:
        self.name = name
        self.network = network
        self.description = description
        self.problem = problem
        self.criterion = loss
        self.training = training
        self.judges = judges
        self.seed = seed
        self.advice = "a smaller task.factor"

    def prepare(self, device: torch.device) -> None:
        """Moves metric and judges to the device."""
        move_metric(self.criterion.metric, device)
        self.judges.to(device)

    def loss(
        self, network: Callable[..., Tensor], positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """The loss of one batch and what it is made of."""
        source, target = self.training.images(positions, device)
        seeds = [derive_seed(self.seed, "training input", position) for position in positions]
        return self.criterion(network(self.problem.input(source, target, seeds)), target)

    def validate(
        self, network: Callable[..., Tensor], settings: TrainerSettings, device: torch.device
    ) -> dict[str, float]:
        """The loss and the scores of test images, averaged over validation subjects."""
        dataset = self.training.dataset
        rows = []
        for member in evenly_spaced(dataset.some_members("val"), settings.validation_pairs):
            shown = Shown.read(dataset, member, self.problem, self.seed, device)
            output = network(shown.input).float()
            losses = self.criterion(output, shown.truth)
            rows.append(
                {name: float(value) for name, value in losses.items()}
                | self.judges.scores(output, shown)
            )
        return validation_means(rows)
