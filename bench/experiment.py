"""One run, from its configuration to its record. Finds finished runs without importing torch."""

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bench.analysis.terminal import print_summary
from bench.config import Experiment, tabulated_weight
from bench.data.cache import prepare
from bench.data.prepared import PreparedDataset
from bench.data.source import Source
from bench.errors import Busy, Unsupported
from bench.extractors.transfer import Origin, find_transfers
from bench.instantiation import build
from bench.runs import Run, differ_in_weight

_packed: dict[Path, dict[str, Any] | Exception] = {}  # how runs ended that others took along


def run(config: DictConfig, sweep: Sequence[Experiment] = ()) -> dict[str, Any] | None:
    """Runs one experiment, or prints its row if it has finished before.

    Args:
        config: A composed configuration.
        sweep: The experiments of the sweep it belongs to. With `trainer.pack=K` up to K - 1 of
            them that differ in λ only are run together with it; their own turn then only tells
            how they ended.

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
    if own.folder.path in _packed:
        outcome = _packed.pop(own.folder.path)
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
    mates = differ_in_weight(experiment, sweep) if experiment.settings.pack > 1 else []
    runs = [own, *(Run.of(mate, data, transfers) for mate in mates)]
    try:
        with _claimed(runs, experiment.settings.pack) as claimed:
            summary = _execute(claimed, dataset, data, transfers)
    except Busy as busy:
        if not in_sweep():
            raise
        print(f"left to another process: {busy}", file=sys.stderr)
        return None
    if summary is not None:
        print_summary(summary, own.folder.path)
    return summary


@contextmanager
def _claimed(runs: Sequence[Run], most: int) -> Iterator[list[Run]]:
    """Claims the first run, and of the others up to `most` in all that are left to do.

    Raises:
        Busy: If another process holds the first one.
    """
    with ExitStack() as stack:
        stack.enter_context(runs[0].folder.claim())
        found = [runs[0]]
        for run in runs[1:]:
            if len(found) < most and run.folder.path not in _packed and _is_left(run):
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
) -> dict[str, Any] | None:
    """Runs experiments whose folders are claimed; None if the first is skipped."""
    own = runs[0]
    finished = own.folder.summary()
    if finished and not own.experiment["force"]:  # by another process, since it was looked for
        return finished
    from bench.execution import execute, execute_pack

    try:
        if len(runs) == 1:
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
        raise
    _packed.update(
        {run.folder.path: o for run, o in zip(runs[1:], outcomes[1:], strict=True) if o is not None}
    )
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
