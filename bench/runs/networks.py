"""Gets a run's network from another folder: a run's, or that of all runs that differ only in λ."""

import json
from typing import Any

from bench.runs.record import carry_out
from bench.runs.run import Run
from bench.runs.shared import TOLD, obtain, trained
from bench.store.environment import environment
from bench.store.files import write_atomically
from bench.store.folder import Folder
from bench.store.layout import BEST, HISTORY
from bench.store.progress import Progress
from bench.store.tracker import Tracker
from bench.tasks.task import Job
from bench.training.devices import device_name, single_device
from bench.training.loop import fit
from bench.training.memory import peak, reset_peak


def take_over(run: Run, job: Job, progress: Progress, origin: Folder, *files: str) -> None:
    """Makes a job ready with the network of another folder, and copies it to the run.

    Cases that an earlier start computed with other weights are computed again.

    Args:
        run: The run.
        job: Its job.
        progress: Its finished cases.
        origin: The other folder.
        files: To copy besides the weights.

    Raises:
        StoreError: If the weights are damaged or of another network, such as another version's.
            It names the other folder, and nothing is copied.
    """
    job.make_ready(origin.file(BEST))
    weights, ours = origin.file(BEST).read_bytes(), run.folder.file(BEST)
    if progress.done and not (ours.exists() and ours.read_bytes() == weights):
        print(f"{run.folder.name}: its network is another now; the suite computes its cases again")
        progress.forget()
    write_atomically(ours, weights)
    for name in files:
        write_atomically(run.folder.file(name), origin.file(name).read_bytes())


def obtain_network(run: Run, job: Job, progress: Progress) -> dict[str, Any]:
    """Takes over a network conditioned on λ and its history; trains and stores them first.

    Returns:
        `name`, its folder's, and how it was trained: `steps`, `best_step`, `training_seconds`.
    """
    network = run.network()
    assert network is not None
    identity, folder = network
    summary = obtain(folder, "the network", lambda: _train(run, job, identity, folder))
    print(f"{run.folder.name}: uses the network {folder.name}")
    take_over(run, job, progress, folder, HISTORY)
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
