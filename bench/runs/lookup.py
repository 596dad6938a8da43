"""One run, from its configuration to its record. Finds finished runs without importing torch."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bench.cli.terminal import print_summary
from bench.config.composition import tabulated_weight
from bench.config.experiment import Experiment
from bench.config.instantiation import build
from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.preparing import prepare
from bench.data.sources.source import Source
from bench.errors import Busy, ConfigError, Unsupported
from bench.runs.run import Run, differ_in_weight
from bench.runs.transfer import Origin, find_transfers


@dataclass
class Siblings:
    """The runs of a sweep in this process.

    Attributes:
        experiments: All of them.
        executed: Folders of those that have had their training in it.
        outcomes: How those ended that were taken along by another one, until their own turn.
    """

    experiments: list[Experiment] = field(default_factory=list)
    executed: set[Path] = field(default_factory=set)
    outcomes: dict[Path, dict[str, Any] | Exception] = field(default_factory=dict)


def run(config: DictConfig, siblings: Siblings | None = None) -> dict[str, Any] | None:
    """Runs one experiment, or prints its row if it has finished before.

    Args:
        config: A composed configuration.
        siblings: The sweep it belongs to. With `trainer.pack=K` up to K - 1 of them that differ
            in λ only are run together with it; their own turn then only tells how they ended.

    Returns:
        The run's summary; None in a sweep if the combination is not supported.

    Raises:
        BenchError: What the user can mend, in one line.
        Interrupted: After SIGINT or SIGTERM in training; the same command goes on.
    """
    experiment = Experiment.from_config(config)
    check_writable(experiment.results)
    source = make_source(experiment)
    dataset = prepare(source, experiment.cache)
    data = {"fingerprint": dataset.fingerprint, "settings": source.settings()}
    transfers = find_transfers(experiment)
    own = Run.of(experiment, data, transfers)
    siblings = siblings or Siblings()
    if own.folder.path in siblings.outcomes:
        outcome = siblings.outcomes.pop(own.folder.path)
        if isinstance(outcome, Exception):
            raise outcome
        print_summary(outcome, own.folder.path)
        return outcome
    summary = own.folder.summary()
    if summary and not experiment["force"]:
        print(f"{own.folder.path.name} has finished before; force=true runs it anew")
        print_summary(summary, own.folder.path)
        return summary
    if tabulated_weight(config) is None:
        print(
            f"No tuned weight for {experiment['metric']['name']} on {dataset.name}: using "
            f"regularizer.weight={experiment.weight:g}"
        )
    mates = []
    if experiment.settings.pack > 1:
        alike = differ_in_weight(experiment, siblings.experiments)
        mates = [Run.of(mate, data, transfers) for mate in alike]
        mates = [mate for mate in mates if mate.folder.path not in siblings.executed]
    try:
        with _claimed(own, mates, experiment.settings.pack) as claimed:
            summary = _execute(claimed, dataset, data, transfers, siblings)
    except Busy as busy:
        if not in_sweep():
            raise
        print(f"left to another process: {busy}", file=sys.stderr)
        return None
    if summary is not None:
        print_summary(summary, own.folder.path)
    return summary


@contextmanager
def _claimed(own: Run, mates: Sequence[Run], most: int) -> Iterator[list[Run]]:
    """Claims a run, and of its mates up to `most` in all that are left to do.

    Raises:
        Busy: If another process holds the run.
    """
    with ExitStack() as stack:
        stack.enter_context(own.folder.claim())
        found = [own]
        for run in mates:
            if len(found) < most and _is_left(run):
                with suppress(Busy):
                    stack.enter_context(run.folder.claim())
                    if _is_left(run):
                        found.append(run)
        yield found


def _is_left(run: Run) -> bool:
    return run.folder.summary() is None or run.experiment["force"]


def _execute(
    runs: Sequence[Run],
    dataset: PreparedDataset,
    data: dict[str, Any],
    transfers: dict[str, Origin],
    siblings: Siblings,
) -> dict[str, Any] | None:
    """Runs experiments whose folders are claimed; None if the first is skipped."""
    own, *mates = runs
    finished = own.folder.summary()
    if finished and not own.experiment["force"]:  # by another process, since it was looked for
        return finished
    from bench.runs.execution import execute, execute_pack

    try:
        if not mates:
            siblings.executed.add(own.folder.path)
            return execute(own, dataset, data, transfers)
        outcomes = execute_pack(runs, dataset, data, transfers)
    except Unsupported as error:
        if not in_sweep():
            raise
        own.start({})
        own.folder.fail(error, "skipped")
        print(f"skipped {own.folder.path.name}: {error}", file=sys.stderr)
        return None
    except Exception as error:
        for run in runs:
            run.folder.fail(error)
        if not isinstance(error, ConfigError):  # with which nothing has begun
            siblings.executed.update(run.folder.path for run in runs)
        raise
    siblings.executed.add(own.folder.path)
    for mate, outcome in zip(mates, outcomes[1:], strict=True):
        if outcome is not None:
            siblings.executed.add(mate.folder.path)
            siblings.outcomes[mate.folder.path] = outcome
    if isinstance(outcomes[0], Exception):
        raise outcomes[0]
    return outcomes[0]


def make_source(experiment: Experiment) -> Source:
    """The data set's source, from the section `dataset`.

    Raises:
        ConfigError: If its class or a setting does not fit.
    """
    return build(experiment.source_arguments(), "dataset")


def check_writable(results: Path) -> None:
    """Raises OSError unless files can be written below the results folder."""
    results.mkdir(parents=True, exist_ok=True)
    handle, path = tempfile.mkstemp(dir=results, prefix=".writable")
    os.close(handle)
    os.unlink(path)


def in_sweep() -> bool:
    """Whether this is one of the runs of `run.py -m`."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN
