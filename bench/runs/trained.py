"""What finished runs have trained: their networks and metrics, on the data they were trained on."""

from collections.abc import Mapping
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf

from bench.config.experiment import Experiment
from bench.config.instantiation import build
from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.preparing import prepare
from bench.errors import StoreError
from bench.runs.assembly import Parts, build_parts
from bench.runs.extractors import obtain_extractors
from bench.runs.lookup import make_source
from bench.runs.recording import load_model
from bench.runs.transfer import find_transfers
from bench.store.folder import CONFIG, Folder
from bench.tasks.registration.task import move_metric
from bench.training.devices import single_device


def load_network(folder: Folder) -> tuple[Experiment, PreparedDataset, Any]:
    """A finished run's experiment, data and trained network.

    Raises:
        StoreError: If it has not finished, or the data are others now.
    """
    experiment, dataset, _ = _load_data(folder)
    section = {key: value for key, value in experiment["model"].items() if key != "name"}
    model = build(section, "model", ndim=dataset.ndim, image_channels=dataset.channels)
    return experiment, dataset, load_model(folder, model, experiment)


def load_metric(folder: Folder) -> tuple[Experiment, PreparedDataset, Any]:
    """A finished run's experiment, data and metric, with its trained extractors, on the device.

    Raises:
        StoreError: If it has not finished, or the data are others now.
    """
    experiment, dataset, data = _load_data(folder)
    device = single_device(experiment.settings)
    return experiment, dataset, ready_parts(experiment, dataset, data, device).similarity


def ready_parts(
    experiment: Experiment, dataset: PreparedDataset, data: Mapping[str, Any], device: torch.device
) -> Parts:
    """What a run is made of, its metric ready for use: extractors trained, and on the device.

    Args:
        experiment: The experiment.
        dataset: Its data.
        data: Settings and fingerprint of the data.
        device: Where the metric is used.
    """
    parts = build_parts(experiment, dataset, find_transfers(experiment))
    obtain_extractors(parts.surrogates, experiment, dataset, data)
    move_metric(parts.similarity, device)
    return parts


def _load_data(folder: Folder) -> tuple[Experiment, PreparedDataset, dict[str, Any]]:
    summary = folder.summary()
    if summary is None:
        raise StoreError(f"{folder.path.name}: has not finished; nothing has been trained.")
    config = yaml.safe_load(folder.file(CONFIG).read_text())
    config["results_dir"] = str(folder.path.parent.parent)
    experiment = Experiment.from_config(OmegaConf.create(config))
    source = make_source(experiment)
    dataset = prepare(source, experiment.cache)
    if dataset.fingerprint != summary["data"]:
        raise StoreError(
            f"{folder.path.name}: the files of {dataset.name} are no longer those it was trained "
            "on; put them back, or run it anew."
        )
    return experiment, dataset, {"fingerprint": dataset.fingerprint, "settings": source.settings()}
