"""How well extractors learned the task that gave them their features."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.store.files import read_json
from bench.store.folder import CONFIG, EXTRACTORS, list_folders

WORDS = {"dice": "Dice", "reconstruction_error": "error", "matched": "matched"}
FLOORS = {"dice": 0.7, "matched": 0.5}  # an extractor with less is called poor
COLUMNS = [
    *("extractor", "dataset", "task", "channels", "noise", "seed", "steps", "best_step"),
    *("training_seconds", "score", "value"),
]


def extractor_rows(results: Path) -> pd.DataFrame:
    """The extractors of a folder of results that have been trained.

    Returns:
        `COLUMNS`: `score` and `value` are of validation images, `noise` is that of the images.
    """
    rows = []
    for folder in list_folders(results, EXTRACTORS):
        summary, identity = folder.summary(), read_json(folder.file(CONFIG)) or {}
        if summary is None:
            continue
        row = {name: summary[name] for name in COLUMNS if name in summary}
        row["extractor"] = folder.path.name
        row["channels"] = identity.get("extractor", {}).get("channels")
        row["noise"] = identity.get("dataset", {}).get("settings", {}).get("added_noise")
        for name, score in summary["scores"].items():
            rows.append({**row, "score": name, "value": score["mean"]})
    return pd.DataFrame(rows, columns=COLUMNS)


def learned(runs: Iterable[Mapping[str, Any]]) -> str | None:
    """What the extractors of some runs scored, averaged over the runs; None if there are none.

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


def grade(score: str, value: float) -> str:
    """A score in words, with a note if it is poor."""
    note = " (poor)" if value < FLOORS.get(score, value) else ""
    return f"{WORDS.get(score, score)} {value:.2f}{note}"
