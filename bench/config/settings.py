"""The trainer's settings, checked before any training."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from bench.config.numbers import is_count, is_number
from bench.config.overrides import quoted
from bench.errors import ConfigError


@dataclass(frozen=True)
class TrainerSettings:
    """Settings of the training of one network; `conf/trainer/` holds the presets.

    Attributes:
        steps: Optimizer steps in total.
        batch_size: Samples per forward pass, over all devices together.
        accumulate: Forward passes per optimizer step.
        lr: Adam's learning rate.
        validate_every: Steps between two validations; the last step always validates.
        validation_pairs: Validation samples used each time, evenly spaced; None uses all.
        checkpoint_every: Steps between two resumable checkpoints; None means every validation.
        clip_norm: Largest norm of the gradient; larger ones are scaled to it; None never scales.
        schedule: `plateau` or `cosine`, see `bench.training.schedule`.
        warmup: Steps of linear warm-up; only with `cosine`.
        plateau_factor: Factor on the learning rate when the validation loss stops falling.
        plateau_patience: Validations without a better loss before that.
        early_stopping: Validations without a better loss before training ends; None never.
        on_oom: `fail`, or `halve`: when out of memory, training continues with half the batch and
            twice the accumulation, which gives the same numbers except with batch normalization or
            contrast within the batch.
        precision: `auto`, `float32` or `bfloat16` for the networks; losses are float32 always.
        compile: Whether to compile networks, see `bench.training.compilation`; `graphs` also
            replays their steps as CUDA graphs.
        recompute: Whether to compute heads at full resolution slab by slab and twice, which takes
            longer but less memory.
        accelerator: `auto`, `cpu` or `cuda`.
        devices: Number of devices, which divide the batch.
        progress: Whether to draw a progress bar.
    """

    steps: int
    batch_size: int
    lr: float
    validate_every: int
    accumulate: int = 1
    validation_pairs: int | None = None
    checkpoint_every: int | None = None
    clip_norm: float | None = None
    schedule: str = "plateau"
    warmup: int = 0
    plateau_factor: float = 0.1
    plateau_patience: int = 10
    early_stopping: int | None = None
    on_oom: str = "fail"
    precision: str = "auto"
    compile: bool | str = False
    recompute: bool = False
    accelerator: str = "auto"
    devices: int = 1
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate", "validate_every", "devices"):
            self._require(name, "a whole number of at least 1", is_count(getattr(self, name)))
        for name in ("validation_pairs", "checkpoint_every", "early_stopping"):
            value = getattr(self, name)
            self._require(
                name, "null or a whole number of at least 1", value is None or is_count(value)
            )
        self._require("lr", "a finite number above 0", is_number(self.lr) and self.lr > 0)
        self._require(
            "clip_norm",
            "null or a finite number above 0",
            self.clip_norm is None or (is_number(self.clip_norm) and self.clip_norm > 0),
        )
        self._require("schedule", "one of plateau, cosine", self.schedule in ("plateau", "cosine"))
        self._require(
            "warmup",
            "a whole number of at least 0",
            is_count(self.warmup, 0),
        )
        self._require(
            "plateau_factor",
            "a number between 0 and 1",
            is_number(self.plateau_factor) and 0 < self.plateau_factor < 1,
        )
        self._require(
            "plateau_patience",
            "a whole number of at least 0",
            is_count(self.plateau_patience, 0),
        )
        self._require("on_oom", "one of fail, halve", self.on_oom in ("fail", "halve"))
        self._require(
            "precision",
            "one of auto, float32, bfloat16",
            self.precision in ("auto", "float32", "bfloat16"),
        )
        self._require(
            "accelerator",
            "one of auto, cpu, cuda",
            self.accelerator in ("auto", "cpu", "cuda"),
        )
        self._require(
            "batch_size",
            f"a multiple of trainer.devices={self.devices}",
            self.batch_size % self.devices == 0,
        )
        self._require("compile", "true, false or graphs", self.compile in (True, False, "graphs"))
        self._require("recompute", "true or false", isinstance(self.recompute, bool))

    def halved(self) -> "TrainerSettings | None":
        """The same steps in forward passes of half the size; None if they cannot be halved."""
        if self.batch_size % (2 * self.devices):
            return None
        return replace(self, batch_size=self.batch_size // 2, accumulate=2 * self.accumulate)

    def _require(self, name: str, allowed: str, holds: bool) -> None:
        if not holds:
            raise ConfigError(f"trainer.{name}={quoted(getattr(self, name))}: must be {allowed}.")

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
    ) -> "TrainerSettings":
        """Reads the settings out of a resolved `trainer` section.

        Args:
            config: The section; other code reads `name`, `budget` and `dropout`.
            overrides: Values that replace those of the section (those of an extractor).

        Raises:
            ConfigError: If a value is out of range, or a key unknown.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(config) - known - {"name", "budget", "dropout"})
        if unknown:
            raise ConfigError(
                f"Unknown trainer.{unknown[0]}. Known: {', '.join(sorted(known | {'dropout'}))}."
            )
        values = {**config, **(overrides or {})}
        lacking = [f.name for f in fields(cls) if f.default is MISSING and f.name not in values]
        if lacking:
            raise ConfigError(f"trainer.{lacking[0]} is missing. Set it.")
        return cls(**{name: value for name, value in values.items() if name in known})
