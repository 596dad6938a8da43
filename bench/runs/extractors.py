"""Getting an extractor: from the store, or by training it once for all runs that need it."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from bench.config.experiment import Experiment
from bench.config.identity import digest, extractor_identity
from bench.config.instantiation import build
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingImages, evenly_spaced, read_images
from bench.data.cache.prepared import PreparedDataset
from bench.extractors.training import SurrogateTask
from bench.runs.transfer import Origin
from bench.seeding import derive_seed
from bench.store.checkpoints import load_network
from bench.store.environment import environment
from bench.store.folder import BEST, EXTRACTORS, Folder
from bench.store.tracking import open_tracker

STARTING_IMAGES = 16
NOT_OF_THE_NETWORK = ("steps", "dataset", "root")
Surrogates = list[tuple[nn.Module, Mapping[str, Any], Origin | None]]


def build_extractor(extractor: Mapping[str, Any], dataset: PreparedDataset) -> nn.Module:
    """The network of an `extractor` section: weights from a file are read, nothing is trained."""
    settings = {key: value for key, value in extractor.items() if key not in NOT_OF_THE_NETWORK}
    return build(
        settings,
        "metric.extractor",
        ndim=dataset.ndim,
        image_channels=dataset.channels,
        classes=max(1, len(dataset.class_names)),
    )


def obtain_extractors(
    surrogates: Surrogates,
    experiment: Experiment,
    dataset: PreparedDataset,
    data: Mapping[str, Any],
) -> None:
    """Fills the surrogate networks of a metric from the store, trained first if missing.

    Args:
        surrogates: Networks with their sections, and their origins if they learn on other data;
            filled in place.
        experiment: The experiment.
        dataset: Its data.
        data: Settings and fingerprint of the data.
    """
    for network, section, origin in surrogates:
        train_or_load(network, origin or Origin(experiment, section, dataset, data))


def train_or_load(network: nn.Module, origin: Origin) -> None:
    """Fills a surrogate network with its weights from the store; trains and stores them first.

    With 0 steps it keeps the random weights that it was built with.

    Args:
        network: From `build_extractor`; filled in place.
        origin: Where it learns.
    """
    experiment, extractor = origin.experiment, origin.extractor
    if extractor["steps"] == 0:
        network.eval().requires_grad_(False)
        return
    identity = extractor_identity(experiment, extractor, origin.data)
    task, name = network.task, experiment["dataset"]["name"]
    path = f"{name}-{task}-seed{experiment.seed}-{digest(identity)}"
    folder = Folder(experiment.results / EXTRACTORS / path)
    if folder.summary() is None:
        with folder.claim(wait=True):
            if folder.summary() is None:
                _train(network, origin, identity, folder)
    load_network(folder.file(BEST), network)
    network.eval().requires_grad_(False)


def _train(network: nn.Module, origin: Origin, identity: Mapping[str, Any], folder: Folder) -> None:
    from bench.training.loop import fit

    experiment, extractor, dataset = origin.experiment, origin.extractor, origin.dataset

    task = str(network.task)
    header = {
        "id": digest(identity),
        "dataset": dataset.name,
        "task": task,
        "seed": experiment.seed,
    }
    folder.start(header, json.dumps(identity, indent=1), environment())
    settings = experiment.extractor_settings(extractor)
    training = TrainingImages(
        dataset,
        Augmentation.from_config(experiment["dataset"]["augmentation"]),
        experiment.seed,
        labels=bool(network.needs_labels),
    )
    network.requires_grad_(True)
    if hasattr(network, "start_from"):
        members = evenly_spaced(dataset.members("train"), STARTING_IMAGES)
        network.start_from(read_images(dataset, members, torch.device("cpu")))  # type: ignore[operator]
    surrogate = SurrogateTask(
        f"{task} on {dataset.name}", network, {"network": dict(extractor)}, training
    )
    tracker = open_tracker(
        experiment["tracker"],
        experiment.results,
        run_id=digest(identity),
        name=folder.path.name,
        job_type="extractor",
        config=dict(identity),
    )
    try:
        fitted = fit(
            surrogate,
            settings,
            folder.path,
            derive_seed(experiment.seed, dataset.name, task),
            tracker.log,
        )
    except BaseException as error:
        if isinstance(error, Exception):
            folder.fail(error)
        tracker.close(failed=True)
        raise
    scores = {name: value for name, value in fitted.best.items() if name != "loss"}
    summary = {
        **header,
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "scores": {name: {"mean": value, "std": None, "n": None} for name, value in scores.items()},
        "validation_loss": fitted.best["loss"],
        "training_seconds": fitted.seconds,
    }
    folder.finish(summary)
    tracker.summarize(summary)
    tracker.close()
    shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
    print(f"{surrogate.name}: best at step {fitted.best_step}, validation {shown}")
