"""The range of λ that one network learns: `model.conditioned=lambda`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.config.numbers import LARGEST_WEIGHT, is_number
from bench.config.overrides import quoted
from bench.errors import ConfigError

USUAL = (1 / 8, 8)  # of the tuned λ
LEAST = 1e-30  # of a range
NARROWEST = 1.1  # of a range: its largest by its smallest
TOLERANCE = 1e-5  # relative: λ of a grid are products that are rounded


@dataclass(frozen=True)
class WeightRange:
    """The λ that a network is conditioned on.

    Attributes:
        low: The least, above 0.
        high: The largest.
    """

    low: float
    high: float

    @property
    def middle(self) -> float:
        """The geometric mean of the ends."""
        return math.sqrt(self.low * self.high)

    def at(self, place: float) -> float:
        """λ at a position on the logarithmic scale, -1 for the smallest and 1 for the largest."""
        return self.middle * (self.high / self.low) ** (place / 2)

    def __contains__(self, weight: float) -> bool:
        return self.low * (1 - TOLERANCE) <= weight <= self.high * (1 + TOLERANCE)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


def with_range(model: Mapping[str, Any], tuned: float) -> dict[str, Any]:
    """A section `model` whose `lambda_range` is set.

    Args:
        model: The section, of a network that is conditioned.
        tuned: the tuned λ for data set and metric.

    Raises:
        ConfigError: If `conditioned` or `lambda_range` cannot be used.
    """
    condition = model["conditioned"]
    if condition != "lambda":
        raise ConfigError(f"model.conditioned={quoted(condition)}: must be lambda or null.")
    given = model.get("lambda_range")
    ends = [factor * tuned for factor in USUAL] if given is None else given
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(is_number, ends)):
        raise ConfigError(
            f"model.lambda_range={quoted(given)}: must be two numbers, the smallest and the "
            "largest λ, such as [0.02,1.6]."
        )
    low, high = ends
    if not 0 < low < high:
        raise ConfigError(
            f"model.lambda_range={quoted(given)}: must ascend and be above 0, since the network "
            "learns λ on a logarithmic scale. Give the smallest and the largest λ, such as "
            "[0.02,1.6]."
        )
    if not LEAST <= low < high <= LARGEST_WEIGHT:
        raise ConfigError(
            f"model.lambda_range={quoted(given)}: must lie between {LEAST:g} and "
            f"{LARGEST_WEIGHT:g}, since networks compute λ in single precision. Give the smallest "
            "and the largest λ, such as [0.02,1.6]."
        )
    if high < NARROWEST * low:
        raise ConfigError(
            f"model.lambda_range={quoted(given)}: its largest λ must be at least {NARROWEST:g} "
            "times the smallest. Leave model.conditioned out for a single λ."
        )
    return {**model, "lambda_range": [float(low), float(high)]}


def weight_range(model: Mapping[str, Any]) -> WeightRange | None:
    """The range of λ that a network is conditioned on; None if it is not."""
    return WeightRange(*model["lambda_range"]) if model.get("conditioned") else None


def check_in_range(regularizer: Mapping[str, Any], tuned: float, model: Mapping[str, Any]) -> None:
    """Raises ConfigError if a network that is conditioned on λ does not learn this one.

    Args:
        regularizer: The section, with its λ.
        tuned: The tuned λ for data set and metric.
        model: The section, with its range.
    """
    weights = weight_range(model)
    weight, scale = regularizer["weight"], regularizer.get("scale", 1)
    if weights is None or weight in weights:
        return
    given = f"regularizer.weight={weight:g}"
    if scale != 1 and math.isclose(weight, scale * tuned):
        given = f"regularizer.scale={scale:g} (λ = {weight:g})"
    instead = "leave model.conditioned out, since a range lies above 0"
    if weight > 0:
        low, high = (factor * weight for factor in USUAL)
        instead = f"set model.lambda_range, such as [{low:g},{high:g}]"
    raise ConfigError(
        f"{given}: is outside {weights}, the λ that model.conditioned=lambda learns. Choose one in "
        f"this range, or {instead}."
    )
