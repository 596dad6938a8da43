"""Whatever is trained or tested in a folder: tracked, recorded when finished, or why it failed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.config.experiment import Experiment
from bench.store.folder import Folder
from bench.store.tracking import Tracker, open_tracker

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
        header: What the summary begins with.
        experiment: Says where and how progress is tracked.
        kind: Of the work, for the tracker.
        config: Configuration that the tracker shows.
        work: Does it and returns the rest of the summary.
        figures: Figures that it draws, by name, for the tracker.

    Returns:
        The summary as it is recorded.
    """
    tracker = open_tracker(
        experiment["tracker"],
        experiment.results,
        run_id=header["id"],
        name=folder.name,
        job_type=kind,
        config=config,
    )
    try:
        summary = {**header, **work(tracker)}
        folder.finish(summary)
        for name, path in (figures or {}).items():
            tracker.image(name, path)
        means = {name: score["mean"] for name, score in summary["scores"].items()}
        tracker.summarize({**summary, **means})
        tracker.close()
    except BaseException as error:
        if isinstance(error, Exception):
            folder.fail(error)
        tracker.close(failed=True)
        raise
    return folder.summary() or summary
