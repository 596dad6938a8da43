"""What a run does: train, test, and record."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.config.instantiation import build
from bench.data.setup import Setup
from bench.runs.extractors import obtain_extractors
from bench.runs.record import carry_out
from bench.runs.run import Run
from bench.scores.summary import summarize, validation_means
from bench.store.environment import environment
from bench.store.folder import (
    BEST,
    FIGURE,
    HISTORY,
    VALIDATION,
    Folder,
    read_csv,
    write_atomically,
    write_csv,
)
from bench.store.tracking import Tracker
from bench.tasks.task import Job, Row, Task
from bench.training.devices import device_name, single_device
from bench.training.loop import fit
from bench.training.memory import peak, reset_peak

OF_THE_TRAINING = ("steps", "best_step", "validation", "training_seconds", "training_memory")


def make_task(setup: Setup) -> Task:
    """The task that the section `task` names.

    Raises:
        ConfigError: If it cannot be built.
    """
    section = setup.experiment["task"]
    return build({key: value for key, value in section.items() if key != "name"}, "task")


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
    run.start(environment(device_name(experiment.settings)))

    def work(tracker: Tracker) -> dict[str, Any]:
        obtain_extractors(job.learners)
        return {**_train(run, task, job, tracker), **_test(run, task, job)}

    kind = run.header["task"]
    figures = {kind: folder.file(FIGURE)}
    return carry_out(folder, run.header, experiment, kind, experiment.config, work, figures)


def _train(run: Run, task: Task, job: Job, tracker: Tracker) -> dict[str, Any]:
    """Trains what is to be trained, or validates what is not; what the summary says of it."""
    experiment, folder = run.setup.experiment, run.folder
    device = single_device(experiment.settings)
    if job.trainable is None:
        job.make_ready(folder.file(BEST))
        return {"steps": None, "best_step": None, "validation": _validate(task, job, folder)}
    before = run.unrefined()
    known = before.folder.summary() if before else None
    if before and known:
        print(f"{run.folder.path.name}: takes the network of {before.folder.path.name}")
        for name in (BEST, HISTORY):
            write_atomically(folder.file(name), before.folder.file(name).read_bytes())
        job.make_ready(folder.file(BEST))
        return {name: known[name] for name in OF_THE_TRAINING}
    reset_peak(device)
    fitted = fit(job.trainable, experiment.settings, folder.path, job.seed, tracker.log)
    memory = peak(device)
    job.make_ready(folder.file(BEST))
    return {
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "validation": fitted.best,
        "training_seconds": fitted.seconds,
        "training_memory": memory,
    }


def _validate(task: Task, job: Job, folder: Folder) -> dict[str, float]:
    """Means over validation cases; rows are kept as they come, and none is computed twice."""
    rows = read_csv(folder.file(VALIDATION), task.texts)
    for row in job.validate(rows):
        rows.append(row)
        write_csv(folder.file(VALIDATION), rows)
    numbers = [{k: v for k, v in row.items() if not isinstance(v, str)} for row in rows]
    return validation_means(numbers) if numbers else {}


def _test(run: Run, task: Task, job: Job) -> dict[str, Any]:
    """Tests case by case; without a training, a run that was stopped goes on with what is left."""
    folder = run.folder
    goes_on = job.trainable is None
    tables = task.tables
    rows: dict[str, list[Row]] = {
        name: read_csv(folder.file(name), task.texts) if goes_on else [] for name in tables
    }

    def case_of(row: Row) -> tuple[str, ...]:
        return tuple(row[name] for name in task.key)

    known = {case_of(row) for row in rows[tables[0]]}
    for name in tables[1:]:  # the first table is written last: a case that it lacks is not done
        rows[name] = [row for row in rows[name] if case_of(row) in known]
    cases = [job.recall(row) for row in rows[tables[0]]]
    for case in job.test(rows):
        cases.append(case)
        for name in reversed(tables):
            rows[name] += case.rows.get(name, [])
            if goes_on and rows[name]:
                write_csv(folder.file(name), rows[name])
    for name in tables:
        if rows[name]:
            write_csv(folder.file(name), rows[name])
    job.draw(folder.file(FIGURE), cases)
    return {
        "tables": [name for name in tables if rows[name]],
        "scores": _summary([case.scores for case in cases]),
        "scores_before": _summary([case.before for case in cases]),
        "data": run.setup.dataset.fingerprint,
        **job.facts,
    }


def _summary(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in scores for name in row))
    return summarize(scores, names)
