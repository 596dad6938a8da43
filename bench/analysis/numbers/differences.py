"""Settings that tell the runs of a list apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from bench.analysis.numbers.naming import LONGEST, tell_apart
from bench.config.identity import digest
from bench.store.files import read_json
from bench.store.folder import Folder
from bench.store.layout import CONFIG, HEADER, REGISTRATION

Family = tuple[str, ...]
Key = tuple[Family, str]
ALIKE = ("dataset", "metric", "model")
FILES = ("task.judgements", "task.persons")  # tables, which go by their names


def differences(folders: Sequence[Folder], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """For each run, the settings in which it differs from others of its kind.

    Those are of one kind that share task, data set, metric and model. For a task that registers
    nothing, the settings of the task count over all its runs, whose scores stand in one table; what
    a synthesis makes is always said.

    Args:
        folders: Of the runs.
        rows: Of `describe`, one for each.

    Returns:
        Such as `noise 0.2`; empty if there are no others, or if a configuration cannot be read.
    """
    first: dict[Key, Folder] = {}
    for folder, row in zip(folders, rows, strict=True):
        first.setdefault(_key(row), folder)
    variants = Counter(family for family, _ in first)
    told = [key for key in first if variants[key[0]] > 1 or _registers_nothing(key)]
    settings = {key: found for key in told if (found := _settings(first[key]))}
    said: dict[Key, list[str]] = {key: [] for key in settings}
    of_task: dict[str, dict[Key, dict[str, Any]]] = {}
    of_family: dict[Family, dict[Key, dict[str, Any]]] = {}
    for key, found in settings.items():
        if _registers_nothing(key):
            taken = _taken(found)
            said[key].append(str(taken.pop("problem", "")))
            of_task.setdefault(key[0][0], {})[key] = taken
        of_family.setdefault(key[0], {})[key] = found
    for alike in (*of_task.values(), *of_family.values()):
        _tell_long_lists_apart(list(alike.values()))
        names = {" ".join([*family, variant]): (family, variant) for family, variant in alike}
        for name, text in tell_apart({name: alike[key] for name, key in names.items()}).items():
            said[names[name]].append(text)
    return [", ".join(filter(None, said.get(_key(row), []))) for row in rows]


def _tell_long_lists_apart(alike: Sequence[dict[str, Any]]) -> None:
    """Replaces long lists of as many elements, which would be called the same, by their hashes."""
    for name in {name for settings in alike for name in settings}:
        lists = [one[name] for one in alike if isinstance(one.get(name), list)]
        long = {str(one): len(one) for one in lists if len(one) > LONGEST}
        if len(set(long.values())) < len(long):
            for settings in alike:
                if str(value := settings.get(name, "")) in long:
                    settings[name] = f"of {len(value)} ({digest(value)})"


def _key(row: Mapping[str, Any]) -> Key:
    """What a run is one of, and its variant."""
    family = row.get("task", REGISTRATION), *(str(row.get(name)) for name in ALIKE)
    return family, str(row.get("variant"))


def _registers_nothing(key: Key) -> bool:
    """Whether the task stands in the place of the model."""
    task, *_, model = key[0]
    return task == model


def _taken(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of the task, taken out of all; tables by their names."""
    keys = [key for key in settings if key.startswith("task.")]
    found = {key: settings.pop(key) for key in keys}
    found |= {key: PurePath(str(found[key])).name for key in FILES if found.get(key)}
    return {key.removeprefix("task."): value for key, value in found.items()}


def _settings(folder: Folder) -> dict[str, Any]:
    """The settings of a run; empty if they cannot be read."""
    from bench.analysis.reading.records import (  # pandas, which few lists of runs need
        code_settings,
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
    header = read_json(folder.file(HEADER)) or {}
    return {"files": files, **settings, **code_settings(header)}
