"""Executes a run: train, test, and record."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bench.analysis.numbers.bootstrap import Bootstrap, cluster_pairs
from bench.analysis.plots import style
from bench.config.instantiation import build
from bench.config.synthesis import JUDGE_SEED, JUDGES
from bench.data.setup import Setup
from bench.errors import ConfigError, Interrupted
from bench.runs.extractors import obtain_extractors
from bench.runs.networks import obtain_network, take_over
from bench.runs.record import carry_out
from bench.runs.run import Run
from bench.scores import registry
from bench.scores.registry import score_of
from bench.scores.summary import batch_of, summarize, validation_means
from bench.store.environment import environment
from bench.store.files import write_csv
from bench.store.folder import Folder
from bench.store.layout import BEST, FIGURE, HISTORY, PROGRESS, VALIDATION, WARNINGS
from bench.store.progress import Progress
from bench.store.standing import Status
from bench.store.tracker import Tracker
from bench.tasks.task import Job, Row, Task, TestCase
from bench.training.devices import device_name, single_device
from bench.training.loop import fit
from bench.training.memory import peak, reset_peak
from bench.training.progress import CaseProgress

OF_THE_SUITE = ("name", "uses", JUDGES, JUDGE_SEED)  # keys of the section `task`
OF_THE_TRAINING = ("steps", "best_step", "validation", "training_seconds", "training_memory")


def make_task(setup: Setup) -> Task:
    """The task that the section `task` names.

    Raises:
        ConfigError: If it cannot be built, or is no task.
    """
    section = setup.experiment["task"]
    arguments = {key: value for key, value in section.items() if key not in OF_THE_SUITE}
    task = build(arguments, "task")
    if not callable(getattr(task, "assemble", None)) or not getattr(task, "tables", None):
        raise ConfigError(
            f"task._target_={section['_target_']}: lacks assemble(setup) or tables. "
            "bench/tasks/task.py defines a task."
        )
    return task


def execute(run: Run, task: Task, job: Job) -> dict[str, Any]:
    """Does the work of a run and records it.

    Args:
        run: The run, whose folder the caller has claimed.
        task: Its task.
        job: Its work, built and tried out.

    Returns:
        The summary.
    """
    experiment, folder = run.setup.experiment, run.folder
    _make_ready()
    run.start(environment(device_name(experiment.settings)))

    def work(tracker: Tracker) -> dict[str, Any]:
        extractors = obtain_extractors(job.learners)
        progress = Progress(folder.file(PROGRESS))
        with _going_on(folder, job, progress, _noun(task)):
            return {
                **({"extractors": extractors} if extractors else {}),
                **_train(run, task, job, tracker, progress),
                **_test(run, task, job, progress),
            }

    kind = run.header["task"]
    figures = {kind: folder.file(FIGURE)}
    return carry_out(folder, run.header, experiment, kind, experiment.config, work, figures)


def _make_ready() -> None:
    """Imports what the end of a run needs: figures, scores, tables on the terminal."""
    from rich.console import Console

    style.make_ready()
    registry.make_ready()
    Console(file=io.StringIO()).print("[bold]λ[/]")


def _noun(task: Task) -> str:
    """What the cases of a task are called, such as pairs."""
    return Path(task.tables[0]).stem


@contextmanager
def _going_on(folder: Folder, job: Job, progress: Progress, noun: str) -> Iterator[None]:
    """Says how many cases an earlier start has done; interrupted, how many are done by then."""
    total = sum(job.counts().values())
    if progress.done:
        print(f"{job.name}: continuing after {progress.done} of {total} {noun}")
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if progress.done:
            progress.save()
        if isinstance(interrupt, Interrupted) or not folder.is_resumable():
            raise
        where = "from the last saved state"
        if progress.done:
            where = f"after {progress.done} of {total} {noun}"
        raise Interrupted(f"Interrupted. The same command continues {where}.") from interrupt


def _train(run: Run, task: Task, job: Job, tracker: Tracker, progress: Progress) -> dict[str, Any]:
    """Trains what is to be trained, or validates what is not or for all λ; what is said of it."""
    experiment, folder = run.setup.experiment, run.folder
    device = single_device(experiment.settings)
    trained = experiment.trained
    if trained:
        print(f"{run.folder.name}: uses the network of {trained['run']}")
        origin = Folder(Path(trained["folder"]))
        validation = origin.finished().get("validation", {})
        take_over(run, job, progress, origin)
        return {"steps": None, "best_step": None, "validation": validation}
    if job.trainable is None:
        job.make_ready(folder.file(BEST))
        return {"steps": None, "best_step": None, "validation": _validate(run, task, job, progress)}
    if experiment.conditioned:
        network = obtain_network(run, job, progress)
        told = {"steps": network.pop("steps"), "best_step": network.pop("best_step")}
        return {**told, "network": network, "validation": _validate(run, task, job, progress)}
    before = run.unrefined()
    if before:
        before.folder.refuse_other()
    status, _, known = before.folder.standing() if before else (None, "", None)
    if before and known and status is Status.FINISHED:
        print(f"{run.folder.name}: uses the network of {before.folder.name}")
        take_over(run, job, progress, before.folder, HISTORY)
        return {name: known[name] for name in (*OF_THE_TRAINING, WARNINGS) if name in known}
    reset_peak(device)
    fitted = fit(job.trainable, experiment.settings, folder.path, job.seed, tracker.log)
    memory = peak(device)
    warnings: list[str] = getattr(job.trainable, "warnings", lambda history: [])(fitted.history)
    for warning in warnings:
        print(f"{job.name}: {warning}")
    job.make_ready(folder.file(BEST))
    return {
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "validation": fitted.best,
        "training_seconds": fitted.seconds,
        "training_memory": memory,
        **({WARNINGS: warnings} if warnings else {}),
    }


def _shown(run: Run, task: Task, job: Job, stage: str, done: int) -> CaseProgress:
    name = f"{job.name}: {stage} {_noun(task)}"
    settings = run.setup.experiment.settings
    return CaseProgress(name, done, job.counts()[stage], settings.progress)


def _validate(run: Run, task: Task, job: Job, progress: Progress) -> dict[str, float]:
    """Means over validation cases; none is computed twice."""
    rows = progress.of("validation")
    with _shown(run, task, job, "validation", len(rows)) as shown:
        for row in job.validate(list(rows)):
            progress.add("validation", row)
            shown.update(len(rows))
    if not rows:
        return {}
    write_csv(run.folder.file(VALIDATION), rows)
    return validation_means(
        [{k: v for k, v in row.items() if not isinstance(v, str)} for row in rows]
    )


def _test(run: Run, task: Task, job: Job, progress: Progress) -> dict[str, Any]:
    """Tests case by case; without a training, a run that was stopped goes on with what is left."""
    folder = run.folder
    cases = [TestCase(**entry) for entry in progress.of("cases")]
    with _shown(run, task, job, "test", len(cases)) as shown:
        for case in job.test(list(cases)):
            cases.append(case)
            if job.trainable is None:
                progress.add("cases", asdict(case))
            shown.update(len(cases))
    rows = {
        name: [row for case in cases for row in case.rows.get(name, [])] for name in task.tables
    }
    tables = [name for name in task.tables if rows[name]]
    for name in tables:
        write_csv(folder.file(name), rows[name])
    job.draw(folder.file(FIGURE), cases)
    batch = batch_of(run.setup.experiment.config)
    return {
        "tables": tables,
        "scores": {
            **_summary([case.scores for case in cases], rows[task.tables[0]], batch),
            **job.over_cases(cases),
        },
        "scores_before": _summary([case.before for case in cases], rows[task.tables[0]], batch),
        "data": run.setup.dataset.fingerprint,
        **job.facts,
    }


def _summary(
    scores: Sequence[Mapping[str, float]], rows: Sequence[Row], batch: int
) -> dict[str, Any]:
    """Means over cases; with intervals, for which pairs that share subjects are drawn together.

    Args:
        scores: Of each case.
        rows: Of the first table, which say what pairs the cases are.
        batch: Pairs that are registered at once.
    """
    names = list(dict.fromkeys(name for row in scores for name in row))
    summary = summarize(scores, names, batch)
    with_interval = [name for name in names if score_of(name).has_interval]
    if with_interval:
        clusters = cluster_pairs([row["moving"] for row in rows], [row["fixed"] for row in rows])
        bootstrap = Bootstrap(clusters.codes)
        for name in with_interval:
            values = np.array([row.get(name, math.nan) for row in scores])
            low, high = bootstrap.interval(values)
            summary[name] |= {} if math.isnan(low) else {"low": low, "high": high}
    return summary
