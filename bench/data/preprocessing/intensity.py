"""Intensity policies, which normalize grey values."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from bench.config.numbers import is_number
from bench.config.overrides import quoted
from bench.errors import ConfigError, DataError

POLICIES = ("keep", "divide", "bits", "range", "quantile", "zscore")


@dataclass(frozen=True)
class Intensity:
    """Normalization of intensities, before cropping or padding.

    Attributes:
        policy: `keep`; `divide` by `by`; `bits`, which divides by 2 to the power of the pixels'
            bits; `range`, which maps `low` and `high` to 0 and 1 and clips what lies outside;
            `quantile`, the same with these quantiles of the image; or `zscore`, mean 0 and
            standard deviation 1.
        by: Divisor.
        low: Intensity, or quantile in [0, 1].
        high: Intensity, or quantile in [0, 1].
    """

    policy: str = "keep"
    by: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ConfigError(
                f"dataset.intensity.policy={quoted(self.policy)}: must be "
                f"one of {', '.join(POLICIES)}."
            )
        for name in ("by", "low", "high"):
            if not is_number(getattr(self, name)):
                raise ConfigError(
                    f"dataset.intensity.{name}={quoted(getattr(self, name))}: must be a finite "
                    "number."
                )
        if not self.by > 0:
            raise ConfigError(f"dataset.intensity.by={quoted(self.by)}: must be above 0.")
        if self.policy == "quantile" and not 0 <= self.low < self.high <= 1:
            raise ConfigError(
                f"dataset.intensity: quantiles low={self.low}, high={self.high} must satisfy "
                "0 <= low < high <= 1."
            )
        if not self.low < self.high:
            raise ConfigError(f"dataset.intensity: low={self.low} must be below high={self.high}.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Intensity":
        """Reads and checks the section `dataset.intensity`."""
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(config) - set(known))
        if unknown:
            raise ConfigError(f"Unknown dataset.intensity.{unknown[0]}. Known: {', '.join(known)}.")
        return cls(**config)

    def step(self, dtype: np.dtype) -> float | None:
        """The difference of two neighbouring grey values of 8-bit pixels, where it is fixed."""
        if dtype != np.uint8:
            return None
        return {"keep": 1.0, "divide": 1.0 / self.by, "bits": 1.0 / 256}.get(self.policy)

    def apply(self, image: np.ndarray, where: str, stored: np.dtype | None = None) -> np.ndarray:
        """The image normalized.

        Args:
            image: Of any numeric type.
            where: Names the file in messages.
            stored: Type of the pixels in the file, if they were resampled.

        Returns:
            float32 of the same shape.

        Raises:
            DataError: If the policy does not fit the image.
        """
        if self.policy == "bits":
            stored = stored or image.dtype
            if stored.kind != "u":
                raise DataError(
                    f"{where}: {stored} pixels have no bit depth to divide by. Set "
                    "dataset.intensity.policy to quantile or range."
                )
            return (image / np.float32(2.0 ** (8 * stored.itemsize))).astype(np.float32)
        image = image.astype(np.float32, copy=False)
        if self.policy == "divide":
            return image / np.float32(self.by)
        if self.policy == "zscore":
            return (image - image.mean(dtype=np.float64)).astype(np.float32) / np.float32(
                image.std(dtype=np.float64)
            )
        if self.policy in ("range", "quantile"):
            low, high = self.low, self.high
            if self.policy == "quantile":
                low, high = np.quantile(image, [low, high])
                if not low < high:
                    raise DataError(
                        f"{where}: its quantiles {self.low:g} and {self.high:g} are both {low:g}. "
                        "Choose quantiles further apart in dataset.intensity."
                    )
            elif image.max() <= low or image.min() >= high:
                raise DataError(
                    f"{where}: intensities {image.min():g} to {image.max():g} lie outside "
                    f"low={low:g}, high={high:g}, so clipping would leave nothing. Correct "
                    "dataset.intensity."
                )
            return ((np.clip(image, low, high) - low) / (high - low)).astype(np.float32)
        return image
