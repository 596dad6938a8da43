"""How a report calls what it compares: no longer than it takes to tell it apart."""

from collections.abc import Mapping
from typing import Any

SHOWN_SETTINGS = 2
READING = 3  # where the key of a comparison says how its data were read


def comparison_names(
    readings: Mapping[tuple[str, ...], Mapping[str, Any]],
) -> dict[tuple[str, ...], str]:
    """The data set, and in parentheses what tells comparisons on one data set apart.

    Args:
        readings: By key, how the data set was read.
    """
    by_dataset: dict[str, list[tuple[str, ...]]] = {}
    for key in readings:
        by_dataset.setdefault(key[0], []).append(key)
    names = {}
    for dataset, own in by_dataset.items():
        differing = [i for i in range(len(own[0])) if len({key[i] for key in own}) > 1]
        settings = tell_apart({key[READING]: readings[key] for key in own})
        for key in own:
            parts = [settings[key[i]] if i == READING else key[i] for i in differing]
            names[key] = f"{dataset} ({', '.join(parts)})" if parts else dataset
    return names


def tell_apart(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The one or two settings in which things differ, or their names if they differ in more.

    Args:
        settings: Flat settings by name.

    Returns:
        By name, such as `trainer.steps=100`; empty if there is one thing only.
    """
    if len(settings) == 1:
        return dict.fromkeys(settings, "")
    keys = sorted({key for own in settings.values() for key in own})
    differing = [k for k in keys if len({str(own.get(k)) for own in settings.values()}) > 1]
    if not 0 < len(differing) <= SHOWN_SETTINGS:
        return {name: name for name in settings}
    return {
        name: " ".join(f"{key}={own.get(key)}" for key in differing)
        for name, own in settings.items()
    }


def variant_labels(
    summaries: list[dict[str, Any]], trainings: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], str]:
    """Label of each (metric, variant): the metric and the settings in which variants differ."""
    variants: dict[str, dict[str, Mapping[str, Any]]] = {}
    for own in summaries:
        variants.setdefault(own["metric"], {})[own["variant"]] = trainings[own["run"]]
    return {
        (metric, variant): f"{metric} {told}".strip()
        for metric, settings in variants.items()
        for variant, told in tell_apart(settings).items()
    }
