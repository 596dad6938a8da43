"""The store as pandas frames: reads everything and averages nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.analysis.reading.metrics import method_of
from bench.analysis.reading.rows import TEXTS, read_rows
from bench.config.commands import BENCH, RUN, with_results
from bench.config.conditioning import weight_range
from bench.config.experiment import USES
from bench.config.identity import ADDED, CONDITIONING, NOT_IDENTIFYING
from bench.config.synthesis import FACTOR
from bench.errors import StoreError, no_folder
from bench.scores.registry import SCORES
from bench.store.files import ALTERED, is_as_written, read_json
from bench.store.folder import ANEW, Folder
from bench.store.layout import (
    CLASSES,
    CODE,
    CONFIG,
    ENVIRONMENT,
    HISTORY,
    LANDMARKS,
    PAIRS,
    REGISTRATION,
    ROBUSTNESS,
    RUNS,
)
from bench.store.listing import describe, list_folders
from bench.store.standing import Status

BEFORE = "_before"
RUN_COLUMNS = (
    *("id", "status", "error", "task", "dataset", "metric", "model", "method", "weight", "seed"),
)
TABLES = (PAIRS, CLASSES, LANDMARKS)  # of such runs; the others only with labels, with landmarks
OF_NUMBERS = (*TABLES, HISTORY)  # but for names
NUMBERS = "biuf"  # kinds of dtypes
OF_TESTS = ("corruption", "level", "moving", "fixed", "folding")
REMEDY_OF_TEST = f"`{BENCH} robustness` writes it again; the run is complete without it."
NOT_A_SETTING = {
    "regularizer": {"weight"},
    "model": {"uses", "trained", *CONDITIONING},
    "task": {"name", "_target_", "uses", "insert", FACTOR},  # dataset.insert has what is inserted
}
BEFORE_OPTIONS = {"space": "voxels"}  # what runs did that were recorded before the option was
NOT_TESTED_WITH = {"name", "root", "cache", "about", "recommended", "augmentation", "pairs"}


@dataclass(frozen=True)
class Records:
    """Content of a folder of results.

    Attributes:
        runs: One row per run of any status, by folder name: `RUN_COLUMNS`; `method` is the metric,
            or the model where it uses none.
        tables: By the name of their file, the rows of all finished runs that have it, with their
            `run`: the tables of their tasks, histories, tests for robustness.
        summaries: Of finished runs, by folder name.
        configs: Resolved configurations of all runs, by folder name.
        environments: Versions, commit and device of all runs, by folder name.
    """

    runs: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    summaries: dict[str, dict[str, Any]]
    configs: dict[str, dict[str, Any]]
    environments: dict[str, dict[str, Any]]

    def table(self, file: str) -> pd.DataFrame:
        """The rows of a file; without any, an empty frame."""
        return self.tables.get(file, pd.DataFrame({"run": []}))

    @property
    def pairs(self) -> pd.DataFrame:
        """One row per finished registration and test pair.

        Columns `run`, `moving`, `fixed`, every score and, as NAME_before, that of u = 0. A score
        that was not measured is NaN.
        """
        columns = ["run", "moving", "fixed", *(n + m for m in ("", BEFORE) for n in SCORES)]
        rows = self.table(PAIRS)
        return rows[rows["run"].isin(self.registrations)].reindex(columns=columns)

    def made_by(self, run: str) -> dict[str, Any]:
        """What made a finished run's result except λ and seed: settings, and code of its own."""
        return training_settings(self.configs[run]) | code_settings(self.summaries[run])

    @property
    def registrations(self) -> list[str]:
        """The finished runs whose task is registration."""
        return [
            run
            for run, summary in self.summaries.items()
            if summary.get("task", REGISTRATION) == REGISTRATION
        ]


def read_records(results: Path, pattern: str = "*", option: str = "--results") -> Records:
    """Reads the runs of a folder of results.

    A finished run whose files cannot be read gets the status `damaged`.

    Args:
        results: The folder.
        pattern: Which runs, by the names of their folders (`fnmatch`).
        option: The option that names the folder.

    Raises:
        StoreError: If there is no such folder, or no such run.
    """
    if not results.is_dir():
        raise StoreError(
            f"{option} {results}: {no_folder(results)}. `{RUN}` writes runs; name its results_dir."
        )
    folders = list_folders(results, RUNS)
    if not folders:
        raise StoreError(
            f"{results}: holds no runs. `{RUN}` makes one; its results_dir names the folder."
        )
    chosen = [folder for folder in folders if fnmatchcase(folder.path.name, pattern)]
    if not chosen:
        raise StoreError(
            f"--runs {pattern}: none of the {len(folders)} runs in {results}. Names have the form "
            f"DATASET-METRIC-WEIGHT-seedN-ID; `{BENCH} runs{with_results(results)}` lists them."
        )
    return collect(chosen)


