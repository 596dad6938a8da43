"""A report in Weights & Biases, beside the runs that it is about."""

from pathlib import Path
from typing import Any

from bench.analysis.numbers.findings import Findings, Request
from bench.analysis.reading.exported_tables import is_exported
from bench.config.composition import compose
from bench.config.identity import digest
from bench.store.tracker import Tracked
from bench.store.tracking import open_tracker

TABLES = {"results": "rows", "statistics": "pairs", "missing": "missing"}


def publish(
    request: Request,
    found: Findings,
    folder: Path,
    project: str | None = None,
    entity: str | None = None,
) -> None:
    """Logs tables and figures as a run of job type `report`.

    It joins the group of the experiment; without one, that of the data sets, which is where runs
    outside of a sweep are. Whether it is uploaded says the environment (`WANDB_MODE`), not the
    runs, which may be someone else's.

    Args:
        request: What the report is of.
        found: Its numbers.
        folder: Where it was written.
        project: Where to; None for the project that the runs name, else as runs do.
        entity: Likewise.
    """
    configs = [config["tracker"] for config in found.records.configs.values()]
    used: dict[str, Any] = next((one for one in configs if one["name"] == "wandb"), {})
    group = request.experiment or "+".join(dict.fromkeys(one.dataset for one in found.comparisons))
    settings = {
        **dict(compose(["tracker=wandb"]).tracker),
        "project": project or used.get("project"),
        "entity": entity or used.get("entity"),
        "group": group,
    }
    tracked = Tracked(
        run_id=f"report-{digest([request.command, *found.records.summaries])}",
        name=f"report on {group}",
        job_type="report",
        config={"command": request.command, "runs": list(found.records.summaries)},
    )
    beside = folder.parent if is_exported(request.results) else request.results
    tracker = open_tracker(settings, beside, tracked)
    for name, frame in TABLES.items():
        tracker.table(name, getattr(found, frame))
    for path in sorted((folder / "figures").glob("*.png")):
        tracker.image(path.stem, path)
    tracker.close()
