"""How a report calls what it compares: no longer than it takes to tell it apart."""

from collections.abc import Mapping
from typing import Any

SHOWN_SETTINGS = 2
READING = 3  # where the key of a comparison says how its data were read
WORDS = {
    "added_noise": "noise",
    "_target_": "class",
    "conditioned": "learned λ",
}  # of settings, where their names are not


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
    for dataset, keys in by_dataset.items():
        differing = [i for i in range(len(keys[0])) if len({key[i] for key in keys}) > 1]
        settings = tell_apart({key[READING]: readings[key] for key in keys})
        for key in keys:
            parts = [settings[key[i]] if i == READING else key[i] for i in differing]
            parts = [part for part in parts if part]
            names[key] = f"{dataset} ({', '.join(parts)})" if parts else dataset
    return names


def tell_apart(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The one or two settings in which things differ, or their names if they differ in more.

    Args:
        settings: Flat settings by name.

    Returns:
        By name, such as `noise 0.2`; what is null is not said. Empty if there is one thing only,
        and for the one in which all of them are null.
    """
    if len(settings) == 1:
        return dict.fromkeys(settings, "")
    keys = sorted({key for values in settings.values() for key in values})
    differing = [k for k in keys if len({str(values.get(k)) for values in settings.values()}) > 1]
    if not 0 < len(differing) <= SHOWN_SETTINGS:
        return {name: name for name in settings}
    return {
        name: ", ".join(
            worded(key, str(values[key])) for key in differing if values.get(key) is not None
        )
        for name, values in settings.items()
    }


def worded(setting: str, value: str) -> str:
    """A setting and its value in words: `added_noise` of `0.2` is `noise 0.2`."""
    name = WORDS.get(setting) or " ".join(setting.replace(".", " ").replace("_", " ").split())
    said = {"True": f"with {name}", "False": f"without {name}", "None": f"without {name}"}
    return said.get(value, f"{name} {value}")


def variant_labels(
    summaries: list[dict[str, Any]], trainings: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], str]:
    """Label of each (metric, variant): the metric, and in words what tells it from the others.

    The model is said where several models minimized metrics, then the settings in which variants of
    metric and model differ, such as `ncc voxelmorph integrate 7`.

    Args:
        summaries: With `metric` (the model for a method without), `model`, `variant` and `run`.
        trainings: Flat settings by run.
    """
    models = {str(summary.get("model")) for summary in summaries} - {s["metric"] for s in summaries}
    alike: dict[tuple[str, str], dict[str, Mapping[str, Any]]] = {}
    for summary in summaries:
        metric, model = summary["metric"], str(summary.get("model"))
        alike.setdefault((metric, model), {})[summary["variant"]] = trainings[summary["run"]]
    labels = {}
    for (metric, model), settings in alike.items():
        said = model if len(models) > 1 and model != metric else ""
        for variant, differing in in_words(settings).items():
            labels[metric, variant] = " ".join(filter(None, [metric, said, differing]))
    return labels


def in_words(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The settings in which variants differ, such as `steps 100`.

    Of more than two the most telling are said: those that split the variants into most groups, as
    many as it takes, then `…`. Variants that no setting tells apart are numbered.

    Args:
        settings: Flat settings by variant.
    """
    keys = sorted({key for of_one in settings.values() for key in of_one})
    values = {
        key: {name: str(of_one.get(key)) for name, of_one in settings.items()} for key in keys
    }
    left = [key for key in keys if len(set(values[key].values())) > 1]
    shown: list[str] = []

    def groups(chosen: list[str]) -> int:
        return len({tuple(values[key][name] for key in chosen) for name in settings})

    count, enough = len(left), groups(left)
    while left and (len(shown) < SHOWN_SETTINGS or groups(shown) < enough):
        best = max(left, key=lambda key: (groups([*shown, key]), "_target_" not in key))
        left.remove(best)
        shown.append(best)
    short = {key: key.partition(".")[2] for key in shown}
    if len(set(short.values())) < len(short):
        short = {key: key for key in shown}
    said = {
        name: " ".join(
            [
                *(worded(short[key], values[key][name]) for key in shown),
                *["…"] * (count > len(shown)),
            ]
        )
        for name in settings
    }
    return _numbered(said)


def _numbered(said: Mapping[str, str]) -> dict[str, str]:
    """Texts, each with a number where several are the same."""
    found = {}
    for name, text in said.items():
        same = sorted(other for other in said if said[other] == text)
        number = f"({same.index(name) + 1})" if len(same) > 1 else ""
        found[name] = " ".join(filter(None, [text, number]))
    return found
