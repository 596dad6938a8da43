"""Exported results: a few small tables in place of a folder of results, for the same reports.

    runs.csv        a row for each run
    pairs.csv       a row for each test pair, with its scores before registration
    scores.csv      a row for each run and test pair
    settings.csv    the sections of the runs' configurations, each once
    extractors.csv  a row for each extractor and its score
    images.csv      a row for each run of the task perception and image, if there are any
    changes.csv     a row for each run of the task changes and test pair, if there are any
    pooled.csv      a row for each run of the task changes and score of all test pairs together
    checksums.json  CRC-32 of each table

`bench.analysis.report.export` writes them.
"""

import math
from collections.abc import Hashable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from bench.analysis.reading.exported_cases import (
    read_changes,
    read_images,
    read_pairs,
    read_pooled,
)
from bench.analysis.reading.exported_tables import (
    EXTRACTORS_TABLE,
    RUNS_TABLE,
    SETTINGS_TABLE,
    WHOLE,
    check_seal,
    fault,
    read_table,
)
from bench.analysis.reading.metrics import method_of
from bench.analysis.reading.records import (
    BEFORE,
    RUN_COLUMNS,
    Records,
    reading_settings,
    training_settings,
    used_sections,
)
from bench.config.identity import SCHEMA
from bench.errors import StoreError
from bench.store.layout import CODE, IMAGES, NETWORK, PAIRS, REGISTRATION, TASK_TABLES, WARNINGS
from bench.store.standing import Status

RUN_TEXTS = (  # `settings` and `extractors` are several, with spaces between
    *("run", "id", "status", "error", "dataset", "metric", "model", "variant", "settings"),
    *("pairs", "extractors", "bench", "commit", "python", "torch", "device", "date"),
)
RUN_NUMBERS = (
    *("weight", "scale", "seed", "noise", "val_dice", "val_folding", "val_similarity"),
    *("steps", "best_step", "training_seconds"),
)
VALIDATION = "val_"  # begins the columns of validation means
EXTRACTOR_TEXTS = (
    *("extractor", "dataset", "task", "channels", "score", "bench", "commit", "device", "date"),
)
EXTRACTOR_NUMBERS = ("noise", "seed", "steps", "best_step", "training_seconds", "value")
SETTING_TEXTS = ("settings", "section", "setting", "value")
RECORD = "record"  # the section of what a summary says of the data
RECORDED = ("schema", "data", "classes", "units")
ALSO_RECORDED = (TASK_TABLES, CODE, NETWORK, WARNINGS)  # where a run has them
PERCEPTION, CHANGES = "perception", "changes"
NO_YAML = (ValueError, KeyError, AttributeError, RecursionError)  # of PyYAML, for damaged values
PLACE = "PATH"  # stands for a folder of data, and any other absolute path
UNTRAINED = "untrained:"  # begins an extractor of 0 steps, before its task


