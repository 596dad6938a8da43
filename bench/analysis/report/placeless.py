"""Exported settings and messages without the folders of the user's machine."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from bench.analysis.reading.exported import PLACE

OF_PLACES = {"dataset": {"cache", "about", "recommended"}, "regularizer": {"scale", "weight"}}
IN_PLACES = ("root", "folder", "state_dict", "judgements")  # relative ones, too
ABSOLUTE = re.compile(r"(?<![\w.:/\\~])(?:[A-Za-z]:[\\/]|~?/)[^\s:;,'\"()`]+")  # within a sentence


def placeless_section(group: str, section: Mapping[str, Any]) -> dict[str, Any]:
    """A section without what has a column in the runs' table, and without the user's folders."""
    dropped = OF_PLACES.get(group, set())

    def cleaned(content: Any, key: str = "") -> Any:
        if isinstance(content, Mapping):
            return {name: cleaned(value, name) for name, value in content.items()}
        if isinstance(content, list):
            return [cleaned(value) for value in content]
        return PLACE if _is_place(key, content) else content

    return {key: value for key, value in cleaned(section).items() if key not in dropped}


def placeless_text(text: str, config: Mapping[str, Any], results: Path) -> str:
    """A message of a run without the folders that its configuration names, and other absolute ones.

    Args:
        text: The message.
        config: The run's configuration.
        results: The folder of its results.
    """
    known = {*_places(config), str(results), str(results.absolute())}
    for place in sorted(known, key=len, reverse=True):
        if len(PurePosixPath(place).parts) > 1 or len(PureWindowsPath(place).parts) > 1:
            text = text.replace(place, PLACE)
    return ABSOLUTE.sub(PLACE, text)


def _places(content: Any, key: str = "") -> Iterator[str]:
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from _places(value, str(name))
    elif isinstance(content, list):
        for value in content:
            yield from _places(value)
    elif _is_place(key, content):
        yield content


def _is_place(key: str, content: Any) -> bool:
    return isinstance(content, str) and (key in IN_PLACES or _is_absolute(content))


def _is_absolute(path: str) -> bool:
    return any(system(path).is_absolute() for system in (PurePosixPath, PureWindowsPath))
