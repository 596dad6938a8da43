"""Loads the methods and metrics of finished runs, on their data."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf

from bench.config.commands import BENCH
from bench.config.conditioning import weight_range
from bench.config.experiment import Experiment
from bench.config.outside import check_code
from bench.config.recorded import check_recorded
from bench.data.setup import Setup
from bench.errors import ConfigError, StoreError
from bench.runs.extractors import obtain_extractors, read_extractors
from bench.similarity.building import move_metric
from bench.store.files import read_json
from bench.store.folder import Folder
from bench.store.layout import BEST, CODE, CONFIG, DATA, REGISTRATION
from bench.tasks.registration.assembly import Parts, build_parts, make_parts
from bench.tasks.registration.masks import Masks
from bench.tasks.registration.registration import RegistrationJob

TRUSTING = "pass --trust"


def load_run(folder: Folder, trust: bool = False, weight: float | None = None) -> RegistrationJob:
    """A finished registration, ready to register: trained network or other method, metric.

    Args:
        folder: The run.
        trust: Whether to build classes outside the suite that it recorded.
        weight: λ for a network that takes it; None for the run's.

    Raises:
        StoreError: If it has not finished, is not a registration, or its data have changed.
        ConfigError: If it names an untrusted class, or its network did not learn λ.
    """
    setup = load_setup(folder, trust, weight)
    within_mask = setup.experiment.config.get("task", {}).get("within_mask")
    masks = Masks(setup) if within_mask else None
    job = RegistrationJob(setup, build_parts(setup), masks=masks)
    obtain_extractors(job.learners)
    job.make_ready(folder.file(BEST))
    return job


def load_method(
    folder: Folder,
    accelerator: str | None = None,
    trust: bool = False,
    weight: float | None = None,
    job_of: Callable[[Setup, Parts], RegistrationJob] = RegistrationJob,
    tasks: Sequence[str] = (REGISTRATION,),
) -> RegistrationJob:
    """A finished registration, ready to register new images; needs none of its data.

    Args:
        folder: A finished run; nothing is trained and nothing written.
        accelerator: Where to compute, as `trainer.accelerator`; None: as the run.
        trust: Whether to build classes outside the suite that it recorded.
        weight: λ for a network that takes it; None for the run's.
        job_of: What the job is made by.
        tasks: Of which tasks the run may be.

    Raises:
        StoreError: If it has not finished, is of another task, or something of it is missing.
        ConfigError: If it names an untrusted class, or its network did not learn λ.
    """
    config = finished_config(folder, trust, weight, tasks)
    config["trainer"]["accelerator"] = accelerator or config["trainer"]["accelerator"]
    content = read_json(folder.file(DATA))
    if content is None:
        raise StoreError(
            f"{folder.path.name}: has no readable {DATA}, which new images need. Run its command "
            "again with force=true."
        )
    check_recorded(content, str(folder.file(DATA)), trust, TRUSTING)
    experiment = Experiment.from_config(OmegaConf.create(config))
    setup = Setup.recorded(experiment, content)
    job = job_of(setup, make_parts(setup))
    read_extractors(job.learners)
    job.make_ready(folder.file(BEST))
    return job


def ready_parts(setup: Setup, device: torch.device) -> Parts:
    """What a registration is made of, its extractors trained and its metric on the device."""
    parts = build_parts(setup)
    obtain_extractors(parts.learners)
    move_metric(parts.objective.similarity, device)
    return parts


def load_setup(folder: Folder, trust: bool = False, weight: float | None = None) -> Setup:
    """The experiment of a finished registration and its data.

    Args:
        folder: The run.
        trust: Whether to build classes outside the suite that it recorded.
        weight: λ for a network that takes it; None for the run's.

    Raises:
        StoreError: If it has not finished, is not a registration, or its data have changed.
        ConfigError: If it names an untrusted class, or its network did not learn λ.
    """
    config = finished_config(folder, trust, weight)
    setup = Setup.of(Experiment.from_config(OmegaConf.create(config)))
    if setup.dataset.fingerprint != folder.finished()["data"]:
        raise StoreError(
            f"{folder.path.name}: the files of {setup.dataset.name} have changed since its "
            "training. Restore them, or rerun it."
        )
    return setup


def finished_summary(folder: Folder, tasks: Sequence[str] = (REGISTRATION,)) -> dict[str, Any]:
    """The summary of a finished run of one of some tasks.

    Raises:
        StoreError: If it has not finished, is damaged, or is of another task.
    """
    summary = folder.finished()
    if summary.get("task", REGISTRATION) not in tasks:
        advice = f" `{BENCH} changes` takes it." if summary["task"] == "changes" else ""
        raise StoreError(
            f"{folder.path.name}: is a run of task={summary['task']}; this command needs a run of "
            f"task={' or '.join(tasks)}.{advice}"
        )
    return summary


def finished_config(
    folder: Folder,
    trust: bool,
    weight: float | None = None,
    tasks: Sequence[str] = (REGISTRATION,),
) -> dict[str, Any]:
    """The resolved configuration of a finished registration, with its results where it lies now.

    Raises:
        StoreError: If it has not finished, is damaged, is of another task, or its code has changed.
        ConfigError: If it names an untrusted class, or its network did not learn λ.
    """
    summary = finished_summary(folder, tasks)
    own = summary.get("weight")
    config = yaml.safe_load(folder.file(CONFIG).read_text(encoding="utf-8"))
    check_recorded(config, str(folder.file(CONFIG)), trust, TRUSTING)
    check_code(folder.path.name, summary.get(CODE, {}), config)
    config |= {"results_dir": str(folder.path.parent.parent), "trust": trust}
    if weight not in (None, own):
        _check_learned(weight, config["model"], folder.path.name)
        config["regularizer"] = {**config["regularizer"], "weight": weight}
    return config


def _check_learned(weight: float, model: Mapping[str, Any], name: str) -> None:
    """Raises ConfigError unless a run's network takes λ, and learned this one."""
    weights = weight_range(model)
    if weights is None:
        raise ConfigError(
            f"--weight {weight:g}: {name} learned one λ only. Name a run with "
            "model.conditioned=lambda."
        )
    if weight not in weights:
        raise ConfigError(
            f"--weight {weight:g}: the network of {name} learned λ of {weights}. Choose a λ in "
            "this range."
        )
