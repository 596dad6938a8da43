"""What a run does: build, train, and have it tested and recorded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from bench.config.experiment import Experiment
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs, read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.runs.assembly import Parts, build_parts
from bench.runs.extractors import obtain_extractors
from bench.runs.recording import record
from bench.runs.run import Run
from bench.runs.transfer import Origin
from bench.seeding import derive_seed
from bench.store.environment import environment
from bench.store.tracking import Tracker, open_tracker
from bench.tasks.registration.task import Registration
from bench.training.devices import device_name, single_device
from bench.training.loop import fit
from bench.training.memory import peak, reset_peak
from bench.training.packing import fit_pack, try_packing


def execute(
    run: Run,
    dataset: PreparedDataset,
    data: Mapping[str, Any],
    transfers: Mapping[str, Origin],
) -> dict[str, Any]:
    """Runs an experiment and records it.

    Args:
        run: The run, whose folder the caller has claimed.
        dataset: Its data.
        data: Settings and fingerprint of the data.
        transfers: Origins of extractors that learn on other data.

    Returns:
        The summary.

    Raises:
        Unsupported: If metric, data and model do not go together; nothing has been written.
    """
    experiment = run.experiment
    parts = build_parts(experiment, dataset, transfers)
    run.start(environment(device_name(experiment.settings)))
    obtain_extractors(parts.surrogates, experiment, dataset, data)
    task = make_task(run, parts, training_pairs(experiment, dataset))
    device = single_device(experiment.settings)
    with tracked(run) as tracker:
        reset_peak(device)
        fitted = fit(
            task, experiment.settings, run.folder.path, training_seed(run, dataset), tracker.log
        )
        return record(run, fitted, peak(device), parts.model, dataset, tracker)


def execute_pack(
    runs: Sequence[Run],
    dataset: PreparedDataset,
    data: Mapping[str, Any],
    transfers: Mapping[str, Origin],
) -> list[dict[str, Any] | Exception | None]:
    """Runs experiments that differ in λ together and records each.

    Args:
        runs: The runs; otherwise as for `execute`.
        dataset: Their data.
        data: Settings and fingerprint of the data.
        transfers: Origins of extractors that learn on other data.

    Returns:
        For each run its summary, or the error that ended it; None if it stood at another step
        than the first and was left as it is.

    Raises:
        Unsupported: As `execute`; nothing has been written.
        ConfigError: If the model's networks cannot be called together; the same.
    """
    first = runs[0].experiment
    parts = [build_parts(run.experiment, dataset, transfers) for run in runs]
    pairs = dataset.pairs("train")[:1] * first.settings.batch_size
    batch = read_pairs(dataset, pairs, torch.device("cpu"))
    try_packing([own.model for own in parts], (batch.moving, batch.fixed))
    for run in runs:
        run.start(environment(device_name(first.settings)))
    obtain_extractors(parts[0].surrogates, first, dataset, data)
    training = training_pairs(first, dataset)
    tasks = [make_task(run, own, training) for run, own in zip(runs, parts, strict=True)]
    for task in tasks:
        task.name += f", λ = {task.weight:g}"
    with ExitStack() as stack:
        trackers = [stack.enter_context(tracked(run)) for run in runs]
        device = single_device(first.settings)
        reset_peak(device)
        trainees = fit_pack(
            tasks,
            first.settings,
            [run.folder.path for run in runs],
            training_seed(runs[0], dataset),
            [tracker.log for tracker in trackers],
        )
        memory = peak(device)
        outcomes: list[dict[str, Any] | Exception | None] = []
        for run, own, tracker in zip(runs, parts, trackers, strict=True):
            trainee = next((t for t in trainees if t.folder == run.folder.path), None)
            if trainee is None:
                tracker.close()
                outcomes.append(None)
                continue
            try:
                outcomes.append(record(run, trainee.fitted(), memory, own.model, dataset, tracker))
            except Exception as error:
                run.folder.fail(error)
                tracker.close(failed=True)
                outcomes.append(error)
        return outcomes


def training_pairs(experiment: Experiment, dataset: PreparedDataset) -> TrainingPairs:
    """The training pairs with the data set's augmentation."""
    augmentation = Augmentation.from_config(experiment["dataset"]["augmentation"])
    return TrainingPairs(dataset, augmentation, experiment.seed)


def training_seed(run: Run, dataset: PreparedDataset) -> int:
    """Seed of the dropout; the same for all metrics and weights."""
    return derive_seed(run.experiment.seed, dataset.name, "registration")


def make_task(run: Run, parts: Parts, training: TrainingPairs) -> Registration:
    """What the trainer minimizes."""
    dataset = training.dataset
    description = {
        "network": {
            **run.experiment["model"],
            "ndim": dataset.ndim,
            "image_channels": dataset.channels,
        },
        "run": dict(run.header),
    }
    return Registration(
        f"{run.header['metric']} on {dataset.name}",
        parts.model,
        description,
        parts.similarity,
        parts.regularizer,
        run.experiment.weight,
        training,
    )


@contextmanager
def tracked(run: Run) -> Iterator[Tracker]:
    """The run's tracker, closed as failed if an error comes by."""
    tracker = open_tracker(
        run.experiment["tracker"],
        run.experiment.results,
        run_id=run.header["id"],
        name=run.folder.path.name,
        job_type="registration",
        config=run.experiment.config,
    )
    try:
        yield tracker
    except BaseException:
        tracker.close(failed=True)
        raise
