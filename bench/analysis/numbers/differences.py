"""Differences between runs with the same task, data set, metric and model."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from bench.analysis.numbers.naming import tell_apart
from bench.store.folder import CONFIG, REGISTRATION, Folder

ALIKE = ("dataset", "metric", "model")


def differences(folders: Sequence[Folder], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each run, the settings in which it differs from others of its kind.

    Those are of one kind that share task, data set, metric and model.

    Args:
        folders: Of the runs.
        rows: Of `describe`, one for each.

    Returns:
        Such as `noise 0.2`; empty if there are no others, or if a configuration cannot be read.
    """
    families: dict[tuple[str, ...], dict[str, Folder]] = {}
    for folder, row in zip(folders, rows, strict=True):
        variants = families.setdefault(_family(row), {})
        variants.setdefault(str(row.get("variant")), folder)
    said = {}
    for family, variants in families.items():
        if len(variants) > 1:
            settings = {name: _settings(folder) for name, folder in variants.items()}
            said[family] = tell_apart({name: found for name, found in settings.items() if found})
    return [said.get(_family(row), {}).get(str(row.get("variant")), "") for row in rows]


def _family(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row.get("task", REGISTRATION), *(str(row.get(name)) for name in ALIKE)


def _settings(folder: Folder) -> dict[str, Any]:
    """The settings of a run; empty if they cannot be read."""
    from bench.analysis.reading.records import (  # pandas, which few lists of runs need
        read_config,
        reading_settings,
        task_settings,
        training_settings,
    )

    try:
        config = read_config(folder.file(CONFIG))
    except ValueError:
        return {}
    files = PurePath(config["dataset"].get("root") or "").name or None
    settings = {**reading_settings(config), **training_settings(config), **task_settings(config)}
    return {"files": files, **settings}