def collect(folders: list[Folder]) -> Records:
    """The records of some runs."""
    runs: dict[str, dict[str, Any]] = {}
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    summaries, configs, environments = {}, {}, {}
    for folder in folders:
        name = folder.path.name
        row = {"task": REGISTRATION, **describe(folder)}
        try:
            config = read_config(folder.file(CONFIG))
            summary = folder.summary() if row["status"] is Status.FINISHED else None
            found = dict(read_tables(folder, summary)) if summary else {}
        except ValueError as error:
            if row["status"] is Status.FINISHED:
                remedy = REMEDY_OF_TEST if str(error).startswith(ROBUSTNESS) else ANEW
                row |= {"status": Status.DAMAGED, "error": f"{error}. {remedy}"}
        else:
            configs[name] = config
            if summary:
                summaries[name] = summary
            for file, rows in found.items():
                tables.setdefault(file, {})[name] = rows
        environments[name] = read_json(folder.file(ENVIRONMENT)) or {}
        row["method"] = method_of(row)
        runs[name] = {"error": "", **{key: row[key] for key in RUN_COLUMNS if key in row}}
    return Records(
        pd.DataFrame.from_dict(runs, orient="index", columns=RUN_COLUMNS),
        {file: _stack(frames) for file, frames in tables.items()},
        summaries,
        configs,
        environments,
    )


def _stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(tables, names=["run"]).reset_index("run").reset_index(drop=True)


def read_config(path: Path) -> dict[str, Any]:
    """A run's resolved configuration.

    Raises:
        ValueError: If it is not one.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        reading_settings(content)
        training_settings(content)
        _ = [content[section]["name"] for section in ("dataset", "model", *USES)]
        _ = content["seed"], content["regularizer"]["weight"], content["tracker"]["name"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise ValueError(f"{path.name} cannot be read ({_reason(error)})") from error
    return content


def _reason(error: Exception) -> str:
    """What is wrong with a file, in one line."""
    if isinstance(error, KeyError):
        return f"it lacks {error}"
    if isinstance(error, OSError):
        return str(error.strerror)
    return type(error).__name__


def read_tables(folder: Folder, summary: Mapping[str, Any]) -> Iterator[tuple[str, pd.DataFrame]]:
    """The CSV files of a finished run: its tables, how it was trained, tests for robustness.

    Args:
        folder: The run's.
        summary: Its summary, which lists its tables.

    Raises:
        ValueError: If one is missing or damaged.
    """
    listed = summary.get("tables")
    needed = [TABLES[0]] if listed is None else list(listed)
    if summary.get("steps") is not None:
        needed.append(HISTORY)
    for file in dict.fromkeys([*needed, *TABLES, HISTORY, ROBUSTNESS]):
        if file in needed or folder.file(file).exists():
            yield file, _read_table(folder.file(file))


def _read_table(path: Path) -> pd.DataFrame:
    try:
        whole = is_as_written(path)
        rows = read_rows(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read ({_reason(error)})") from error
    if not whole:
        raise ValueError(f"{path.name} {ALTERED}")
    if rows.empty:
        raise ValueError(f"{path.name} has no rows")
    lacking = [name for name in OF_TESTS if path.name == ROBUSTNESS and name not in rows]
    if lacking:
        raise ValueError(f"{path.name} lacks the column {lacking[0]}")
    for name, dtype in rows.dtypes.items() if path.name in OF_NUMBERS else ():
        if name not in TEXTS and dtype.kind not in NUMBERS:
            broken = rows[name][pd.to_numeric(rows[name], errors="coerce").isna()].dropna()
            raise ValueError(f"{path.name} has {broken.iloc[0]!r} for a number of {name}")
    return rows


def reading_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """How the data set was read and where scores count: runs that differ in it do not compare.

    What is null is as if it were not there, since options come with null as their default, and so
    is what runs did before there was the option.
    """
    read = flat({k: v for k, v in config["dataset"].items() if k not in NOT_TESTED_WITH})
    if config.get("task", {}).get("within_mask"):
        read["task.within_mask"] = True
    return {
        key: value
        for key, value in read.items()
        if value is not None and BEFORE_OPTIONS.get(key) != value
    }


def training_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that made a result except λ and seed, with keys such as `trainer.steps`."""
    found: dict[str, Any] = {}
    for section in ("model", *used_sections(config)):
        dropped = NOT_IDENTIFYING.get(section, set()) | NOT_A_SETTING.get(section, set())
        kept = {k: v for k, v in config[section].items() if k not in dropped}
        found |= flat(kept, section)
    trained = config["model"].get("trained")
    if trained:
        found["model.trained"] = trained["on"]
    learned = weight_range(config["model"])
    if learned is not None:
        found["model.conditioned"] = str(learned)
    for part in ("augmentation", "pairs"):
        found |= flat(config["dataset"][part], f"dataset.{part}")
    return found


def code_settings(summary: Mapping[str, Any]) -> dict[str, str]:
    """Contents of the code outside the suite that a run ran, with keys such as `code.my_metric`."""
    return {f"{CODE}.{name}": content[:8] for name, content in summary.get(CODE, {}).items()}


def task_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the task but c, with keys such as `task.controls`; those at null are left out."""
    task = config.get("task", {})
    defaults = ADDED["task"]  # the configuration of an older run lacks them
    dropped = NOT_A_SETTING["task"]
    kept = {k: v for k, v in task.items() if k not in dropped and v != defaults.get(k)}
    return flat(kept, "task") if kept else {}


def used_sections(config: Mapping[str, Any]) -> Sequence[str]:
    """Sections of the configuration that the method uses: `metric`, `regularizer`, `trainer`."""
    return config["model"].get("uses", USES)


def flat(content: Any, place: str = "") -> dict[str, Any]:
    """Nested settings by their paths, such as `trainer.steps`."""
    if not isinstance(content, Mapping):
        return {place: content}
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{place}.{key}".lstrip("."))
    return found
