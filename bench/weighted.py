"""What weighted sums of metrics and of regularizers share."""

from collections.abc import Mapping
from typing import Any

from bench.errors import ConfigError


def check_terms(section: str, terms: Mapping[str, Any], factors: Mapping[str, Any]) -> None:
    """Raises ConfigError unless each term has one factor, under the same name, that is a number."""
    if not terms or set(terms) != set(factors):
        raise ConfigError(
            f"{section}.factors has {sorted(factors)} but {section}.terms has {sorted(terms)}: "
            "give each term one factor, under the same name."
        )
    for name, factor in factors.items():
        if isinstance(factor, bool) or not isinstance(factor, int | float):
            raise ConfigError(f"{section}.factors.{name}={factor}: must be a number.")
