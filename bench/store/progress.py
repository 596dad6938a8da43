"""The finished cases of an unfinished run, from which it continues."""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from bench.store.files import write_atomically

SHARE = 0.05  # of the time, at most, that goes into writing


class Progress:
    """Entries by kind, written as they come and used again only as they were written.

    Args:
        path: A file: the SHA-256 of its second line, then the entries as JSON.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, list[Any]] = {}
        self._idle_until = 0.0
        if path.exists():
            try:
                digest, _, content = path.read_text().partition("\n")
                if digest != _digest(content):
                    raise ValueError("it is not what was written")
                self.entries = json.loads(content)
            except ValueError as error:
                print(f"{path}: is damaged ({error}); the suite computes its cases again")

    def of(self, kind: str) -> list[Any]:
        """The entries of a kind so far."""
        return self.entries.setdefault(kind, [])

    def add(self, kind: str, entry: Any) -> None:
        """Adds an entry of anything that JSON can hold; writes unless it has just done so."""
        self.of(kind).append(entry)
        start = time.perf_counter()
        if start >= self._idle_until:
            self.save()
            end = time.perf_counter()
            self._idle_until = end + (end - start) / SHARE

    def forget(self) -> None:
        """Deletes all entries: what they were computed from has changed."""
        self.entries.clear()
        self.path.unlink(missing_ok=True)

    def save(self) -> None:
        """Writes all entries now."""
        content = json.dumps(self.entries)
        write_atomically(self.path, f"{_digest(content)}\n{content}")

    @property
    def done(self) -> int:
        """Number of entries of all kinds."""
        return sum(map(len, self.entries.values()))


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
