"""Building what a registration is made of, and trying whether it goes together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.experiment import Experiment
from bench.config.identity import DEFAULT_MODEL
from bench.config.instantiation import build
from bench.config.overrides import quoted
from bench.data.batches.loading import read_pairs
from bench.data.cache.prepared import check_axes
from bench.data.setup import Setup
from bench.errors import ConfigError, Unsupported
from bench.extractors.protocol import surrogate_network
from bench.models.building import build_model
from bench.models.conditioned import at_weight, reached
from bench.models.flow import displacement_of
from bench.models.method import Objective, reason_against, reason_against_objective
from bench.models.variational import ALL, Variational
from bench.pair import Pair
from bench.similarity.building import Learner, build_metric, extractors_of
from bench.similarity.keypoints import reason_without_landmarks
from bench.similarity.likelihood import Likelihood
from bench.tasks.values import value_of
from bench.training.devices import network_precision


@dataclass(frozen=True)
class Parts:
    """What a registration is made of, built and tried out, extractors not yet trained.

    Attributes:
        model: The network, or the method that trains nothing.
        objective: D, R and λ, as far as the method uses them.
        learners: Networks of the metric that are to be trained before.
        likelihood: What a network of distributions compares; None for another model.
    """

    model: Any
    objective: Objective
    learners: list[Learner]
    likelihood: Likelihood | None = None


def build_parts(setup: Setup) -> Parts:
    """Builds metric, regularizer and model, and tries them on one pair.

    Raises:
        Unsupported: If they do not go together with the data.
        ConfigError: If one of them cannot be built or does not return what it should.
    """
    parts = make_parts(setup)
    try_out(parts, setup)
    return parts


def make_parts(setup: Setup) -> Parts:
    """Builds metric, regularizer and model; no image is read.

    Raises:
        Unsupported: If they say that they cannot work on the data.
        ConfigError: If one of them cannot be built.
    """
    experiment, dataset = setup.experiment, setup.dataset
    task = experiment.config.get("task", {})
    if "uses" in task:
        raise ConfigError(
            f"task.uses={quoted(task['uses'])}: is for tasks that register nothing, but "
            f"task={task['name']} registers. Leave it out."
        )
    check_axes(dataset.name, min(dataset.shapes or [dataset.shape], key=min))
    similarity: Any = None
    learners: list[Learner] = []
    if "metric" in experiment.uses:
        similarity, learners = make_metric(setup)
    regularizer: Any = None
    if "regularizer" in experiment.uses:
        section = experiment["regularizer"]
        others = ("name", "weight", "scale")
        arguments = {key: value for key, value in section.items() if key not in others}
        regularizer = build(arguments, "regularizer")
    model = build_model(experiment["model"], setup)
    objective = Objective(similarity, regularizer, experiment.weight)
    refused = reason_against_objective(model, objective)
    if refused:
        raise Unsupported(f"metric={experiment['metric']['name']} does not fit: {refused}.")
    reason = reason_against(model, dataset.ndim, dataset.channels, dataset.has_labels)
    if reason:
        raise Unsupported(
            f"model={experiment['model']['name']} cannot be used on dataset={dataset.name}: "
            f"{reason}. Choose another model or data set."
        )
    refuse_batches(model, learners, setup)
    likelihood = _likelihood(model, similarity, setup) if isinstance(model, Variational) else None
    return Parts(model, objective, learners, likelihood)


def _likelihood(model: Variational, similarity: Any, setup: Setup) -> Likelihood:
    """What a network of distributions compares, for which it makes room.

    Raises:
        Unsupported: If it cannot compare what the metric does.
    """
    likelihood = Likelihood.of(similarity, model.levels == ALL)
    if likelihood is None:
        experiment = setup.experiment
        raise Unsupported(
            f"model={experiment['model']['name']} cannot be used with metric="
            f"{experiment['metric']['name']}: it models intensities or features. Choose "
            "metric=mse, deepsim_ae, deepsim_csr or deepsim_seg; or a model for any metric, such "
            "as model=pyramid."
        )
    model.compares(likelihood.channels(setup.dataset.ndim, setup.dataset.channels))
    return likelihood


def make_metric(setup: Setup) -> tuple[Any, list[Learner]]:
    """Builds the metric; its extractors are loaded if they are pretrained, or to be trained.

    Returns:
        The metric, and the networks in it that learn.

    Raises:
        Unsupported: If metric or extractors say that they cannot work on the data.
        ConfigError: If one of them cannot be built.
    """
    similarity, learners = build_metric(setup, network_precision(setup.experiment.settings))
    _refuse_metric(similarity, learners, setup)
    for extractor in extractors_of(similarity):
        extractor.load(setup.experiment.results)
    return similarity, learners


def require_images(learners: Sequence[Learner]) -> None:
    """Refuses networks that have nothing to learn from.

    Raises:
        DataError: If a data set has no images for training or validation, or these lack labels.
    """
    for learner in learners:
        labels = surrogate_network(learner.network).needs_labels
        for split in ("train", "val"):
            learner.setup.dataset.images_for(split, labels)


def refuse_batches(model: Any, learners: Sequence[Learner], setup: Setup) -> None:
    """Raises Unsupported if images of different sizes would have to be in one batch."""
    experiment = setup.experiment
    trained = "trainer" in experiment.uses or bool(learners)
    sizes = {
        "trainer.batch_size": experiment.settings.batch_size if trained else 1,
        "model.batch": getattr(model, "batch", 1),
    }
    for option, size in sizes.items():
        if setup.dataset.shapes is not None and size > 1:
            raise Unsupported(
                f"{option}={size}: dataset={setup.dataset.name} has images of different sizes, "
                f"which cannot share a batch. Set {option}=1, or dataset.shape to crop or pad all "
                "to one shape."
            )


def _refuse_metric(similarity: Any, learners: list[Learner], setup: Setup) -> None:
    """Raises Unsupported if metric or extractors cannot work on the data."""
    dataset = setup.dataset
    reason = reason_against(similarity, dataset.ndim, dataset.channels, dataset.has_labels)
    reason = reason or reason_without_landmarks(similarity, dataset.has_landmarks)
    looks_at = getattr(similarity, "mask", None)
    if not reason and looks_at == "foreground" and setup.experiment["dataset"]["added_noise"]:
        reason = (
            "dataset.added_noise makes the whole image foreground, so metric.mask=foreground "
            "selects everything"
        )
    for learner in learners:
        there = learner.setup.dataset
        if not reason and learner.network.needs_labels and not there.has_labels:
            called = "the data set" if there is dataset else there.name
            reason = f"its extractor learns from labels, but {called} has none"
    if reason:
        raise Unsupported(
            f"metric={setup.experiment['metric']['name']} cannot be used on "
            f"dataset={dataset.name}: {reason}. Choose another metric or data set."
        )


@torch.no_grad()
def try_out(parts: Parts, setup: Setup) -> None:
    """One forward pass on one pair, so that what does not fit is said before training.

    Raises:
        Unsupported: If the network cannot take the images.
        ConfigError: If metric or regularizer do not return a scalar, or nothing can be minimized
            because there is no gradient or none that is finite.
    """
    experiment, dataset = setup.experiment, setup.dataset
    split = "train" if "trainer" in experiment.uses else "test"
    where = f"on the first {'training' if split == 'train' else 'test'} pair"
    pair = read_pairs(dataset, dataset.pairs(split)[:1], torch.device("cpu"))
    u = regularized = torch.zeros_like(pair.u)
    if isinstance(parts.model, nn.Module):
        u, regularized = _try_network(parts.model, pair, setup)
    objective = parts.objective
    if objective.regularizer is not None:
        name = experiment["regularizer"]["name"]
        value_of(f"regularizer={name}", objective.regularizer, regularized, where)
    if objective.similarity is None:
        return
    metric = experiment["metric"]["name"]
    with torch.enable_grad():
        u = u.detach().requires_grad_()
        value = value_of(f"metric={metric}", objective.similarity, pair.at(u), where)
    if "regularizer" not in experiment.uses:
        return
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value, u, allow_unused=True)
    if gradient is None:
        raise ConfigError(
            f"metric={metric} has no gradient in the displacement, so nothing can learn from it. "
            "It must depend on pair.warped, pair.warped_labels, pair.mapped_landmarks or pair.u."
        )
    if not gradient.isfinite().all():
        raise ConfigError(
            f"metric={metric} has a gradient with NaN or infinite values {where}, such as that of "
            "a root or logarithm at 0. Add a small number under it."
        )


def _try_network(network: nn.Module, pair: Pair, setup: Setup) -> tuple[Tensor, Tensor]:
    """What a network returns for a pair, displacement and what is regularized of it."""
    dataset, model = setup.dataset, setup.experiment["model"]["name"]
    shape = tuple(pair.fixed.shape[2:])
    images = f"{dataset.ndim}D images of shape {shape} with {dataset.channels} channel(s)"
    network.eval()
    try:
        weight = at_weight(network, pair.moving, setup.experiment.weight)
        with reached(network, model):
            u, regularized = displacement_of(network(pair.moving, pair.fixed, *weight))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise Unsupported(
            f"model={model} cannot take the {images} of dataset={dataset.name} ({reason}). Choose "
            "another model, or crop or pad the images with dataset.shape."
        ) from error
    wanted = (1, dataset.ndim, *shape)
    if u.shape != wanted:
        raise Unsupported(
            f"model={model} returns a displacement of shape {tuple(u.shape)} for {images}, but "
            f"needs {wanted}, one channel per axis."
        )
    return u, regularized


def describe(experiment: Experiment) -> str:
    """What is registered by what, as messages and figures say it."""
    dataset, model = experiment["dataset"]["name"], experiment["model"]["name"]
    if "metric" not in experiment.shaped_by:
        return f"{model} on {dataset}"
    by = "" if model == DEFAULT_MODEL else f" {model}"
    return f"{experiment['metric']['name']}{by} on {dataset}"
