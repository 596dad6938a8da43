"""How well extractors learned their task."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.reading.exported import read_extractors
from bench.analysis.reading.exported_tables import is_exported
from bench.store.files import read_json
from bench.store.folder import CONFIG, EXTRACTORS, HEADER, Status, list_folders

WORDS = {"dice": "Dice", "reconstruction_error": "error", "matched": "matched"}
FLOORS = {"dice": 0.7, "matched": 0.5}  # an extractor with less is called poor
DAMAGED = "damaged"
COLUMNS = [
    *("extractor", "dataset", "task", "channels", "noise", "seed", "steps", "best_step"),
    *("training_seconds", "score", "value"),
]


def extractor_rows(results: Path, runs: Iterable[Mapping[str, Any]] | None = None) -> pd.DataFrame:
    """The extractors of a folder of results, or of exported tables, that have been trained.

    Args:
        results: The folder.
        runs: Summaries of runs that used them; None for all.

    Returns:
        `COLUMNS`: `score` and `value` are of validation images, `noise` is that of the images. One
        that is damaged has the score `DAMAGED` and nothing else but what names it.
    """
    rows = read_extractors(results)[COLUMNS] if is_exported(results) else _trained(results)
    if runs is None:
        return rows
    used = {one.get("name") for run in runs for one in run.get("extractors", [])}
    return rows[rows["extractor"].isin(used)]


def _trained(results: Path) -> pd.DataFrame:
    """The rows of the extractors of a folder of results."""
    rows: list[dict[str, Any]] = []
    for folder in list_folders(results, EXTRACTORS):
        found = folder.standing()
        row: dict[str, Any] = {"extractor": folder.path.name}
        if found.status is Status.DAMAGED:
            header = read_json(folder.file(HEADER)) or {}
            rows.append({**header, **row, "score": DAMAGED})
        if found.status is not Status.FINISHED or found.summary is None:
            continue
        identity = read_json(folder.file(CONFIG)) or {}
        row |= {name: found.summary.get(name) for name in COLUMNS[1:-2]}
        row["channels"] = identity.get("extractor", {}).get("channels")
        row["noise"] = identity.get("dataset", {}).get("settings", {}).get("added_noise")
        for name, score in found.summary["scores"].items():
            rows.append({**row, "score": name, "value": score["mean"]})
    return pd.DataFrame(rows, columns=COLUMNS)


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


def _means(scores: Sequence[Mapping[str, float]]) -> list[str]:
    means = pd.DataFrame(scores).mean()
    return [grade(str(name), value) for name, value in means.items()] or ["random"]


def grade(score: str, value: float | None) -> str:
    """A score in words, with a note if it is poor; only its name if it has no value."""
    if value is None or value != value:
        return score if score == DAMAGED else f"{WORDS.get(score, score)} unknown"
    note = " (poor)" if value < FLOORS.get(score, value) else ""
    return f"{WORDS.get(score, score)} {value:.2f}{note}"
