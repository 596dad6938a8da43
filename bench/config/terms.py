"""Checks that weighted sums of metrics and of regularizers share."""

import math
from collections.abc import Mapping
from typing import Any

from bench.errors import ConfigError


def check_terms(section: str, terms: Mapping[str, Any], factors: Mapping[str, Any]) -> None:
    """Raises ConfigError unless each term has one factor of 0 or more, under the same name."""
    if not terms or set(terms) != set(factors):
        raise ConfigError(
            f"{section}.factors has {sorted(factors)} but {section}.terms has {sorted(terms)}: "
            "give each term one factor, under the same name."
        )
    for name, factor in factors.items():
        is_number = isinstance(factor, int | float) and not isinstance(factor, bool)
        if not (is_number and 0 <= factor < math.inf):
            raise ConfigError(f"{section}.factors.{name}={factor}: must be a number of at least 0.")
