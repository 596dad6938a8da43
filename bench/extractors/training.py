"""Surrogate networks, for the trainer."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.settings import TrainerSettings
from bench.data.batches.loading import TrainingImages, read_images, read_segmentations
from bench.data.sources.pairs import evenly_spaced
from bench.extractors.protocol import surrogate_network
from bench.scores.summary import validation_means


class SurrogateTraining:
    """Trains a surrogate network on the images of the training split.

    Args:
        name: How messages call it.
        network: A surrogate network, see `bench.extractors.protocol`.
        description: What checkpoints say about the network.
        training: The training images; their data set's validation images select the checkpoint.
    """

    advice = "a smaller network (metric.extractor.channels)"

    def __init__(
        self,
        name: str,
        network: nn.Module,
        description: dict[str, Any],
        training: TrainingImages,
    ) -> None:
        self.name = name
        self.network = network
        self.surrogate = surrogate_network(network)
        self.description = description
        self.training = training
        self.dataset = training.dataset

    def prepare(self, device: torch.device) -> None:
        """Nothing but the network is needed on the device."""

    def loss(
        self, network: Callable[..., Tensor], positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """`loss` of one batch."""
        image, segmentation = self.training.batch(positions, device)
        return {"loss": self.surrogate.loss(network(image), image, segmentation)}

    def validate(
        self, network: Callable[..., Tensor], settings: TrainerSettings, device: torch.device
    ) -> dict[str, float]:
        """`loss` and the surrogate's score, averaged over validation images."""
        members = evenly_spaced(
            self.dataset.images_for("val", self.training.labels), settings.validation_pairs
        )
        rows = []
        for member, role in itertools.product(members, self.dataset.shown_as):
            image = read_images(self.dataset, [member], device, role)
            labels = (
                read_segmentations(self.dataset, [member], device) if self.training.labels else None
            )
            output = network(image)
            loss = float(self.surrogate.loss(output, image, labels))
            rows.append({"loss": loss, **self.surrogate.score(output, image, labels)})
        return validation_means(rows)
