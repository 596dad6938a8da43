"""Checks of the settings of methods, in one line each."""

from collections.abc import Sequence
from typing import Any

from bench.config.overrides import quoted
from bench.errors import ConfigError


def require(name: str, value: Any, holds: bool, allowed: str) -> None:
    """Raises ConfigError unless a setting of the section `model` holds."""
    if not holds:
        raise ConfigError(f"model.{name}={quoted(value)}: must be {allowed}.")


def is_list(values: Any) -> bool:
    """Whether a value is a list with entries."""
    return isinstance(values, Sequence) and not isinstance(values, str) and len(values) > 0
