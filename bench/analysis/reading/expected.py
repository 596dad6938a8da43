"""The runs that an experiment of conf/experiment consists of."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from omegaconf import MISSING, DictConfig, OmegaConf

from bench.analysis.reading.records import (
    Records,
    reading_settings,
    training_settings,
    used_sections,
)
from bench.config.composition import register_resolvers
from bench.config.experiment import USES
from bench.config.groups import CONF
from bench.config.identity import digest
from bench.config.multirun import combinations, experiments, product
from bench.config.synthesis import FACTOR
from bench.errors import ConfigError, StoreError

SWEEP = "multirun.yaml"  # Hydra's record of the last sweep, in the folder of results
MADE_OF = ("dataset", "metric", "model")


def identity(config: Mapping[str, Any]) -> str:
    """Hash of what makes a run, as far as its configuration says; the data are not looked at."""
    names = [config["dataset"]["name"], _weight(config), config["seed"], _task(config)]
    return digest([names, reading_settings(config), training_settings(config)])


def _task(config: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the task."""
    section = config.get("task", {})
    return {key: v for key, v in section.items() if key not in ("name", "_target_", "uses")}


def _weight(config: Mapping[str, Any]) -> float | None:
    """λ, or c of a synthesis; None for a method that uses neither."""
    if "regularizer" in used_sections(config):
        return config["regularizer"]["weight"]
    return config.get("task", {}).get(FACTOR)


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


def swept(results: Path) -> list[tuple[str, str]]:
    """What the last sweep into a folder of results ran on what, as Hydra recorded it.

    Returns:
        Data sets and methods (metrics, or models that use none); empty without a record.

    Raises:
        StoreError: If the record cannot be read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    record = results / SWEEP
    if not record.exists():
        return []
    try:
        config = OmegaConf.load(record)
        defaults = config.hydra.runtime.choices
        parser = OverridesParser.create()
        sweep = [parser.parse_overrides(run) for run in product(DictConfig(config))]
        runs = [{said.key_or_group: said.value() for said in run} for run in sweep]
    except (OSError, ValueError, AttributeError, yaml.YAMLError, HydraException) as error:
        raise StoreError(f"{record}: is not a record of a sweep. Delete it.") from error
    options = {group: [str(run.get(group, defaults[group])) for run in runs] for group in MADE_OF}
    names = {group: _names(group, chosen, runs) for group, chosen in options.items()}
    methods = [
        metric if "metric" in _option("model", option).get("uses", USES) else model
        for option, metric, model in zip(
            options["model"], names["metric"], names["model"], strict=True
        )
    ]
    return list(dict.fromkeys(zip(names["dataset"], methods, strict=True)))


def _names(group: str, options: list[str], runs: list[dict[str, Any]]) -> list[str]:
    """What each run calls its option of a group: as its command names it, or as the option.

    Where the class of one of the options is to be given, as of `custom`, the name is that one's.
    """
    yours = {option for option in options if _option(group, option).get("_target_") == MISSING}
    return [
        str(run.get(f"{group}.name", option)) if option in yours or not yours else option
        for option, run in zip(options, runs, strict=True)
    ]


def _option(group: str, name: str) -> dict[str, Any]:
    """What the file of an option says; nothing if the suite has no such file."""
    file = CONF / group / f"{name}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}


def of_experiment(records: Records, name: str) -> tuple[Records, pd.DataFrame]:
    """The runs of an experiment, and its missing ones.

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
            f"--experiment {name}: none of the {len(found)} runs belongs to its {len(expected)}. "
            "Runs with further overrides do not; choose them by name with --runs."
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
