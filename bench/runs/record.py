"""Does the work of a folder: tracks it, and records its result or its failure."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.analysis.reading.rows import read_rows
from bench.config.experiment import Experiment
from bench.scores.registry import SCORES
from bench.store.folder import Folder
from bench.store.layout import BEST, CONFIG
from bench.store.tracker import Tracked, Tracker
from bench.store.tracking import open_tracker

GOALS = {"train_loss": "min", "val_loss": "min"} | {
    f"val_{name}": score.best for name, score in SCORES.items() if score.best is not None
}
Work = Callable[[Tracker], dict[str, Any]]


def carry_out(
    folder: Folder,
    header: dict[str, Any],
    experiment: Experiment,
    kind: str,
    config: dict[str, Any],
    work: Work,
    figures: dict[str, Path] | None = None,
) -> dict[str, Any]:
    """Does the work of a folder that has been started, and records how it ended.

    Args:
        folder: Claimed and started.
        header: First entries of the summary.
        experiment: Its tracker settings apply.
        kind: Of the work, for the tracker.
        config: Configuration that the tracker shows.
        work: Does it and returns the rest of the summary.
        figures: Figures that it draws, by name, for the tracker.

    Returns:
        The summary as it is recorded.
    """
    facts = {key: value for key, value in header.items() if key not in ("id", "variant")}
    tracked = Tracked(header["id"], folder.name, kind, config, facts, GOALS)
    tracker = open_tracker(experiment["tracker"], experiment.results, tracked)
    try:
        summary = {**header, **work(tracker)}
        folder.finish(summary)
        _show(tracker, folder, summary, figures or {})
        tracker.close()
    except BaseException as error:
        if isinstance(error, Exception):
            folder.fail(error)
        tracker.close(failed=True)
        raise
    return folder.summary() or summary


def _show(
    tracker: Tracker, folder: Folder, summary: Mapping[str, Any], figures: Mapping[str, Path]
) -> None:
    """Shows a tracker what has been recorded."""
    for name, path in figures.items():
        tracker.image(name, path)
    for table in summary.get("tables", [])[:1]:  # a row per test case
        tracker.table(Path(table).stem, read_rows(folder.file(table)))
    weights = folder.file(BEST)
    if weights.exists():
        tracker.checkpoint([path for path in (weights, folder.file(CONFIG)) if path.exists()])
    means = {name: score["mean"] for name, score in summary["scores"].items()}
    training = {**summary, **summary.get("network", {})}
    seconds = {
        "train_seconds": training.get("training_seconds"),
        "register_seconds": means.get("seconds"),
    }
    known = {name: value for name, value in seconds.items() if value is not None}
    tracker.summarize({**summary, **means, **known})
