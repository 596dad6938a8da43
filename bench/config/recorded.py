"""Recorded configurations, which are data, since anyone may have written them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from bench.config.groups import CONF, GROUPS
from bench.errors import ConfigError

TARGET, INTERPOLATION = "_target_", "${"


def check_recorded(config: Any, file: str, trust: bool, remedy: str) -> None:
    """Refuses a recorded configuration that would run code outside the suite.

    It imports nothing. Classes of the suite are those that conf/ names.

    Args:
        config: What the file holds.
        file: The file, for messages.
        trust: Whether to build other classes as well, which runs the code of their modules.
        remedy: What the user must pass, for messages.

    Raises:
        ConfigError: If it names such a class, or holds an interpolation, which is never trusted,
            since recorded configurations are resolved.
    """
    for place, value in _leaves(config):
        if isinstance(value, str) and INTERPOLATION in value:
            raise ConfigError(
                f"{file}: {place}={value!r} is an interpolation, which no run records: someone "
                "edited the file. Delete the run, or replace the interpolation with its value."
            )
        known = isinstance(value, str) and value in _classes()
        if place.rpartition(".")[2] == TARGET and not (trust or known):
            raise ConfigError(
                f"{file}: {place}={value!r} is a class that conf/ does not name, and building it "
                f"runs its code. If the run is yours, {remedy}; if not, do not use it."
            )


@cache
def _classes() -> frozenset[str]:
    """What the options in conf/ name by `_target_`."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    options = [
        yaml.load(path.read_text(encoding="utf-8"), loader)
        for group in GROUPS
        for path in (CONF / group).glob("*.yaml")
    ]
    named = {
        value
        for place, value in _leaves(options)
        if place.rpartition(".")[2] == TARGET and isinstance(value, str)
    }
    return frozenset(named - {"???"})


def _leaves(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Values of nested mappings and lists with their places; what `_target_` holds is one value."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            inner = f"{place}.{key}" if place else str(key)
            if key == TARGET:
                yield inner, value
            else:
                yield from _leaves(value, inner)
    elif isinstance(content, Sequence) and not isinstance(content, str):
        for number, value in enumerate(content):
            yield from _leaves(value, f"{place}.{number}" if place else str(number))
    else:
        yield place, content
