"""How long a run of a sweep still takes, and how much memory, judging by finished runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.store.standing import Status
from bench.sweeps.cells import NOTHING_LEFT, Cell


def estimate(cell: Cell, summaries: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds that a run still takes, from finished runs; None if there is no guide.

    Of a run that trains, its training; of another one, the registration of its pairs.
    """
    if cell.status in NOTHING_LEFT:
        return 0.0
    if "trainer" not in cell.experiment.uses or cell.waits:
        return _time_of_registrations(cell, summaries)
    steps = cell.experiment.settings.steps
    if cell.status is Status.RESUMABLE and cell.folder:
        steps -= (cell.network or cell.folder).steps_done()
    rates = sorted(
        summary["training_seconds"] / summary["steps"]
        for summary in _alike(cell, [summary for summary in summaries if _has_trained(summary)])
    )
    return rates[len(rates) // 2] * steps if rates else None


def _has_trained(summary: Mapping[str, Any]) -> bool:
    """Whether a run has trained, rather than taken the network of another or trained nothing."""
    return bool(summary.get("steps") and summary.get("training_seconds"))


def _time_of_registrations(cell: Cell, summaries: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds that a run of the same method took for its test and validation pairs."""
    experiment = cell.experiment
    same = [one for one in summaries if one.get("model") == experiment["model"]["name"]]
    known = sorted(
        (score["mean"], score["n"])
        for summary in _alike(cell, same)
        if (score := summary["scores"].get("seconds")) and score["n"]
    )
    if not known:
        return None
    seconds, tested = known[len(known) // 2]
    validated = experiment.settings.validation_pairs if "regularizer" in experiment.uses else 0
    return seconds * (tested + (tested if validated is None else validated))


def estimate_memory(cell: Cell, summaries: Sequence[Mapping[str, Any]]) -> int | None:
    """Most bytes that a finished run like this one took; None if there is no guide."""
    known = [
        summary["training_memory"]
        for summary in _alike(cell, summaries)
        if summary.get("training_memory")
    ]
    return max(known, default=None)


def _alike(cell: Cell, summaries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Summaries of the same data set and metric, or else of the same data set.

    Tasks that register nothing take other times than registrations.
    """
    names = cell.names
    groups = {group: cell.experiment[group]["name"] for group in ("task", "model")}
    kind = _registers_nothing(groups)
    summaries = [summary for summary in summaries if _registers_nothing(summary) == kind]
    for keys in (("dataset", "metric"), ("dataset",)):
        found = [
            summary for summary in summaries if all(summary.get(key) == names[key] for key in keys)
        ]
        if found:
            return found
    return []


def _registers_nothing(names: Mapping[str, Any]) -> str:
    """The task of a run that registers nothing, which is its model, too; empty for others."""
    task = names.get("task") or ""
    return task if names.get("model") == task else ""
