"""Gets an extractor from the store, or trains it once for all runs that need it."""

import json
from collections.abc import Iterable
from typing import Any

import torch

from bench.config.identity import digest, extractor_identity
from bench.data.batches.loading import TrainingImages, read_images
from bench.data.sources.pairs import evenly_spaced
from bench.errors import StoreError
from bench.extractors.protocol import StartsFromImages, surrogate_network
from bench.extractors.training import SurrogateTraining
from bench.runs.record import carry_out
from bench.runs.shared import obtain, trained
from bench.seeding import derive_seed
from bench.similarity.building import Learner
from bench.store.checkpoints import load_network
from bench.store.environment import environment
from bench.store.folder import Folder
from bench.store.layout import BEST, EXTRACTORS
from bench.store.tracker import Tracker
from bench.training.devices import device_name

STARTING_IMAGES = 16


def obtain_extractors(learners: Iterable[Learner]) -> list[dict[str, Any]]:
    """Fills surrogate networks from the store; trains missing ones first.

    Returns:
        What became of each: its `task`, `steps`, and if it was trained `name`, the folder's, and
        `scores` on validation images.
    """
    return [obtain_extractor(learner) for learner in learners]


def obtain_extractor(learner: Learner) -> dict[str, Any]:
    """Fills a surrogate network with its weights from the store; trains and stores them first.

    With 0 steps it keeps the random weights that it was built with.

    Returns:
        See `obtain_extractors`.
    """
    found = {"task": surrogate_network(learner.network).task, "steps": 0}
    if learner.section["steps"] > 0:
        identity, folder = _place(learner)
        summary = obtain(folder, "the extractor", lambda: _train(learner, identity, folder))
        load_network(folder.file(BEST), learner.network)
        scores = {name: score["mean"] for name, score in summary["scores"].items()}
        found |= {"name": folder.path.name, "steps": summary["steps"], "scores": scores}
    learner.network.eval().requires_grad_(False)
    return found


def read_extractors(learners: Iterable[Learner]) -> None:
    """Fills surrogate networks from the store; trains nothing.

    Raises:
        StoreError: If one is missing.
    """
    for learner in learners:
        if learner.section["steps"] > 0:
            _, folder = _place(learner)
            folder.refuse_other()
            if folder.summary() is None:
                raise StoreError(
                    f"{folder.path}: the metric needs this extractor, which is missing. Copy it "
                    "there with the run, or run the run's command again with its data."
                )
            load_network(folder.file(BEST), learner.network)
        learner.network.eval().requires_grad_(False)


def _place(learner: Learner) -> tuple[dict[str, Any], Folder]:
    """What identifies an extractor, and its folder."""
    experiment = learner.setup.experiment
    identity = extractor_identity(experiment, learner.section, learner.setup.data)
    dataset, seed = experiment["dataset"]["name"], experiment.seed
    name = f"{dataset}-{surrogate_network(learner.network).task}-seed{seed}-{digest(identity)}"
    return identity, Folder(experiment.results / EXTRACTORS / name)


def _train(learner: Learner, identity: dict[str, Any], folder: Folder) -> None:
    from bench.training.loop import fit

    network, setup = learner.network, learner.setup
    experiment, dataset = setup.experiment, setup.dataset
    learning = surrogate_network(network)
    task = learning.task
    header = {
        "id": digest(identity),
        "dataset": dataset.name,
        "task": task,
        "seed": experiment.seed,
    }
    training = TrainingImages(
        dataset,
        learner.augmentation,
        experiment.seed,
        labels=learning.needs_labels,
    )
    if not dataset.members("train"):
        print(f"{task} on {dataset.name}: no training subjects, so it learns on the test images")
    network.requires_grad_(True)
    if isinstance(network, StartsFromImages):
        members = evenly_spaced(training.members, STARTING_IMAGES)
        cpu = torch.device("cpu")
        shown = [read_images(dataset, members, cpu, role) for role in dataset.shown_as]
        network.start_from(torch.cat(shown))
    surrogate = SurrogateTraining(
        f"{task} on {dataset.name}", network, {"network": dict(learner.section)}, training
    )

    def work(tracker: Tracker) -> dict[str, Any]:
        settings = experiment.extractor_settings(learner.section)
        seed = derive_seed(experiment.seed, dataset.name, task)
        fitted = fit(surrogate, settings, folder.path, seed, tracker.log)
        scores = {name: value for name, value in fitted.best.items() if name != "loss"}
        shown = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
        print(f"{surrogate.name}: best at step {fitted.best_step}, validation {shown}")
        return trained(fitted)

    folder.start(
        header, json.dumps(identity, indent=1), environment(device_name(experiment.settings))
    )
    carry_out(folder, header, experiment, "extractor", dict(identity), work)
