"""Gets a network conditioned on λ, which is trained once for all runs that differ only in λ."""

import json
from typing import Any

from bench.runs.record import carry_out
from bench.runs.run import Run
from bench.runs.shared import obtain, trained
from bench.store.environment import environment
from bench.store.files import write_atomically
from bench.store.folder import Folder
from bench.store.layout import BEST, HISTORY
from bench.store.tracker import Tracker
from bench.tasks.task import Job
from bench.training.devices import device_name, single_device
from bench.training.loop import fit
from bench.training.memory import peak, reset_peak

TOLD = ("steps", "best_step", "training_seconds")  # of the network, by its runs


def obtain_network(run: Run, job: Job) -> dict[str, Any]:
    """Copies a run's network and its history from the store; trains and stores them first.

    Returns:
        `name`, its folder's, and how it was trained: `steps`, `best_step`, `training_seconds`.
    """
    network = run.network()
    assert network is not None
    identity, folder = network
    summary = obtain(folder, "the network", lambda: _train(run, job, identity, folder))
    print(f"{run.folder.name}: uses the network {folder.name}")
    for name in (BEST, HISTORY):
        write_atomically(run.folder.file(name), folder.file(name).read_bytes())
    return {"name": folder.name, **{key: summary[key] for key in TOLD}}


def _train(run: Run, job: Job, identity: dict[str, Any], folder: Folder) -> None:
    experiment = run.setup.experiment
    others = ("id", "variant", "weight")
    header = {"id": folder.path.name.rpartition("-")[2]}
    header |= {key: value for key, value in run.header.items() if key not in others}

    def work(tracker: Tracker) -> dict[str, Any]:
        assert job.trainable is not None
        device = single_device(experiment.settings)
        reset_peak(device)
        fitted = fit(job.trainable, experiment.settings, folder.path, job.seed, tracker.log)
        return trained(fitted) | {"training_memory": peak(device)}

    folder.start(
        header, json.dumps(identity, indent=1), environment(device_name(experiment.settings))
    )
    carry_out(folder, header, experiment, "network", identity, work)
