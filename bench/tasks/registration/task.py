"""Registration as a task for the trainer, and the registration of test pairs."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.config.settings import TrainerSettings
from bench.data.batches.loading import PairBatch, TrainingPairs, evenly_spaced, read_pairs
from bench.models.flow import displacement_of
from bench.scores.evaluation import (
    dice_per_class,
    folding,
    foreground_dice,
    score_displacement,
    score_labels,
    validation_means,
)
from bench.scores.workers import MOST, workers
from bench.similarity import Pair, Similarity
from bench.spatial import warp

Network = Callable[..., Tensor]
TOGETHER = 2 * MOST  # test pairs that are registered before their labels are scored


class Registration:
    """Minimizes D(I∘Φ, J) + λ R(Φ) over the training pairs.

    Args:
        name: How messages call it.
        network: (moving, fixed) -> u.
        description: What checkpoints say about the network.
        similarity: D.
        regularizer: R.
        weight: λ.
        training: The training pairs; its data set's validation pairs are validated on.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        description: dict[str, Any],
        similarity: Similarity,
        regularizer: Callable[[Tensor], Tensor],
        weight: float,
        training: TrainingPairs,
    ) -> None:
        self.name = name
        self.network = network
        self.description = description
        self.similarity = similarity
        self.regularizer = regularizer
        self.weight = weight
        self.training = training
        self.dataset = training.dataset
        self.classes = len(self.dataset.class_names)
        self.advice = f"a larger regularizer.weight (now {weight:g})"

    def prepare(self, device: torch.device) -> None:
        """Moves the metric to the device."""
        move_metric(self.similarity, device)

    def loss(
        self, network: Network, positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """`loss`, `similarity` and unweighted `regularization` of one batch."""
        batch = self.training.batch(positions, device)
        return self.losses(batch, *displacement_of(network(batch.moving, batch.fixed)))

    def validate(
        self, network: Network, settings: TrainerSettings, device: torch.device
    ) -> dict[str, float]:
        """Losses, foreground Dice and folding, averaged over validation pairs."""
        pairs = evenly_spaced(self.dataset.pairs("val"), settings.validation_pairs)
        rows: list[dict[str, float]] = []
        for first in range(0, len(pairs), settings.batch_size):
            batch = read_pairs(self.dataset, pairs[first : first + settings.batch_size], device)
            u, regularized = displacement_of(network(batch.moving, batch.fixed))
            segmentations = batch.read_segmentations() if batch.read_segmentations else None
            losses = {
                name: float(value) for name, value in self.losses(batch, u, regularized).items()
            }
            for i in range(len(u)):
                row = {**losses, "folding": folding(u[i : i + 1])}
                if segmentations is not None:
                    moving, fixed = (labels[i : i + 1] for labels in segmentations)
                    warped = warp(moving, u[i : i + 1], mode="nearest")
                    row["dice"] = foreground_dice(dice_per_class(warped, fixed, self.classes))
                rows.append(row)
        return validation_means(rows)

    def losses(self, batch: PairBatch, u: Tensor, regularized: Tensor) -> dict[str, Tensor]:
        """`loss`, `similarity` and unweighted `regularization` of a batch under a displacement.

        Args:
            batch: The pairs.
            u: Displacement (B, D, *S) float32, voxels.
            regularized: What λ R is of: u, or the velocity that u comes from.
        """
        pair = Pair(
            batch.moving, batch.fixed, u, batch.read_segmentations, self.classes, batch.fixed_ids
        )
        similarity = self.similarity(pair)
        regularization = self.regularizer(regularized)
        return {
            "loss": similarity + self.weight * regularization,
            "similarity": similarity,
            "regularization": regularization,
        }


def parts_of(similarity: Any) -> Iterator[Any]:
    """The metric and, if it is made of others, all of those."""
    yield similarity
    for term in getattr(similarity, "terms", {}).values():
        yield from parts_of(term)


def extractors_of(similarity: Any) -> list[Any]:
    """The extractors in a metric and in the terms it is made of."""
    return [part.extractor for part in parts_of(similarity) if hasattr(part, "extractor")]


def move_metric(similarity: Any, device: torch.device) -> None:
    """Moves what has weights in a metric, extractors and modules, to the device.

    Modules are frozen: they evaluate, and nothing is learned by them.
    """
    for part in parts_of(similarity):
        if isinstance(part, nn.Module):
            part.to(device).eval().requires_grad_(False)
    for extractor in extractors_of(similarity):
        extractor.to(device)


@dataclass(frozen=True)
class TestedPair:
    """Scores of one test pair.

    Attributes:
        moving: Id of the moving subject.
        fixed: Id of the fixed subject.
        before: Scores of the identity.
        after: Scores of the registration.
        classes_before: `dice` and `hd95` of each class under the identity.
        classes_after: The same after registration.
    """

    moving: str
    fixed: str
    before: dict[str, float]
    after: dict[str, float]
    classes_before: list[dict[str, float]]
    classes_after: list[dict[str, float]]


@torch.no_grad()
def register(network: Network, batch: PairBatch) -> tuple[Tensor, float]:
    """Displacement of one pair and the seconds it took, data transfer left out."""
    device = batch.moving.device
    _synchronize(device)
    start = time.perf_counter()
    u, _ = displacement_of(network(batch.moving, batch.fixed))
    _synchronize(device)
    return u, time.perf_counter() - start


def score_test_pairs(
    network: Network,
    dataset: Any,
    device: torch.device,
    disturb: Callable[[Tensor, int, int], Tensor] = lambda image, pair, side: image,
) -> Iterator[TestedPair]:
    """Registers and scores every test pair; the first is registered twice to warm up.

    Nothing else is computed while a pair is registered, since that is timed.

    Args:
        network: Trained, in eval mode, on the device.
        dataset: The prepared data set.
        device: Where to compute.
        disturb: Changes an image (1, C, *S) of a pair, given the pair's number and 0 for its
            moving, 1 for its fixed image.
    """
    pairs = list(enumerate(dataset.pairs("test")))
    classes = len(dataset.class_names)
    voxels = math.prod(dataset.shape) * classes * len(pairs) if dataset.has_labels else 0
    with workers(voxels) as pool:
        for first in range(0, len(pairs), TOGETHER):
            some = [
                _registered(network, dataset, device, disturb, number, pair)
                for number, pair in pairs[first : first + TOGETHER]
            ]
            submitted = [
                [pool.submit(score_labels, *maps, classes, dataset.spacing) for maps in own.maps]
                for own in some
            ]
            for own, futures in zip(some, submitted, strict=True):
                yield own.tested([future.result() for future in futures])


@dataclass(frozen=True)
class _Registered:
    """A test pair whose displacements are scored, and whose label maps are not.

    Attributes:
        moving: Id of the moving subject.
        fixed: Id of the fixed subject.
        scores: Of the identity and of the registration.
        maps: Warped and fixed label map (*S) under both; none without labels.
    """

    moving: str
    fixed: str
    scores: list[dict[str, float]]
    maps: list[tuple[np.ndarray, np.ndarray]]

    def tested(self, of_labels: Sequence[tuple[dict, list[dict]]]) -> TestedPair:
        """The pair with the scores of its labels."""
        before, after = self.scores
        if not of_labels:
            return TestedPair(self.moving, self.fixed, before, after, [], [])
        (overlap_before, classes_before), (overlap_after, classes_after) = of_labels
        return TestedPair(
            self.moving,
            self.fixed,
            before | overlap_before,
            after | overlap_after,
            classes_before,
            classes_after,
        )


def _registered(
    network: Network,
    dataset: Any,
    device: torch.device,
    disturb: Callable[[Tensor, int, int], Tensor],
    number: int,
    pair: tuple[int, int],
) -> _Registered:
    batch = read_pairs(dataset, [pair], device)
    batch.moving = disturb(batch.moving, number, 0)
    batch.fixed = disturb(batch.fixed, number, 1)
    if number == 0:
        register(network, batch)
    u, seconds = register(network, batch)
    both, maps = [], []
    for displacement, duration in ((torch.zeros_like(u), 0.0), (u, seconds)):
        both.append({**score_displacement(displacement), "seconds": duration})
        if batch.read_segmentations is not None:
            maps.append(label_maps(*batch.read_segmentations(), displacement))
    return _Registered(dataset.ids[pair[0]], dataset.ids[pair[1]], both, maps)


def label_maps(moving: Tensor, fixed: Tensor, u: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Warped and fixed label map (*S) of a pair, for `score_labels`.

    Args:
        moving: Moving label map (1, 1, *S).
        fixed: Fixed label map (1, 1, *S).
        u: (1, D, *S), voxels.
    """
    warped = warp(moving, u, mode="nearest")
    return warped[0, 0].cpu().numpy(), fixed[0, 0].cpu().numpy()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
