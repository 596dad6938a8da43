"""Results on disk: one folder per run or extractor, finished only when its summary is there."""

import csv
import io
import json
import os
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.config.identity import SCHEMA
from bench.errors import Busy, StoreError
from bench.store.escaping import for_csv

RUNS, EXTRACTORS, WEIGHTS = "runs", "extractors", "weights"
HEADER, SUMMARY, FAILURE, TRACEBACK = "run.json", "summary.json", "failure.json", "traceback.txt"
CONFIG, ENVIRONMENT, HISTORY, PAIRS, CLASSES, FIGURE = (
    "config.yaml",
    "environment.json",
    "history.csv",
    "pairs.csv",
    "classes.csv",
    "figure.png",
)
VALIDATION = "validation.csv"
LANDMARKS = "landmarks.csv"
DATA = "data.json"  # what a run needs to be used without its data
ROBUSTNESS = "robustness.csv"
PANELS = "panels"  # folder of figures of one pair under several runs
PATIENCE = 1.0  # seconds; whoever only looks at a folder's status holds it for a moment
BEST, LAST, PROGRESS = "best.safetensors", "last.pt", "progress.json"


class Status(StrEnum):
    """Where a run stands."""

    FINISHED = "finished"
    RUNNING = "running"
    FAILED = "failed"
    SKIPPED = "skipped"  # a combination that cannot work
    INTERRUPTED = "interrupted"
    RESUMABLE = "resumable"  # of a sweep: interrupted, and goes on from where it was
    MISSING = "missing"
    DAMAGED = "damaged"  # finished, and cannot be read


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file to the side, then puts it in place of the former one in one step."""
    partial = path.with_name(path.name + ".partial")
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failed write does not say which file
        raise


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as CSV by `write_atomically`; the columns are all keys in order of appearance."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: for_csv(value) for name, value in row.items()} for row in rows)
    write_atomically(path, text.getvalue())


def write_json(path: Path, content: Any) -> None:
    """Writes JSON by `write_atomically`."""
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None if the file is missing or damaged."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


class Folder:
    """The folder of one run or one extractor.

    Args:
        path: Where it is; its name is readable and ends in the hash.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, name: str) -> Path:
        """Path of a file in the folder."""
        return self.path / name

    def summary(self) -> dict[str, Any] | None:
        """The summary of a finished run; None if it is not finished.

        Raises:
            StoreError: If a newer version of this program wrote it.
        """
        summary = read_json(self.file(SUMMARY))
        if summary is not None and summary.get("schema", 0) > SCHEMA:
            raise StoreError(
                f"{self.path}: was written by a newer version (schema {summary['schema']}, this "
                f"one knows {SCHEMA}). Update, or choose another folder with results_dir=DIR."
            )
        return summary if summary and summary.get("status") == Status.FINISHED else None

    def status(self) -> Status:
        """Where the run stands, as far as its folder tells."""
        if self.summary():
            return Status.FINISHED
        if not self.path.exists():
            return Status.MISSING
        if self._is_locked():
            return Status.RUNNING
        failure = read_json(self.file(FAILURE))
        return Status(failure["status"]) if failure else Status.INTERRUPTED

    @contextmanager
    def claim(self, wait: bool = False) -> Iterator[None]:
        """Holds the folder for one process; a dead holder's claim ends with it.

        Args:
            wait: Whether to wait for another process, rather than to give up at once.

        Raises:
            Busy: If another process holds it and `wait` is false.
        """
        lock = self._lock()
        try:
            lock.acquire(timeout=-1 if wait else PATIENCE)
        except Timeout:
            raise Busy(
                f"{self.path.name} is being run by another process. Wait for it; "
                "`python -m bench runs` shows when it has finished."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def start(self, header: dict[str, Any], config: str, environment: dict[str, Any]) -> None:
        """Makes the folder, or goes on with it; forgets an earlier failure."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.file(HEADER), header)
        write_atomically(self.file(CONFIG), config)
        write_json(self.file(ENVIRONMENT), environment)
        self.file(FAILURE).unlink(missing_ok=True)
        self.file(TRACEBACK).unlink(missing_ok=True)

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes the summary, by which the run counts as finished, and drops its last state."""
        write_json(self.file(SUMMARY), {"schema": SCHEMA, "status": Status.FINISHED, **summary})
        for name in (LAST, PROGRESS):
            self.file(name).unlink(missing_ok=True)
        shutil.rmtree(self._replaced(), ignore_errors=True)

    def fail(self, error: BaseException, status: Status = Status.FAILED) -> None:
        """Records why the run ended, with the traceback, if it had started and not finished.

        Args:
            error: What ended it.
            status: `failed`, or `skipped` for a combination that cannot work.
        """
        if not self.path.exists() or self.summary():
            return
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        write_atomically(self.file(TRACEBACK), "".join(traceback.format_exception(error)))
        write_json(
            self.file(FAILURE),
            {"status": status, "error": line, "type": type(error).__name__, "time": time.time()},
        )

    def steps_done(self) -> int:
        """Steps up to the last validation of an unfinished run."""
        try:
            with open(self.file(HISTORY), newline="") as file:
                return max((int(float(row["step"])) for row in csv.DictReader(file)), default=0)
        except (OSError, KeyError, ValueError):
            return 0

    def is_resumable(self) -> bool:
        """Whether an unfinished run has left something to go on from."""
        return self.file(LAST).exists() or self.file(PROGRESS).exists()

    def failure(self) -> dict[str, Any] | None:
        """Why the run failed or was skipped; None if it did not."""
        return read_json(self.file(FAILURE))

    def written(self) -> float:
        """When the run last wrote something, in seconds since 1970."""
        return max((file.stat().st_mtime for file in self.path.iterdir()), default=0.0)

    def remove(self) -> None:
        """Deletes the run.

        Raises:
            Busy: If a process holds it.
        """
        with self.claim():
            doomed = self.path.with_name(f".{self.path.name}.removed")
            self.path.rename(doomed)  # at once: what is left of a deletion is no run
            shutil.rmtree(doomed)

    def reset(self) -> None:
        """Forgets how far an unfinished run has come, so that it starts anew.

        Raises:
            Busy: If a process holds it.
        """
        with self.claim():
            if self.summary() is None:
                self.forget()

    def forget(self) -> None:
        """Deletes what a training has written; for the process that holds the folder."""
        for name in (SUMMARY, LAST, BEST, HISTORY, PROGRESS, FAILURE, TRACEBACK):
            self.file(name).unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Makes room to run a finished run anew; it is kept until the new one has finished.

        An unfinished run is left as it is, to be gone on with.
        """
        if self.summary():
            replaced = self._replaced()
            shutil.rmtree(replaced, ignore_errors=True)
            replaced.parent.mkdir(parents=True, exist_ok=True)
            self.path.rename(replaced)

    def _replaced(self) -> Path:
        return self.path.parent.parent / "replaced" / self.path.name

    def _lock(self) -> FileLock:
        folder = self.path.parent / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{self.path.name}.lock")

    def _is_locked(self) -> bool:
        lock = self._lock()
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return True
        lock.release()
        return False


def list_folders(results: Path, kind: str = RUNS) -> list[Folder]:
    """The folders of all runs (or extractors) under a results folder, by name."""
    base = results / kind
    if not base.is_dir():
        return []
    return [Folder(path) for path in sorted(base.iterdir()) if (path / HEADER).exists()]


def describe(folder: Folder) -> dict[str, Any]:
    """One flat row on a run: status, header and mean scores."""
    row = {"status": folder.status(), **(read_json(folder.file(HEADER)) or {})}
    row["written"] = round(folder.written())
    summary = folder.summary()
    if summary:
        row |= {name: score["mean"] for name, score in summary["scores"].items()}
    failure = read_json(folder.file(FAILURE))
    if failure and row["status"] in (Status.FAILED, Status.SKIPPED):
        row["error"] = failure["error"]
    return row
