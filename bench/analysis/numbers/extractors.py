"""How well extractors learned their task."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.numbers.grading import DAMAGED, grade
from bench.analysis.numbers.naming import tell_apart
from bench.analysis.reading.exported import read_extractors
from bench.analysis.reading.exported_tables import is_exported
from bench.analysis.reading.records import flat
from bench.config.extractors import extractor_sections
from bench.config.synthesis import DISTANCE, JUDGES, SEGMENTER
from bench.store.files import read_json
from bench.store.layout import CONFIG, EXTRACTORS, HEADER
from bench.store.listing import list_folders
from bench.store.standing import Status

OF_THE_METRIC = "metric"
JUDGED_BY = {"distance": DISTANCE, "dice": SEGMENTER}  # scores of a synthesis, and their judges
COLUMNS = [
    *("extractor", "dataset", "task", "channels", "noise", "seed", "steps", "best_step"),
    *("training_seconds", "score", "value", "settings"),
]
SHOWN = {  # of an identity, in columns or not in words
    *("schema", "seed", "extractor.channels", "extractor.steps", "trainer.steps"),
    *("dataset.name", "dataset.fingerprint", "dataset.settings.added_noise"),
}


def extractor_rows(results: Path, runs: Iterable[Mapping[str, Any]] | None = None) -> pd.DataFrame:
    """The extractors of a folder of results, or of exported tables, that have been trained.

    Args:
        results: The folder.
        runs: Summaries of runs that used them; None for all.

    Returns:
        `COLUMNS`: `score` and `value` are of validation images, `noise` is that of the images,
        `settings` are further ones in which extractors of one data set and task differ; exported
        tables do not have these. One that is damaged has the score `DAMAGED` and nothing else but
        what names it.
    """
    rows = (
        read_extractors(results).reindex(columns=COLUMNS)
        if is_exported(results)
        else _trained(results)
    )
    if runs is None:
        return rows
    used = {one.get("name") for run in runs for one in run.get("extractors", [])}
    return rows[rows["extractor"].isin(used)]


def _trained(results: Path) -> pd.DataFrame:
    """The rows of the extractors of a folder of results."""
    rows: list[dict[str, Any]] = []
    identities: dict[tuple[Any, Any], dict[str, dict[str, Any]]] = {}
    for folder in list_folders(results, EXTRACTORS):
        found = folder.standing()
        row: dict[str, Any] = {"extractor": folder.path.name}
        if found.status is Status.DAMAGED:
            header = read_json(folder.file(HEADER)) or {}
            rows.append({**header, **row, "score": DAMAGED})
        if found.status is not Status.FINISHED or found.summary is None:
            continue
        identity = read_json(folder.file(CONFIG)) or {}
        row |= {name: found.summary.get(name) for name in COLUMNS[1:-3]}
        alike = identities.setdefault((row["dataset"], row["task"]), {})
        alike[row["extractor"]] = _further(identity)
        row["channels"] = identity.get("extractor", {}).get("channels")
        row["noise"] = identity.get("dataset", {}).get("settings", {}).get("added_noise")
        for name, score in found.summary["scores"].items():
            rows.append({**row, "score": name, "value": score["mean"]})
    told = {name: said for alike in identities.values() for name, said in tell_apart(alike).items()}
    for row in rows:
        row["settings"] = told.get(row["extractor"]) or None
    return pd.DataFrame(rows, columns=COLUMNS)


def _further(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of an extractor that no column shows, by their names without those of sections."""
    kept = {name: value for name, value in flat(identity).items() if name not in SHOWN}
    return {
        name.removeprefix("dataset.").removeprefix("settings."): value
        for name, value in kept.items()
    }


def learned(runs: Iterable[Mapping[str, Any]]) -> str | None:
    """Scores of the extractors of some runs, averaged over the runs; None if there are none.

    Args:
        runs: Summaries, of several seeds say.
    """
    found: dict[str, list[Mapping[str, float]]] = {}
    for run in runs:
        for extractor in run.get("extractors", []):
            found.setdefault(extractor["task"], []).append(extractor.get("scores", {}))
    texts = [text for scores in found.values() for text in _means(scores)]
    return ", ".join(texts) or None


def by_role(
    config: Mapping[str, Any], summary: Mapping[str, Any]
) -> dict[str, list[Mapping[str, Any]]]:
    """The extractors of a run by what they are for: `OF_THE_METRIC`, or the key of a judge.

    A run lists those of its metric first, then those of the judges whose scores it has.

    Args:
        config: Its configuration.
        summary: Its summary.
    """
    judges = config.get("task", {}).get(JUDGES) or {}
    judged = {judge for score, judge in JUDGED_BY.items() if score in summary["scores"]}
    metrics = {OF_THE_METRIC: config["metric"]}
    metrics |= {name: metric for name, metric in judges.items() if name in judged}
    listed = iter(summary.get("extractors", []))
    return {role: list(islice(listed, _learning(metric))) for role, metric in metrics.items()}


def _learning(metric: Mapping[str, Any]) -> int:
    """How many extractors of a metric learn, rather than come with their weights."""
    return sum("steps" in section for _, section in extractor_sections(metric))


def _means(scores: Sequence[Mapping[str, float]]) -> list[str]:
    means = pd.DataFrame(scores).mean()
    return [grade(str(name), value) for name, value in means.items()] or ["random"]
