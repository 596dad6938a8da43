"""Downloads that survive an interrupted connection."""

import os
import shutil
from pathlib import Path
from typing import Any

from bench.errors import DataError, NoRoom

ATTEMPTS = 5  # in a row without a single byte
TIMEOUT = 30  # seconds without an answer
CHUNK = 1 << 16  # what a cut loses at most


def download(
    url: str, path: Path, known_hash: str | None = None, said_by: str = "published"
) -> Path:
    """Downloads a file: resumes where it stopped, checks, and puts it in place when complete.

    Args:
        url: http or https address.
        path: Destination of the file; a partial download stays beside it as `.part`.
        known_hash: `algorithm:digest`, as pooch takes it; None if none is known.
        said_by: Source of the hash, for messages.

    Raises:
        DataError: If the server refuses, the connection is lost, or the checksum differs.
        NoRoom: If the disk is too small.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        pooch.retrieve(url, known_hash, path.name, path.parent, downloader=_Resuming(part))
    except ValueError as error:
        raise DataError(
            f"{url}: the download has another checksum than the {said_by} {known_hash}. Run the "
            "same command again; if that fails, download the file by hand and pass --archive FILE."
        ) from error
    return path


class _Resuming:
    """Downloads into a `.part` file and goes on where that ends; pooch's downloader interface."""

    def __init__(self, part: Path) -> None:
        self.part = part
        self.mark = part.with_name(part.name + ".etag")

    def __call__(self, url: str, output_file: str, pooch: Any, check_only: bool = False) -> None:
        import requests
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        console = Console(stderr=True)
        failures = 0
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        ) as progress:
            bar = progress.add_task(self.part.stem, total=None)
            while True:
                before = self._have()
                try:
                    if self._receive(url, progress, bar):
                        break
                except requests.RequestException as error:
                    failures = 0 if self._have() > before else failures + 1
                    if failures >= ATTEMPTS:
                        raise self._cut(url, error) from error
        os.replace(self.part, output_file)
        self.mark.unlink(missing_ok=True)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _receive(self, url: str, progress: Any, bar: Any) -> bool:
        """One connection's worth of bytes; whether the file is complete."""
        import requests

        have = self._have()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.mark.exists():
                headers["If-Range"] = self.mark.read_text()
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                complete = answer.headers.get("Content-Range", "").endswith(f"/{have}")
                if not complete:
                    self.part.unlink()
                return complete
            if answer.status_code in (500, 502, 503, 504):
                answer.raise_for_status()
            if not answer.ok:
                raise DataError(
                    f"{url}: the server answers {answer.status_code} {answer.reason}. Download the "
                    "file by hand and pass --archive FILE."
                )
            if answer.status_code != requests.codes.partial_content:
                have = 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            free = shutil.disk_usage(self.part.parent).free
            if length and int(length) > free:
                raise NoRoom(
                    f"{url}: {int(length) / 1e6:.0f} MB remain to download, but {self.part.parent} "
                    f"has {free / 1e6:.0f} MB free. Free space, or choose another folder with "
                    "--root DIR."
                )
            if answer.headers.get("ETag"):
                self.mark.write_text(answer.headers["ETag"])
            progress.update(bar, total=total, completed=have)
            with open(self.part, "ab" if have else "wb") as file:
                for chunk in answer.iter_content(CHUNK):
                    file.write(chunk)
                    progress.advance(bar, len(chunk))
            if total is not None and self._have() < total:
                raise requests.ConnectionError(f"{self._have()} of {total} bytes arrived")
            return True

    def _cut(self, url: str, error: Exception) -> DataError:
        have = self._have()
        kept = f"{have / 1e6:.1f} MB are kept; the same command continues from there"
        reason = " ".join(str(error).split())[:160]
        return DataError(
            f"{url}: cannot be downloaded ({reason}). {kept if have else 'Try again later'}, or "
            "download the file by hand and pass --archive FILE."
        )
