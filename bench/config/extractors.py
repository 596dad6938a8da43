"""The `extractor` sections of a metric and of its terms."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from bench.config.overrides import quoted
from bench.config.settings import TrainerSettings
from bench.errors import ConfigError

OF_EXTRACTORS = ("steps", "early_stopping")  # settings of the trainer that extractors have as keys


def extractor_sections(
    metric: Mapping[str, Any], place: str = "metric"
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The `extractor` sections of a metric and its terms, each with its place."""
    if "extractor" in metric:
        yield place, metric["extractor"]
    for name, term in metric.get("terms", {}).items():
        yield from extractor_sections(term, f"{place}.terms.{name}")


def check_metric(metric: Any, trainer: Mapping[str, Any], place: str = "metric") -> None:
    """Raises ConfigError unless the terms of a metric are metrics, and its extractors can learn.

    Args:
        metric: The section of a metric.
        trainer: The section `trainer`.
        place: Where the metric stands, for messages.
    """
    if not isinstance(metric, Mapping):
        raise ConfigError(
            f"{place}={quoted(metric)}: must be a metric, such as +metric@{place}=ncc, or left out."
        )
    if "extractor" in metric:
        _check_extractor(place, metric["extractor"], trainer)
    terms = metric.get("terms", {})
    if not isinstance(terms, Mapping):
        raise ConfigError(
            f"{place}.terms={quoted(terms)}: must be metrics by name, such as "
            f"+metric@{place}.terms.mse=mse with +{place}.factors.mse=1."
        )
    for name, term in terms.items():
        check_metric(term, trainer, f"{place}.terms.{name}")


def extractor_trainer(trainer: Mapping[str, Any], extractor: Mapping[str, Any]) -> dict[str, Any]:
    """The section `trainer` for an extractor, with the extractor's own settings."""
    lengths = {key: extractor[key] for key in OF_EXTRACTORS if key in extractor}
    return {**trainer, **(extractor.get("trainer") or {}), **lengths}


def extractor_augmentation(
    augmentation: Mapping[str, Any], extractor: Mapping[str, Any]
) -> dict[str, Any]:
    """The section `dataset.augmentation` for an extractor, with the extractor's own options."""
    return {**augmentation, **(extractor.get("augmentation") or {})}


def _check_extractor(place: str, section: Any, trainer: Mapping[str, Any]) -> None:
    """Raises ConfigError unless an `extractor` section defines a valid training."""
    option = f"{place}.extractor"
    if not isinstance(section, Mapping) or "_target_" not in section:
        raise ConfigError(
            f"{option}={quoted(section)}: must be a section with _target_; see conf/metric/."
        )
    steps, dataset = section.get("steps"), section.get("dataset")
    counted = isinstance(steps, int) and not isinstance(steps, bool) and steps >= 0
    if "state_dict" not in section and not counted:
        raise ConfigError(f"{option}.steps={quoted(steps)}: must be a whole number of at least 0.")
    if "channels" in section and not _are_widths(section["channels"]):
        raise ConfigError(
            f"{option}.channels={quoted(section['channels'])}: must be a list of whole numbers "
            "above 0, one per stage, such as [16,32,64]."
        )
    if dataset is not None and not isinstance(dataset, str):
        raise ConfigError(
            f"{option}.dataset={quoted(dataset)}: must be the name of one data set, or null."
        )
    if dataset is None and section.get("root") is not None:
        raise ConfigError(
            f"{option}.root={quoted(section['root'])}: is for another data set; name that data set "
            f"with {option}.dataset. The folder of the run's data set is dataset.root."
        )
    for key in ("trainer", "augmentation"):
        if section.get(key) is not None and not isinstance(section[key], Mapping):
            raise ConfigError(f"{option}.{key}={quoted(section[key])}: must be a section, or null.")
    for key in sorted(section.get("trainer") or {}):
        if key in (*OF_EXTRACTORS, "dropout"):
            raise ConfigError(f"{option}.trainer.{key}: set {option}.{key}.")
        if key in ("name", "budget"):
            differing = sorted({entry.name for entry in fields(TrainerSettings)} - {*OF_EXTRACTORS})
            raise ConfigError(
                f"{option}.trainer.{key}: applies to the whole run. An extractor may differ in "
                f"{', '.join(differing)}."
            )
    if "state_dict" not in section:
        _check_training(option, section, trainer)


def _are_widths(channels: Any) -> bool:
    return (
        isinstance(channels, list)
        and bool(channels)
        and all(isinstance(c, int) and not isinstance(c, bool) and c > 0 for c in channels)
    )


def _check_training(option: str, section: Mapping[str, Any], trainer: Mapping[str, Any]) -> None:
    """Raises ConfigError if an extractor's trainer setting is out of range or unknown."""
    settings = extractor_trainer(trainer, section)
    try:
        TrainerSettings.from_config({**settings, "steps": max(settings["steps"], 1)})
    except ConfigError as error:
        mine = {key: f"{option}.trainer.{key}" for key in section.get("trainer") or {}}
        mine |= {key: f"{option}.{key}" for key in set(OF_EXTRACTORS) & set(section)}
        text = re.sub(r"\btrainer\.(\w+)", lambda found: mine.get(found[1], found[0]), str(error))
        raise ConfigError(text) from error
