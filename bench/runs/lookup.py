"""Runs one experiment, from configuration to record; finds finished runs without torch."""

import os
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bench.config.composition import UNTUNED_WEIGHT, tabulated_weight
from bench.config.experiment import Experiment
from bench.data.cache.preparing import prepare
from bench.data.setup import Setup
from bench.errors import Busy, DamagedCache, Unsupported, Unwritable
from bench.runs.run import Run
from bench.store.files import read_json
from bench.store.folder import Folder
from bench.store.layout import CODE, CONFIG, HEADER
from bench.store.listing import list_folders
from bench.store.standing import Status
from bench.store.tracking import check_tracker


@dataclass(frozen=True)
class Outcome:
    """Result of a call of `run`.

    Attributes:
        folder: The run's folder.
        summary: The run's summary; None if the run was skipped or left to another process.
        before: Whether the run had finished before.
        left_out: Why a run has no summary: it was skipped, or left to another process.
    """

    folder: Folder
    summary: dict[str, Any] | None
    before: bool = False
    left_out: str = ""


def run(config: DictConfig, in_sweep: bool = False) -> Outcome:
    """Runs one experiment, or finds its record if it has finished before.

    Args:
        config: A composed configuration.
        in_sweep: Whether it is one of several: a combination that cannot work is then recorded as
            skipped, and a run of another process is left to that process.

    Raises:
        BenchError: An error that the user can correct, in one line.
        Interrupted: After SIGINT or SIGTERM in training; the same command continues.
    """
    try:
        return _run(config, in_sweep)
    except DamagedCache as damage:  # found in the midst of the work
        print(damage)
        return _run(config, in_sweep)


def _run(config: DictConfig, in_sweep: bool) -> Outcome:
    experiment = Experiment.from_config(config)
    check_tracker(experiment["tracker"])  # said before anything is trained
    unwritable = why_unwritable(experiment.results)
    if unwritable and not experiment.results.is_dir():
        raise unwritable
    found = Run.of(Setup.of(experiment, partial(prepare, trust=not experiment["force"])))
    folder = found.folder
    folder.refuse_newer()
    folder.refuse_other()
    summary = folder.summary()
    if summary and not experiment["force"]:
        return Outcome(folder, summary, before=True)
    if unwritable:
        raise unwritable
    if edited := _edited_since(found):
        print(edited)
    usual = UNTUNED_WEIGHT * config.regularizer.get("scale", 1)
    untuned = tabulated_weight(config) is None and experiment.weight == usual
    if "regularizer" in experiment.uses and untuned:
        print(
            f"No tuned weight for {experiment['metric']['name']} on {experiment['dataset']['name']}"
            f": using regularizer.weight={experiment.weight:g}"
        )
    try:
        with folder.claim():
            return _execute(found, in_sweep)
    except Busy as busy:
        if not in_sweep:
            raise
        return Outcome(folder, None, left_out=f"left to another process: {busy}")


def _edited_since(found: Run) -> str:
    """Which code of the user's has changed since a run of the same configuration, in one line."""
    ours = found.header.get(CODE, {})
    start = found.folder.name.rpartition("-")[0]
    for folder in list_folders(found.setup.experiment.results) if ours else ():
        if folder.name.rpartition("-")[0] != start or folder.path == found.folder.path:
            continue
        theirs = (read_json(folder.file(HEADER)) or {}).get(CODE, {})
        changed = sorted(name for name in ours if theirs.get(name, ours[name]) != ours[name])
        if changed and _text(folder.file(CONFIG)) == found.config:
            return (
                f"{', '.join(changed)}: changed since {folder.name}, so {found.folder.name} is "
                "another run."
            )
    return ""


def _text(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _execute(found: Run, in_sweep: bool) -> Outcome:
    """Runs an experiment whose folder is claimed."""
    experiment, folder = found.setup.experiment, found.folder
    finished = folder.summary()
    if finished and not experiment["force"]:  # by another process, since it was looked for
        return Outcome(folder, finished, before=True)
    from bench.runs.execution import execute, make_task

    work = replace(found, folder=folder.start_anew()) if finished else found
    try:
        task = make_task(found.setup)
        job = task.assemble(found.setup)
    except Unsupported as error:
        if not in_sweep:
            raise
        if not finished:
            found.start({})
            folder.fail(error, Status.SKIPPED)
        return Outcome(folder, None, left_out=f"skipped {folder.path.name}: {error}")
    except Exception as error:
        work.folder.fail(error)
        raise
    summary = execute(work, task, job)
    if finished:
        folder.give_way()
    return Outcome(folder, summary)


def why_unwritable(results: Path) -> OSError | None:
    """The error of writing a file below the results folder, which is made; None if it works."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        handle, path = tempfile.mkstemp(dir=results, prefix=".writable")
        os.close(handle)
        os.unlink(path)
    except OSError as error:
        return Unwritable(error.errno, error.strerror, error.filename)
    return None
