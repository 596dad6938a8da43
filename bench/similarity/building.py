"""From the section `metric` to a metric with its extractors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bench.config.experiment import Experiment
from bench.config.extractors import OF_EXTRACTORS, extractor_augmentation
from bench.config.instantiation import build
from bench.data.batches.augmentation import Augmentation
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup
from bench.errors import ConfigError
from bench.extractors.frozen import Extractor
from bench.extractors.protocol import surrogate_network
from bench.seeding import derive_seed

OF_THE_SUITE = (*OF_EXTRACTORS, "dataset", "root", "trainer", "augmentation")  # of `extractor`


@dataclass(frozen=True)
class Learner:
    """A surrogate network that is to be filled from the store, or trained first.

    Attributes:
        network: The network, as it was built.
        setup: The experiment and the data that it learns on.
        section: Its `extractor` section there.
        augmentation: What its training images go through.
    """

    network: nn.Module
    setup: Setup
    section: Mapping[str, Any]
    augmentation: Augmentation


def build_metric(setup: Setup, precision: torch.dtype) -> tuple[Any, list[Learner]]:
    """Builds the metric of an experiment; nothing is trained or downloaded.

    Args:
        setup: The experiment and its data.
        precision: Precision of extractors.

    Returns:
        The metric, and the networks in it that learn.

    Raises:
        ConfigError: If a class cannot be built from its section.
    """
    learners: list[Learner] = []
    metric = _build(setup.experiment["metric"], setup, precision, learners, "metric")
    return metric, learners


def _build(
    section: Mapping[str, Any],
    setup: Setup,
    precision: torch.dtype,
    learners: list[Learner],
    place: str,
) -> Any:
    """Builds a metric and its terms.

    `name` belongs to the suite; all other keys are arguments of the class, which keeps its default
    where one is null. Whatever the class draws at random follows from the run's seed.
    """
    experiment, dataset = setup.experiment, setup.dataset
    arguments = {k: v for k, v in section.items() if k != "name" and v is not None}
    further: dict[str, Any] = {}
    if arguments.pop("extractor", None) is not None:
        origin, extractor = setup.extractor(place)
        torch.manual_seed(derive_seed(experiment.seed, origin.dataset.name, "extractor"))
        network = build_extractor(extractor, origin.dataset)
        if "steps" in extractor:
            surrogate_network(network)
            augmentation = _augmentation(origin.experiment, extractor, place)
            learners.append(Learner(network, origin, extractor, augmentation))
        further["extractor"] = Extractor(network, precision)
    if "terms" in arguments:
        further["terms"] = {
            name: _build(term, setup, precision, learners, f"{place}.terms.{name}")
            for name, term in arguments.pop("terms").items()
        }
    torch.manual_seed(derive_seed(experiment.seed, dataset.name, place))
    return build(arguments, "metric", **further)


def _augmentation(experiment: Experiment, extractor: Mapping[str, Any], place: str) -> Augmentation:
    """What an extractor's training images go through.

    Raises:
        ConfigError: If an option is unknown or out of range.
    """
    whole = experiment["dataset"]["augmentation"]
    try:
        return Augmentation.from_config(extractor_augmentation(whole, extractor))
    except ConfigError as error:
        if not extractor.get("augmentation"):
            raise
        text = str(error).replace("dataset.augmentation", f"{place}.extractor.augmentation")
        raise ConfigError(text) from error


def build_extractor(section: Mapping[str, Any], dataset: PreparedDataset) -> nn.Module:
    """The network of an `extractor` section, with its random initial weights."""
    settings = {key: value for key, value in section.items() if key not in OF_THE_SUITE}
    return build(
        settings,
        "metric.extractor",
        ndim=dataset.ndim,
        image_channels=dataset.channels,
        classes=max(1, len(dataset.class_names)),
    )


def parts_of(metric: Any) -> Iterator[Any]:
    """The metric and, if it is made of others, all of those."""
    yield metric
    for term in getattr(metric, "terms", {}).values():
        yield from parts_of(term)


def extractors_of(metric: Any) -> list[Any]:
    """The extractors in a metric and in the terms it is made of."""
    return [part.extractor for part in parts_of(metric) if hasattr(part, "extractor")]


def move_metric(metric: Any, device: torch.device) -> None:
    """Moves what has weights in a metric, extractors and modules, to the device.

    Modules are frozen: they evaluate, and nothing is learned by them.
    """
    for part in parts_of(metric):
        if isinstance(part, nn.Module):
            part.to(device).eval().requires_grad_(False)
    for extractor in extractors_of(metric):
        extractor.to(device)
