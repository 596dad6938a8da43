"""The runs that an experiment of conf/experiment consists of."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from bench.analysis.reading.records import (
    Records,
    reading_settings,
    training_settings,
    used_sections,
)
from bench.config.composition import register_resolvers
from bench.config.groups import CONF
from bench.config.identity import digest
from bench.config.multirun import combinations, experiments
from bench.errors import ConfigError, StoreError


def identity(config: Mapping[str, Any]) -> str:
    """Hash of what makes a run, as far as its configuration says; the data are not looked at."""
    names = [config["dataset"]["name"], _weight(config), config["seed"]]
    return digest([names, reading_settings(config), training_settings(config)])


def _weight(config: Mapping[str, Any]) -> float | None:
    """λ; None for a method that uses none."""
    return config["regularizer"]["weight"] if "regularizer" in used_sections(config) else None


def expected_runs(name: str) -> list[dict[str, Any]]:
    """The resolved configurations of an experiment's runs.

    Raises:
        ConfigError: If there is no such experiment.
    """
    import hydra

    known = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
    if name not in known:
        raise ConfigError(f"--experiment {name}: must be one of {', '.join(known)}.")
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", [f"+experiment={name}"], return_hydra_config=True)
        return [experiment.config for experiment in experiments(combinations(config))]


def of_experiment(records: Records, name: str) -> tuple[Records, pd.DataFrame]:
    """The runs of an experiment, and those of it that are not there.

    Runs belong to it if nothing but places, devices and trackers differs from what the experiment
    says: with further overrides they are others.

    Args:
        records: From `read_records`.
        name: A file of conf/experiment.

    Returns:
        The records of its runs, and `dataset`, `metric`, `weight`, `seed` of those not run.

    Raises:
        ConfigError: If there is no such experiment.
        StoreError: If none of its runs is there.
    """
    expected = {identity(config): config for config in expected_runs(name)}
    found = {run: identity(config) for run, config in records.configs.items()}
    chosen = [run for run, key in found.items() if key in expected]
    if not chosen:
        raise StoreError(
            f"--experiment {name}: none of the {len(found)} runs is one of its {len(expected)}. "
            "Runs with further overrides are others; choose them by name with --runs."
        )
    missing = [expected[key] for key in expected if key not in set(found.values())]
    rows = [
        {
            "dataset": config["dataset"]["name"],
            "metric": config["metric" if "metric" in used_sections(config) else "model"]["name"],
            "weight": _weight(config),
            "seed": config["seed"],
        }
        for config in missing
    ]
    return keep(records, chosen), pd.DataFrame(
        rows, columns=["dataset", "metric", "weight", "seed"]
    )


def keep(records: Records, runs: list[str]) -> Records:
    """The records of some runs only."""
    wanted = set(runs)
    return replace(
        records,
        runs=records.runs.loc[[run for run in records.runs.index if run in wanted]],
        tables={file: rows[rows["run"].isin(wanted)] for file, rows in records.tables.items()},
        **{
            name: {run: content for run, content in getattr(records, name).items() if run in wanted}
            for name in ("summaries", "configs", "environments")
        },
    )
