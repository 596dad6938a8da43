"""Composing a configuration from overrides, as run.py does."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.config.groups import CONF
from bench.config.numbers import LARGEST_WEIGHT, is_number, is_weight
from bench.config.overrides import quoted
from bench.errors import ConfigError

UNTUNED_WEIGHT = 1.0


def register_resolvers() -> None:
    """Makes `${tuned_weight:SCALE}` known to OmegaConf."""
    OmegaConf.register_new_resolver("tuned_weight", _tuned_weight, replace=True)


def _tuned_weight(scale: float, *, _root_: DictConfig) -> Any:
    tuned = tabulated_weight(_root_) or UNTUNED_WEIGHT
    if not (is_number(scale) and is_weight(scale * tuned)):
        raise ConfigError(
            f"regularizer.scale={quoted(scale)}: must be a number from 0 to "
            f"{LARGEST_WEIGHT / tuned:g}."
        )
    return scale * tuned


def tabulated_weight(config: DictConfig) -> float | None:
    """λ of `conf/tuned_weights.yaml` for the data set and metric; None if there is none."""
    return config.tuned_weights.get(config.dataset.name, {}).get(config.metric.name)


def compose(overrides: Sequence[str]) -> DictConfig:
    """The configuration that run.py gets with these overrides."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra

    register_resolvers()
    if GlobalHydra.instance().is_initialized():  # within run.py, which may know further folders
        return hydra.compose("config", list(overrides))
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", list(overrides))
