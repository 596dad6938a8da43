"""One run, from its configuration to its record. Finds finished runs without importing torch."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from bench.analysis.terminal import print_summary
from bench.config import (
    Experiment,
    digest,
    run_identity,
    run_name,
    tabulated_weight,
    variant_identity,
)
from bench.data.cache import prepare
from bench.data.prepared import PreparedDataset
from bench.data.source import Source
from bench.errors import Busy, Unsupported
from bench.extractors.transfer import Origin, find_transfers
from bench.instantiation import build
from bench.store import RUNS, Folder


def run(config: DictConfig) -> dict[str, Any] | None:
    """Runs one experiment, or prints its row if it has finished before.

    Args:
        config: A composed configuration.

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
    run_id = digest(run_identity(experiment, data, transfers))
    folder = Folder(experiment.results / RUNS / run_name(experiment, run_id))
    summary = folder.summary()
    if summary and not experiment["force"]:
        print(f"{folder.path.name} has finished before; force=true runs it anew")
        print_summary(summary, folder.path)
        return summary
    if tabulated_weight(config) is None:
        print(
            f"No tuned weight for {experiment['metric']['name']} on {dataset.name}: using "
            f"regularizer.weight={experiment.weight:g}"
        )
    header = {
        "id": run_id,
        "variant": digest(variant_identity(experiment, data)),
        **{group: experiment[group]["name"] for group in ("dataset", "metric", "model")},
        "regularizer": experiment["regularizer"]["name"],
        "weight": experiment.weight,
        "seed": experiment.seed,
    }
    text = OmegaConf.to_yaml(OmegaConf.create(experiment.config))
    try:
        with folder.claim():
            summary = _execute(experiment, dataset, data, transfers, header, text, folder)
    except Busy as busy:
        if not in_sweep():
            raise
        print(f"left to another process: {busy}", file=sys.stderr)
        return None
    if summary is not None:
        print_summary(summary, folder.path)
    return summary


def _execute(
    experiment: Experiment,
    dataset: PreparedDataset,
    data: dict[str, Any],
    transfers: dict[str, Origin],
    header: dict[str, Any],
    text: str,
    folder: Folder,
) -> dict[str, Any] | None:
    """Runs an experiment whose folder is claimed; None if it is skipped."""
    finished = folder.summary()
    if finished and not experiment["force"]:  # by another process, since it was looked for
        return finished
    from bench.execution import execute

    try:
        return execute(experiment, dataset, data, transfers, header, text, folder)
    except Unsupported as error:
        if not in_sweep():
            raise
        folder.start(header, text, {})
        folder.fail(error, "skipped")
        print(f"skipped {folder.path.name}: {error}", file=sys.stderr)
        return None
    except Exception as error:
        folder.fail(error)
        raise


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