def read_exported(folder: Path, pattern: str = "*") -> Records:
    """Reads exported tables as `read_records` reads runs.

    What was not exported is as if it had not been recorded: classes, histories, some scores.

    Args:
        folder: Of the tables.
        pattern: Which runs, by the names of their folders (`fnmatch`).

    Raises:
        StoreError: If a table is missing, damaged or something else, or there is no such run.
    """
    check_seal(folder)
    rows = read_table(folder / RUNS_TABLE, RUN_TEXTS, RUN_NUMBERS).set_index("run", drop=False)
    for name in ("run", "id"):
        if rows[name].duplicated().any():
            twice = rows.loc[rows[name].duplicated(), name].iloc[0]
            raise fault(folder / RUNS_TABLE, f"has {name} {twice} twice")
    total = len(rows)
    rows = rows[[fnmatchcase(name, pattern) for name in rows.index]]
    if rows.empty:
        raise StoreError(
            f"--runs {pattern}: none of the {total} runs in {folder}. The column run of "
            f"{RUNS_TABLE} lists their names."
        )
    unknown = rows.loc[~rows["status"].isin(list(map(str, Status))), "status"]
    if len(unknown):
        raise fault(folder / RUNS_TABLE, f"has {unknown.iloc[0]!r} for a status")
    runs = {str(row["run"]): row for row in _plain(rows)}
    sections = _sections(folder / SETTINGS_TABLE)
    configs, recorded = {}, {}
    for name, row in runs.items():
        configs[name], recorded[name] = _configuration(folder, row, sections)
    finished = {n: row for n, row in runs.items() if row["status"] == Status.FINISHED}
    tasks = {name: _task(config) for name, config in configs.items()}
    pairs = read_pairs(folder, {n: row for n, row in finished.items() if tasks[n] == REGISTRATION})
    images = read_images(folder, {n: row for n, row in finished.items() if tasks[n] == PERCEPTION})
    changes = read_changes(folder, {n: row for n, row in finished.items() if tasks[n] == CHANGES})
    means = pairs.drop(columns=["moving", "fixed"]).groupby("run").mean()
    means = means[[name for name in means if not str(name).endswith(BEFORE)]]
    perceived = images.drop(columns="subject").groupby("run").mean()
    detected = changes.drop(columns=["moving", "fixed"]).groupby("run").mean()
    scores = {
        **means.to_dict("index"),
        **perceived.to_dict("index"),
        **detected.to_dict("index"),
    }
    extractors = _by_name(read_extractors(folder))
    pooled = read_pooled(folder)
    summaries = {
        name: {
            **_summary(folder, row, recorded[name], scores[name], extractors),
            "task": tasks[name],
        }
        for name, row in finished.items()
    }
    for summary in summaries.values():
        summary["scores"] |= pooled.get(summary["id"], {})
    frame = pd.DataFrame(
        [{**row, "task": tasks[name], "method": method_of(row)} for name, row in runs.items()],
        index=list(runs),
        columns=[*RUN_COLUMNS, "date"],
    )
    environments = {name: _environment(row) for name, row in runs.items()}
    every = pd.concat([pairs, changes], ignore_index=True) if len(changes) else pairs
    tables = {PAIRS: every, IMAGES: images}
    return Records(frame, tables, summaries, configs, environments)


def read_extractors(folder: Path) -> pd.DataFrame:
    """The exported extractors, in the columns of `EXTRACTOR_TEXTS` and `EXTRACTOR_NUMBERS`.

    Raises:
        StoreError: If the table is missing, damaged or something else.
    """
    check_seal(folder)
    path = folder / EXTRACTORS_TABLE
    rows = read_table(path, EXTRACTOR_TEXTS, EXTRACTOR_NUMBERS)
    try:
        rows["channels"] = [[int(part) for part in cell.split()] for cell in rows["channels"]]
    except ValueError as error:
        raise fault(path, f"has something else than widths for channels ({error})") from None
    if rows.duplicated(["extractor", "score"]).any():
        twice = rows.loc[rows.duplicated(["extractor", "score"]), "extractor"].iloc[0]
        raise fault(path, f"has a score of {twice} twice")
    return rows


