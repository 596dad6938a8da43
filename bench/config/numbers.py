"""What counts as a number in a configuration."""

import math
from typing import Any

LARGEST_WEIGHT = 1e30  # single precision ends at 3.4e38


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def is_count(value: Any, least: int = 1) -> bool:
    """Whether a value is a whole number of at least `least`; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_weight(value: Any) -> bool:
    """Whether a value is a number that a part of a loss may be multiplied with."""
    return is_number(value) and 0 <= value <= LARGEST_WEIGHT
