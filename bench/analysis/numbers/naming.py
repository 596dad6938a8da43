"""Names in a report, only as long as necessary to be distinct."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from bench.analysis.reading.metrics import method_of
from bench.config.identity import digest
from bench.errors import counted
from bench.store.layout import CODE

SHOWN_SETTINGS = 2
ONE_NETWORK = "one network for λ"
FOR_ALL = "one network for every λ"
WORDS = {  # of settings, where their names are not
    "added_noise": "noise",
    "_target_": "class",
    "conditioned": ONE_NETWORK,
    "model.conditioned": ONE_NETWORK,
}
ABSENT = {"conditioned": "a network per λ", "model.conditioned": "a network per λ"}
LONGEST = 6  # elements of a list that are said; of more, how many
COUNTS = "subjects_per_split"  # settings that choose how many subjects are read
LENGTHS = {"shape", "spacing", "crop", "size"}  # settings that are a number along each axis


@dataclass(frozen=True)
class Ground:
    """What runs must share to be compared.

    Attributes:
        dataset: Name of the data set.
        schema: Version of the store.
        data: Hash of the content of the data.
        reading: Hash of how they were read.
        pairs: Number of the test pairs.
        subjects: Hash of their subjects.
    """

    dataset: str
    schema: int
    data: str
    reading: str
    pairs: int
    subjects: str


def comparison_names(
    readings: Mapping[Ground, Mapping[str, Any]], roots: Mapping[Ground, str]
) -> dict[Ground, str]:
    """The data set, and in parentheses what distinguishes comparisons on one data set.

    Names state the settings in which they were read differently, but not how many subjects were
    asked for if the number of test pairs tells them apart; then, as far as names are still equal,
    the number of test pairs, the folder of the files, the version of the store. Files and test
    pairs that nothing else distinguishes are numbered.

    Args:
        readings: How the data set was read.
        roots: Folder of its files; empty if it has none.
    """
    by_dataset: dict[str, list[Ground]] = {}
    for ground in readings:
        by_dataset.setdefault(ground.dataset, []).append(ground)
    names = {}
    for dataset, grounds in by_dataset.items():
        settings = tell_apart(_without_counts({ground: readings[ground] for ground in grounds}))
        parts = {ground: [settings[ground.reading]] for ground in grounds}
        folders = {ground: PurePath(roots[ground]).name for ground in grounds}
        for words in (
            {ground: counted(ground.pairs, "test pair") for ground in grounds},
            {ground: f"files of {folders[ground]}" for ground in grounds},
            {ground: f"schema {ground.schema}" for ground in grounds},
            _numbers("files", {ground: ground.data for ground in grounds}),
            _numbers("test pairs", {ground: ground.subjects for ground in grounds}),
        ):
            for alike in _alike(parts):
                if len({words[ground] for ground in alike}) > 1:
                    for ground in alike:
                        parts[ground].append(words[ground])
        for ground, said in parts.items():
            known = ", ".join(filter(None, said))
            names[ground] = f"{dataset} ({known})" if known else dataset
    return names


def _without_counts(
    readings: Mapping[Ground, Mapping[str, Any]],
) -> dict[str, Mapping[str, Any]]:
    """Readings by their hash; without the number of subjects if that of test pairs says as much."""
    shorter = {
        ground: {key: value for key, value in reading.items() if not key.startswith(COUNTS)}
        for ground, reading in readings.items()
    }
    told: dict[tuple[str, int], set[str]] = {}
    for ground, reading in shorter.items():
        told.setdefault((digest(reading), ground.pairs), set()).add(ground.reading)
    enough = all(len(alike) == 1 for alike in told.values())
    return {
        ground.reading: reading for ground, reading in (shorter if enough else readings).items()
    }


def _alike(parts: Mapping[Ground, Sequence[str]]) -> list[list[Ground]]:
    """Those that are still called the same."""
    groups: dict[tuple[str, ...], list[Ground]] = {}
    for ground, said in parts.items():
        groups.setdefault(tuple(said), []).append(ground)
    return [group for group in groups.values() if len(group) > 1]


def _numbers(what: str, values: Mapping[Ground, str]) -> dict[Ground, str]:
    """What has no words, numbered."""
    order = sorted(set(values.values()))
    return {ground: f"{what} {order.index(value) + 1}" for ground, value in values.items()}


def tell_apart(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The settings in which things differ, such as `noise 0.2`; what is null is not said.

    Of more than two the most telling are said, then `…`, see `telling`.

    Args:
        settings: Flat settings by name.

    Returns:
        By name; empty if there is one thing only, and for one in which all of them are null.
    """
    shown, more = telling(settings)
    found = {}
    for name, values in settings.items():
        said = [worded(key, values[key]) for key in sorted(shown) if values.get(key) is not None]
        found[name] = ", ".join([*said, "…"] if said and more else said)
    return found


