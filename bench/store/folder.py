"""Results on disk: a folder per run, extractor or network, finished once its summary exists."""

import csv
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.config.commands import BENCH, with_results
from bench.config.identity import SCHEMA
from bench.errors import Busy, StoreError
from bench.store.files import (
    ALTERED,
    checksum,
    exchange,
    read_json,
    recover,
    seal_of,
    sealed,
    write_atomically,
    write_json,
)
from bench.store.layout import (
    BEST,
    CONFIG,
    ENVIRONMENT,
    FAILURE,
    FILES,
    HEADER,
    HISTORY,
    LAST,
    OF_FOLDERS,
    PROGRESS,
    ROBUSTNESS,
    SUMMARY,
    TRACEBACK,
)
from bench.store.locks import held, is_held
from bench.store.standing import RUN_AGAIN, UPDATE, Standing, Status, read_summary

ANEW = "Pass force=true to rerun it."
PATIENCE = 1.0  # seconds; whoever only looks at a folder's status holds it for a moment


class Folder:
    """The folder of one run, one extractor or one network for all λ.

    Args:
        path: Where it is; its name is readable and ends in the hash.
        name: What it is called, if not by the path's name.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.name = name or path.name

    def file(self, name: str) -> Path:
        """Path of a file in the folder."""
        return self.path / name

    def summary(self) -> dict[str, Any] | None:
        """The summary of a finished run; None if it has not finished or that cannot be read."""
        return read_summary(self.file(SUMMARY))[0]

    def finished(self) -> dict[str, Any]:
        """The summary of a finished run with intact files.

        Raises:
            StoreError: If it has not finished, or is damaged.
        """
        found = self.standing()
        if found.status is Status.DAMAGED:
            raise StoreError(f"{self.path.name}: is damaged: {found.reason}")
        if found.summary is None:
            raise StoreError(
                f"{self.path.name}: has not finished. Run its command again to finish it."
            )
        return found.summary

    def status(self) -> Status:
        """Where the run stands, as far as its folder tells."""
        return self.standing().status

    def standing(self) -> Standing:
        """Where the run stands, and why."""
        summary, fault = read_summary(self.file(SUMMARY))
        if summary is not None:
            damage = self.altered_file(summary)
            reason = f"{damage}. {ANEW}" if damage else ""
            return Standing(Status.DAMAGED if damage else Status.FINISHED, reason, summary)
        if not self.path.exists():
            return Standing(Status.MISSING)
        if is_held(self._lock()):
            return Standing(Status.RUNNING)
        if fault:
            return Standing(Status.DAMAGED, fault)
        failure = self.failure()
        if failure:
            return Standing(Status(failure["status"]), failure["error"])
        header = read_json(self.file(HEADER)) or {}
        if self.has_started() and not {"id", "dataset"} <= header.keys():
            there = "cannot be read" if self.file(HEADER).exists() else "is missing"
            return Standing(Status.DAMAGED, f"{HEADER} {there}. {RUN_AGAIN}")
        return Standing(Status.INTERRUPTED)

    def has_started(self) -> bool:
        """Whether something was written here: its header, which comes first, or what follows it.

        A folder that has lost its header has started; one that a process has only made has not.
        """
        if self.file(HEADER).exists():
            return True
        with suppress(OSError):  # no folder, or one that is removed at this moment
            return any(entry.name in OF_FOLDERS for entry in self.path.iterdir())
        return False

    def altered_file(self, summary: Mapping[str, Any]) -> str:
        """The first file that is not as a summary says it was written, and why; empty if none."""
        for name, known in summary.get(FILES, {}).items():
            try:
                fault = "" if checksum(self.file(name)) == known else ALTERED
            except OSError as error:
                fault = f"cannot be read ({error.strerror})"
            if fault:
                now = self.summary()
                if now and now != summary:  # it has been run anew meanwhile
                    return self.altered_file(now)
                return f"{name} {fault}"
        return ""

    def refuse_newer(self) -> None:
        """Raises StoreError if a newer version wrote here; its results must stay."""
        fault = read_summary(self.file(SUMMARY))[1]
        if fault.endswith(UPDATE):
            raise StoreError(f"{self.path}: {fault}")

    def refuse_other(self) -> None:
        """Raises StoreError if what lies here has another id than the folder's name says."""
        found = self.summary()
        if found is not None and not self.name.endswith(f"-{found.get('id')}"):
            raise StoreError(
                f"{self.path}: holds results of another id, {found.get('id')}. Give the folder its "
                "own name back, or delete it."
            )

    @contextmanager
    def claim(self, wait: bool = False) -> Iterator[None]:
        """Holds the folder for one process; a dead holder's claim ends with it.

        Args:
            wait: Whether to wait for another process instead of giving up at once.

        Raises:
            Busy: If another process holds it and `wait` is false.
            StoreError: If the file system has no locks.
        """
        with ExitStack() as held_until_the_end:
            patience = None if wait else PATIENCE
            lock = held(self._lock(), self.name, "results_dir=DIR", patience)
            try:
                held_until_the_end.enter_context(lock)
            except Busy:
                listing = f"{BENCH} runs{with_results(self.path.parent.parent)}"
                raise Busy(
                    f"Another process is running {self.name}. Wait for it; `{listing}` shows when "
                    "it has finished."
                ) from None
            recover(self.path)
            yield

    def start(self, header: dict[str, Any], config: str, environment: dict[str, Any]) -> None:
        """Creates the folder, or continues with it; forgets an earlier failure.

        For the process that holds the folder: what a killed one was writing is cleared away.

        Raises:
            StoreError: If a newer version of this program wrote it.
        """
        self.refuse_newer()
        self.path.mkdir(parents=True, exist_ok=True)
        for half_written in self.path.glob("*.partial"):
            half_written.unlink()
        if self.summary() is None:
            self.file(SUMMARY).unlink(missing_ok=True)  # one that cannot be read
        write_json(self.file(HEADER), header)
        write_atomically(self.file(CONFIG), config)
        write_json(self.file(ENVIRONMENT), environment)
        self.file(FAILURE).unlink(missing_ok=True)
        self.file(TRACEBACK).unlink(missing_ok=True)

    def finish(self, summary: dict[str, Any]) -> None:
        """Writes the summary, which marks the run as finished, and deletes its last state.

        It holds its checksum and those of the run's files.
        """
        passing = {SUMMARY, LAST, PROGRESS, ROBUSTNESS, seal_of(self.file(ROBUSTNESS)).name}
        kept = [p for p in sorted(self.path.iterdir()) if p.is_file() and p.suffix != ".partial"]
        files = {path.name: checksum(path) for path in kept if path.name not in passing}
        content = {"schema": SCHEMA, "status": Status.FINISHED, **summary, FILES: files}
        write_json(self.file(SUMMARY), sealed(content))
        for name in (LAST, PROGRESS):
            self.file(name).unlink(missing_ok=True)

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
        content = read_json(self.file(FAILURE)) or {}
        known = content.get("status") in (Status.FAILED, Status.SKIPPED)
        return content if known and isinstance(content.get("error"), str) else None

    def written(self) -> float:
        """When the run last wrote something, in seconds since 1970; 0 if nothing is there."""
        last = 0.0
        with suppress(OSError):
            for file in self.path.iterdir():
                with suppress(OSError):  # it was renamed since it was listed
                    last = max(last, file.stat().st_mtime)
        return last

    def remove(self) -> None:
        """Deletes the run, and the files of a rerun in progress.

        Raises:
            Busy: If a process holds it.
        """
        with self.claim():
            doomed = self.path.with_name(f".{self.name}.removed")
            shutil.rmtree(doomed, ignore_errors=True)  # the rest of a deletion that was killed
            self.path.rename(doomed)  # at once: what is left of a deletion is no run
            for path in (doomed, self.anew().path):
                shutil.rmtree(path, ignore_errors=path != doomed)

    def reset(self) -> None:
        """Forgets how far an unfinished run, or a finished one that is run anew, has come.

        Raises:
            Busy: If a process holds it.
        """
        with self.claim():
            if self.summary() is None:
                self.forget()
            shutil.rmtree(self.anew().path, ignore_errors=True)

    def forget(self) -> None:
        """Deletes what a training has written; for the process that holds the folder."""
        for name in (SUMMARY, LAST, BEST, HISTORY, PROGRESS, FAILURE, TRACEBACK):
            self.file(name).unlink(missing_ok=True)

    def anew(self) -> "Folder":
        """Where a finished run is run anew, which is shown until the new one has finished."""
        return Folder(self.path.with_name(f".{self.name}.anew"), self.name)

    def start_anew(self) -> "Folder":
        """The folder of `anew`, to be gone on with; for the process that holds the run."""
        folder = self.anew()
        if folder.file(SUMMARY).exists():  # the one that was replaced when a process was killed
            shutil.rmtree(folder.path)
        return folder

    def give_way(self) -> None:
        """Puts the run that has been run anew in place of this one."""
        exchange(self.anew().path, self.path)

    def _lock(self) -> Path:
        return self.path.parent / ".locks" / f"{self.name}.lock"
