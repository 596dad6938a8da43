"""Checks that weighted sums of metrics and of regularizers share."""

from collections.abc import Mapping
from typing import Any

from bench.config.numbers import is_number
from bench.config.overrides import quoted
from bench.errors import ConfigError


def check_terms(section: str, terms: Mapping[str, Any], factors: Mapping[str, Any]) -> None:
    """Raises ConfigError unless each term has one factor of 0 or more, under the same name."""
    for key, given in (("terms", terms), ("factors", factors)):
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"{section}.{key}={quoted(given)}: must be a section, such as "
                f"{{{'NAME: {_target_: CLASS}' if key == 'terms' else 'NAME: 1'}}}."
            )
    if not terms or set(terms) != set(factors):
        raise ConfigError(
            f"{section}.factors has {sorted(factors)} but {section}.terms has {sorted(terms)}: "
            "give each term one factor, under the same name."
        )
    for name, factor in factors.items():
        if not callable(terms[name]):
            raise ConfigError(
                f"{section}.terms.{name}={quoted(terms[name])}: must be a section with _target_; "
                f"see conf/{section}/."
            )
        if not (is_number(factor) and factor >= 0):
            raise ConfigError(
                f"{section}.factors.{name}={quoted(factor)}: must be a finite number of at least 0."
            )