def telling(settings: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], bool]:
    """The settings in which things differ: two, or as many as it takes to tell them apart.

    Args:
        settings: Flat settings by name.

    Returns:
        Their names, those first that split the things into most groups, and whether there are more.
    """
    keys = sorted({key for of_one in settings.values() for key in of_one})
    values = {
        key: {name: str(of_one.get(key)) for name, of_one in settings.items()} for key in keys
    }
    left = [key for key in keys if len(set(values[key].values())) > 1]
    shown: list[str] = []

    def groups(chosen: list[str]) -> int:
        return len({tuple(values[key][name] for key in chosen) for name in settings})

    enough = groups(left)
    while left and (len(shown) < SHOWN_SETTINGS or groups(shown) < enough):
        best = max(left, key=lambda key: (groups([*shown, key]), "_target_" not in key))
        left.remove(best)
        shown.append(best)
    return shown, bool(left)


def worded(setting: str, value: Any) -> str:
    """A setting and its value in words: `added_noise` of 0.2 is `noise 0.2`."""
    name = WORDS.get(setting) or " ".join(setting.replace(".", " ").replace("_", " ").split())
    if isinstance(value, list) and len(value) > LONGEST:
        return f"{len(value)} {name}"
    if isinstance(value, list):
        between = "x" if setting.rpartition(".")[2] in LENGTHS else " "
        return f"{name} {between.join(map(str, value))}"
    absent = ABSENT.get(setting, f"without {name}")
    said = {"True": f"with {name}", "False": f"without {name}", "None": absent}
    return said.get(str(value), f"{name} {value}")


def minimizing_models(summaries: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of the models that minimized metrics.

    Args:
        summaries: With `metric`, which a method without has not or has as its model, and `model`.
    """
    models = {(method_of(summary), str(summary.get("model"))) for summary in summaries}
    return {model for metric, model in models if metric != model}


def variant_labels(
    summaries: list[dict[str, Any]],
    trainings: Mapping[str, Mapping[str, Any]],
    models: Collection[str] | None = None,
) -> dict[tuple[str, str], str]:
    """Label of each (metric, variant): the metric, and its distinguishing settings in words.

    The model is said where several models minimized metrics, then the settings in which variants of
    metric and model differ, such as `ncc voxelmorph integrate 7`.

    Args:
        summaries: With `metric` (the model for a method without), `model`, `variant` and `run`.
        trainings: Flat settings by run.
        models: Those that minimized metrics anywhere in the report, so that a method has one label
            on all data sets; None for those of the summaries.
    """
    if models is None:
        models = minimizing_models(summaries)
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

    Of more than two the most telling are said, then `…`, see `telling`. Variants that no setting
    tells apart are numbered.

    Args:
        settings: Flat settings by variant.
    """
    shown, more = telling(settings)
    short = {key: key if key.startswith(f"{CODE}.") else key.partition(".")[2] for key in shown}
    if len(set(short.values())) < len(short):
        short = {key: key for key in shown}
    said = {
        name: " ".join(
            [
                *(worded(short[key], of_one.get(key)) for key in shown),
                *["…"] * more,
            ]
        )
        for name, of_one in settings.items()
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
