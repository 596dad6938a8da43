"""Lists the folders of results, with a flat row on each run."""

from pathlib import Path
from typing import Any

from bench.store.files import read_json
from bench.store.folder import Folder
from bench.store.layout import CODE, HEADER, RUNS, TASK_TABLES
from bench.store.standing import Status

NAMED = (  # entries of a header that the summary repeats
    *("id", "variant", "task", "dataset", "model", "metric", "regularizer", "weight", "seed"),
)


def list_folders(results: Path, kind: str = RUNS) -> list[Folder]:
    """The folders of all runs (or extractors, or networks) under a results folder, by name."""
    base = results / kind
    if not base.is_dir():
        return []
    folders = [Folder(path) for path in sorted(base.iterdir()) if path.name[0] != "."]
    return [folder for folder in folders if folder.has_started()]


def describe(folder: Folder) -> dict[str, Any]:
    """One flat row on a run: status, header and mean scores; `error` says what is wrong."""
    found = folder.standing()
    known = found.summary or {}
    header = read_json(folder.file(HEADER)) or {key: known[key] for key in NAMED if key in known}
    for name in (TASK_TABLES, CODE):
        header.pop(name, None)
    row = {"status": found.status, "id": folder.path.name.rpartition("-")[2], **header}
    row["written"] = round(folder.written())
    if found.status is Status.FINISHED and found.summary:
        row |= {name: score["mean"] for name, score in found.summary["scores"].items()}
    if found.reason:
        row["error"] = found.reason
    return row