def _plain(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows whose empty numbers are None, and whose whole numbers are int."""
    for found in rows.to_dict("records"):
        row = {str(name): value for name, value in found.items()}
        for name in RUN_NUMBERS:
            row[name] = None if row[name] != row[name] else float(row[name])
        for name in WHOLE:
            row[name] = None if row[name] is None else int(row[name])
        row["metric"] = row["metric"] or None
        yield row


def _sections(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """By identifier, the name and content of each section."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for row in read_table(path, SETTING_TEXTS, ()).to_dict("records"):
        try:
            value = yaml.safe_load(row["value"])
        except (yaml.YAMLError, *NO_YAML):
            raise fault(path, f"has {row['value']!r} for {row['setting']}") from None
        if row["setting"] == "name" and not isinstance(value, str):
            raise fault(path, f"has {row['value']!r} for the name of a {row['section']}")
        content = found.setdefault(row["settings"], (row["section"], {}))[1]
        if row["setting"] in content:
            raise fault(path, f"has {row['setting']} of {row['settings']} twice")
        content[row["setting"]] = value
    return found


def _configuration(
    folder: Path, row: Mapping[str, Any], sections: Mapping[str, tuple[str, dict[str, Any]]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's configuration without places, and what its summary says of the data."""
    path = folder / SETTINGS_TABLE
    if row["seed"] is None:
        raise fault(folder / RUNS_TABLE, f"has no seed of {row['run']}")
    config: dict[str, Any] = {"tracker": {"name": "none"}, "seed": row["seed"]}
    for identifier in row["settings"].split():
        if identifier not in sections:
            raise fault(path, f"lacks settings {identifier} of {row['run']}")
        name, content = sections[identifier]
        config[name] = dict(content)
    recorded = config.pop(RECORD, {})
    try:
        if "regularizer" in config:
            config["regularizer"] |= {"scale": row["scale"], "weight": row["weight"]}
        reading_settings(config), training_settings(config), used_sections(config)
        for section in ("dataset", "model", "metric"):
            used = row[section] or section in used_sections(config)
            said = config[section]["name"] if used else None
            if said != row[section]:
                raise fault(path, f"has {said!r} for the {section} of {row['run']}")
        noise = config["dataset"].get("added_noise")
        if not _same(noise, row["noise"]):
            raise fault(path, f"has {noise!r} for the noise of {row['run']}")
        if row["status"] == Status.FINISHED and _task(config) == REGISTRATION:
            if not isinstance(recorded["classes"], list) or not isinstance(recorded["units"], dict):
                raise fault(path, f"has no classes or units of {row['run']}")
            if row["weight"] is None and "regularizer" in used_sections(config):
                raise fault(folder / RUNS_TABLE, f"has no weight of {row['run']}")
        if row["status"] == Status.FINISHED:
            _ = [recorded[name] for name in RECORDED]
            _ = [recorded.get(name, {}).items() for name in (TASK_TABLES, CODE, NETWORK)]
            warnings = recorded.get(WARNINGS, [])
            if not isinstance(warnings, list) or not all(isinstance(w, str) for w in warnings):
                raise fault(path, f"has other warnings than texts of {row['run']}")
            if recorded["schema"] > SCHEMA:
                raise StoreError(
                    f"{path}: has schema {recorded['schema']}, but this version reads at most "
                    f"schema {SCHEMA}. Update the suite."
                )
    except (KeyError, TypeError, AttributeError) as error:
        raise fault(path, f"has incomplete settings of {row['run']} ({error})") from error
    return config, recorded


def _same(value: Any, written: float | None) -> bool:
    """Whether a setting is what a table's rounded number says; neither may be known."""
    if value is None or written is None:
        return value is written
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isclose(value, written, rel_tol=1e-5)


def _task(config: Mapping[str, Any]) -> str:
    return str(config.get("task", {}).get("name", REGISTRATION))


def _by_name(extractors: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Extractors by name, as summaries of runs name them."""
    found: dict[str, dict[str, Any]] = {}
    for row in extractors.to_dict("records"):
        one = found.setdefault(
            row["extractor"],
            {"task": row["task"], "name": row["extractor"], "steps": row["steps"], "scores": {}},
        )
        if row["score"]:
            one["scores"][row["score"]] = row["value"]
    return found


def _summary(
    folder: Path,
    row: Mapping[str, Any],
    recorded: Mapping[str, Any],
    scores: Mapping[Hashable, float],
    extractors: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    used = []
    for name in row["extractors"].split():
        if name.startswith(UNTRAINED):
            used.append({"task": name.removeprefix(UNTRAINED), "steps": 0})
        elif name in extractors:
            used.append(dict(extractors[name]))
        else:
            raise fault(folder / EXTRACTORS_TABLE, f"lacks {name} of {row['run']}")
    facts = ("id", "variant", "dataset", "model", "metric", "weight", "seed", "steps", "best_step")
    validation = {name: row[name] for name in RUN_NUMBERS if name.startswith(VALIDATION)}
    seconds = row["training_seconds"]
    return {
        **recorded,
        **{name: row[name] for name in facts},
        "status": Status.FINISHED,
        "validation": {
            name.removeprefix(VALIDATION): value
            for name, value in validation.items()
            if value is not None
        },
        "scores": {name: {"mean": value} for name, value in scores.items() if value == value},
        **({} if seconds is None else {"training_seconds": seconds}),
        **({"extractors": used} if used else {}),
    }


def _environment(row: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: row[name] or None for name in ("bench", "commit", "python", "device")}
    return {**known, "packages": {"torch": row["torch"] or None}}
