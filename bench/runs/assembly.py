"""Building what a run is made of from its configuration, and trying whether it goes together."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.experiment import Experiment
from bench.config.instantiation import build
from bench.data.batches.loading import read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.data.sources.subject import SPLITS
from bench.errors import BenchError, ConfigError, Unsupported
from bench.extractors.frozen import Extractor
from bench.extractors.official import official_weights
from bench.extractors.vgg import VGG16
from bench.models.flow import displacement_of
from bench.runs.extractors import Surrogates, build_extractor
from bench.runs.transfer import Origin
from bench.seeding import derive_seed
from bench.similarity import Pair
from bench.similarity.base import reason_against
from bench.store.folder import WEIGHTS
from bench.tasks.registration.task import extractors_of
from bench.training.devices import network_precision

LEAST = 3  # voxels along an axis: central differences take one on each side


@dataclass(frozen=True)
class Parts:
    """What a run is made of, built and checked, extractors not yet trained.

    Attributes:
        model: The registration network.
        similarity: D.
        regularizer: R.
        surrogates: Networks to train before, with their sections, and their origins if they learn
            on other data.
    """

    model: nn.Module
    similarity: Any
    regularizer: Any
    surrogates: Surrogates


def build_parts(
    experiment: Experiment,
    dataset: PreparedDataset,
    transfers: Mapping[str, Origin] | None = None,
) -> Parts:
    """Builds model, metric and regularizer, and tries them on one pair.

    Args:
        experiment: The experiment.
        dataset: Its data.
        transfers: Origins of extractors that learn on other data, by their place.

    Raises:
        Unsupported: If they do not go together with the data.
        ConfigError: If one of them cannot be built or does not return what it should.
    """
    for split in SPLITS:
        dataset.pairs(split)
    if min(dataset.shape) < LEAST:
        raise Unsupported(
            f"dataset={dataset.name} has images of shape {dataset.shape}: each axis must have at "
            f"least {LEAST} voxels, or derivatives along it do not exist. Choose another "
            "dataset.shape, or take slices as 2D images."
        )
    surrogates: Surrogates = []
    similarity = build_similarity(
        experiment["metric"], experiment, dataset, surrogates, transfers or {}
    )
    name = experiment["metric"]["name"]
    reason = reason_against(similarity, dataset.ndim, dataset.channels, dataset.has_labels)
    for network, _, origin in surrogates:
        learned, called = (
            (origin.dataset, origin.dataset.name) if origin else (dataset, "the data set")
        )
        if not reason and network.needs_labels and not learned.has_labels:
            reason = f"its extractor learns from labels, and {called} has none"
    if reason:
        raise Unsupported(
            f"metric={name} cannot be used on dataset={dataset.name}: {reason}. Choose another "
            "metric or data set."
        )
    load_pretrained(similarity, experiment)
    regularizer_section = {
        key: value
        for key, value in experiment["regularizer"].items()
        if key not in ("name", "weight", "scale")
    }
    regularizer = build(regularizer_section, "regularizer")
    model_section = {k: v for k, v in experiment["model"].items() if k != "name"}
    torch.manual_seed(derive_seed(experiment.seed, dataset.name, "network"))
    model = build(model_section, "model", ndim=dataset.ndim, image_channels=dataset.channels)
    parts = Parts(model, similarity, regularizer, surrogates)
    try_out(parts, dataset, experiment)
    return parts


def build_similarity(
    section: Mapping[str, Any],
    experiment: Experiment,
    dataset: PreparedDataset,
    surrogates: Surrogates,
    transfers: Mapping[str, Origin],
    place: str = "metric",
) -> Any:
    """Builds a metric, its terms and its extractors; notes the networks that are to be trained.

    `name` belongs to the suite, and `weights` to a pretrained extractor; all other keys are
    arguments of the class, which keeps its default where one is null. Whatever the class draws
    at random follows from the run's seed.
    """
    own = ("name", "weights") if "extractor" in section else ("name",)
    arguments = {k: v for k, v in section.items() if k not in own and v is not None}
    further: dict[str, Any] = {}
    if "extractor" in arguments:
        extractor_section, learned = arguments.pop("extractor"), dataset
        origin = transfers.get(place)
        if origin is not None:
            extractor_section, learned = origin.extractor, origin.dataset
        torch.manual_seed(derive_seed(experiment.seed, learned.name, "extractor"))
        network = build_extractor(extractor_section, learned)
        if hasattr(network, "task"):
            surrogates.append((network, extractor_section, origin))
        further["extractor"] = Extractor(network, network_precision(experiment.settings))
    if "terms" in arguments:
        further["terms"] = {
            name: build_similarity(
                term, experiment, dataset, surrogates, transfers, f"{place}.terms.{name}"
            )
            for name, term in arguments.pop("terms").items()
        }
    torch.manual_seed(derive_seed(experiment.seed, dataset.name, place))
    return build(arguments, "metric", **further)


def load_pretrained(similarity: Any, experiment: Experiment) -> None:
    """Reads the weights of extractors that are not trained here, downloading them if need be."""
    for extractor in extractors_of(similarity):
        network = extractor.network
        if isinstance(network, VGG16):
            weights = network.weights or official_weights(experiment.results / WEIGHTS)
            network.load_official(Path(weights))


def try_out(parts: Parts, dataset: PreparedDataset, experiment: Experiment) -> None:
    """One forward pass on one pair, so that what does not fit is said before training.

    Raises:
        Unsupported: If the model cannot take the images.
        ConfigError: If metric or regularizer do not return a scalar.
    """
    batch = read_pairs(dataset, dataset.pairs("train")[:1], torch.device("cpu"))
    model, metric = experiment["model"]["name"], experiment["metric"]["name"]
    images = f"{dataset.ndim}D images of shape {dataset.shape} with {dataset.channels} channel(s)"
    parts.model.eval()
    with torch.no_grad():
        try:
            u, regularized = displacement_of(parts.model(batch.moving, batch.fixed))
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise Unsupported(
                f"model={model} cannot take the {images} of dataset={dataset.name} ({reason}). "
                "Choose another model, or crop or pad the images by dataset.shape."
            ) from error
        wanted = (1, dataset.ndim, *dataset.shape)
        if u.shape != wanted:
            raise Unsupported(
                f"model={model} returns a displacement of shape {tuple(u.shape)} for {images}; "
                f"{wanted} is needed, one channel per axis."
            )
        _value(f"regularizer={experiment['regularizer']['name']}", parts.regularizer, regularized)
    pair = Pair(
        batch.moving,
        batch.fixed,
        u.detach().requires_grad_(),
        batch.read_segmentations,
        len(dataset.class_names),
    )
    if not _value(f"metric={metric}", parts.similarity, pair).requires_grad:
        raise ConfigError(
            f"metric={metric} has no gradient in the displacement: nothing can be learned from it. "
            "It must look at pair.warped, pair.warped_labels or pair.u."
        )


def _value(what: str, function: Callable[[Any], Any], argument: Any) -> Tensor:
    """What a metric or regularizer returns, a finite scalar.

    Raises:
        ConfigError: If it is none, or fails.
    """
    try:
        value = function(argument)
    except BenchError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[::-1]
        own = next((frame for frame in frames if "site-packages" not in frame.filename), frames[0])
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"{what} fails on the first training pair: {type(error).__name__}: {reason} "
            f"({own.filename}:{own.lineno})"
        ) from error
    if not isinstance(value, Tensor) or value.ndim != 0:
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ConfigError(f"{what} returns {shape}; it must return a scalar tensor.")
    if not value.isfinite():
        raise ConfigError(f"{what} is {value.item()} on the first training pair, before training.")
    return value
