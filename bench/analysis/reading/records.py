"""The store as pandas frames: reads what is there and averages nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.config.identity import NOT_IDENTIFYING
from bench.errors import StoreError
from bench.scores.registry import SCORES
from bench.store.folder import (
    CLASSES,
    CONFIG,
    ENVIRONMENT,
    HISTORY,
    PAIRS,
    ROBUSTNESS,
    RUNS,
    Folder,
    describe,
    list_folders,
    read_json,
)

BEFORE = "_before"
RUN_COLUMNS = ("id", "status", "error", "dataset", "metric", "weight", "seed")
TEXTS = {"moving": str, "fixed": str, "class": str}  # ids such as 007 are no numbers
NOT_TESTED_WITH = {"name", "root", "cache", "about", "recommended", "augmentation", "pairs"}


@dataclass(frozen=True)
class Records:
    """What a folder of results holds.

    Attributes:
        runs: One row per run of any status, by folder name: `RUN_COLUMNS`.
        pairs: One row per finished run and test pair: `run`, `moving`, `fixed`, every score and,
            as NAME_before, that of u = 0. A score that was not measured is NaN.
        classes: One row per finished run, test pair and foreground class, with `dice` and `hd95`.
        histories: One row per finished run and validation.
        robustness: One row per finished run, corruption, level and test pair that
            `python -m bench robustness` has tested.
        summaries: Of finished runs, by folder name.
        configs: Resolved configurations of all runs, by folder name.
        environments: Versions, commit and device of all runs, by folder name.
    """

    runs: pd.DataFrame
    pairs: pd.DataFrame
    classes: pd.DataFrame
    histories: pd.DataFrame
    robustness: pd.DataFrame
    summaries: dict[str, dict[str, Any]]
    configs: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, Any]]


def read_records(results: Path, pattern: str = "*") -> Records:
    """Reads the runs of a folder of results.

    A finished run whose files cannot be read gets the status `damaged`.

    Args:
        results: The folder.
        pattern: Which runs, by the names of their folders (`fnmatch`).

    Raises:
        StoreError: If there is no such folder, or no such run.
    """
    if not results.is_dir():
        raise StoreError(f"--results {results}: no such folder. Runs are written by run.py.")
    folders = list_folders(results, RUNS)
    chosen = [folder for folder in folders if fnmatchcase(folder.path.name, pattern)]
    if not chosen:
        raise StoreError(
            f"--runs {pattern}: none of the {len(folders)} runs in {results}. They are named "
            "DATASET-METRIC-WEIGHT-seedN-ID; `python -m bench runs` lists them."
        )
    return collect(chosen)


def collect(folders: list[Folder]) -> Records:
    """The records of some runs."""
    runs: dict[str, dict[str, Any]] = {}
    tables: dict[str, dict[str, pd.DataFrame]] = {
        name: {} for name in (PAIRS, CLASSES, HISTORY, ROBUSTNESS)
    }
    summaries, configs, environments = {}, {}, {}
    for folder in folders:
        name = folder.path.name
        row = describe(folder)
        runs[name] = {"error": "", **{key: row[key] for key in RUN_COLUMNS if key in row}}
        environments[name] = read_json(folder.file(ENVIRONMENT)) or {}
        try:
            configs[name] = read_config(folder.file(CONFIG))
            summary = folder.summary()
            if summary is None:
                continue
            for file, rows in read_tables(folder):
                tables[file][name] = rows
            summaries[name] = summary
        except (OSError, ValueError, yaml.YAMLError) as error:
            runs[name] |= {"status": "damaged", "error": f"cannot be read: {error}"}
    pairs = _stack(tables[PAIRS]).reindex(columns=["run", "moving", "fixed", *_score_columns()])
    return Records(
        pd.DataFrame.from_dict(runs, orient="index", columns=RUN_COLUMNS),
        pairs,
        _stack(tables[CLASSES]),
        _stack(tables[HISTORY]),
        _stack(tables[ROBUSTNESS]),
        summaries,
        configs,
        environments,
    )


def _score_columns() -> list[str]:
    return [name + moment for moment in ("", BEFORE) for name in SCORES]


def _stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame({"run": []})
    return pd.concat(tables, names=["run"]).reset_index("run").reset_index(drop=True)


def read_config(path: Path) -> dict[str, Any]:
    """A run's resolved configuration.

    Raises:
        ValueError: If it is not one.
    """
    content = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if not isinstance(content, dict) or "dataset" not in content:
        raise ValueError(f"{path.name} is no configuration")
    return content


def read_tables(folder: Folder) -> Iterator[tuple[str, pd.DataFrame]]:
    """The CSV files of a finished run; not each has classes, or was tested for robustness.

    Raises:
        OSError: If one is missing.
        ValueError: If one is damaged.
    """
    for file in (PAIRS, CLASSES, HISTORY, ROBUSTNESS):
        if file in (PAIRS, HISTORY) or folder.file(file).exists():
            rows = pd.read_csv(folder.file(file), dtype=TEXTS)
            if rows.empty:
                raise ValueError(f"{file} has no rows")
            yield file, rows


def reading_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """How the data set was read: runs that differ in it were tested on other images."""
    return _flat({k: v for k, v in config["dataset"].items() if k not in NOT_TESTED_WITH})


def training_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What made a network but λ and the seed, as flat as `trainer.steps`."""
    regularizer = {k: v for k, v in config["regularizer"].items() if k != "weight"}
    sections: dict[str, Any] = {**config, "regularizer": regularizer}
    found: dict[str, Any] = {}
    for section in ("metric", "regularizer", "model", "trainer"):
        dropped = NOT_IDENTIFYING.get(section, set())
        kept = {k: v for k, v in sections[section].items() if k not in dropped}
        found |= _flat(kept, section)
    for part in ("augmentation", "pairs"):
        found |= _flat(config["dataset"][part], f"dataset.{part}")
    return found


def _flat(content: Any, place: str = "") -> dict[str, Any]:
    if not isinstance(content, Mapping):
        return {place: content}
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{place}.{key}".lstrip("."))
    return found
