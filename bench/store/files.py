"""Atomic writing: a file is always the complete old one or the complete new one. Checksums."""

import csv
import ctypes
import io
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.errors import Unwritable
from bench.store.escaping import for_csv

AT_CWD, EXCHANGE = -100, 2  # of Linux's renameat2
BLOCK = 1 << 20  # bytes read at once
CHECKSUM = "checksum"  # key of a sealed JSON object
ALTERED = "has changed since it was written"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file under another name, then replaces the former file in one step."""
    partial = path.with_name(path.name + ".partial")
    data = content.encode() if isinstance(content, str) else content
    try:
        with creating(path):
            partial.write_bytes(data)
        put_in_place(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failed write does not say which file
        raise


@contextmanager
def creating(path: Path) -> Iterator[None]:
    """Raises Unwritable where a path cannot be created, as in /proc, which has files of its own."""
    try:
        yield
    except FileNotFoundError as error:
        raise Unwritable(error.errno, error.strerror, str(path)) from error


def make_folder(path: Path) -> None:
    """Makes a folder and those that it lies in, unless they are there."""
    with creating(path):
        path.mkdir(parents=True, exist_ok=True)


def put_in_place(partial: Path, path: Path) -> None:
    """Renames a file or folder that is complete; a power cut leaves the former one or all of it."""
    for part in (*partial.rglob("*"), partial):
        _synchronize(part)
    partial.replace(path)
    _synchronize(path.parent)


def exchange(new: Path, old: Path) -> None:
    """Puts a complete folder in place of another and deletes that one.

    In one step on Linux. Where the system cannot, the old one stands aside for a moment: `recover`
    brings it back after a kill in that moment.
    """
    for part in (*new.rglob("*"), new):
        _synchronize(part)
    aside = _aside(old)
    shutil.rmtree(aside, ignore_errors=True)
    if _exchange_names(new, old):
        new.rename(aside)
    else:
        old.rename(aside)
        new.rename(old)
    _synchronize(old.parent)
    shutil.rmtree(aside)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new folder to fill, which then takes the place of the former one, if there is one.

    An error or a kill leaves the former one as it is. One process at a time may do this.
    """
    make_folder(path.parent)
    recover(path)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with creating(path):
            partial.mkdir()
        yield partial
        if path.exists():
            exchange(partial, path)
        else:
            put_in_place(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def recover(path: Path) -> None:
    """Brings a folder back whose exchange was cut short, or deletes what it had left."""
    aside = _aside(path)
    if aside.exists() and not path.exists():
        aside.rename(path)
    shutil.rmtree(aside, ignore_errors=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.replaced")


def _exchange_names(first: Path, second: Path) -> bool:
    """Whether two names were exchanged, which some systems and file systems cannot do."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return rename(AT_CWD, os.fsencode(first), AT_CWD, os.fsencode(second), EXCHANGE) == 0


def _synchronize(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    if path.is_dir() and not hasattr(os, "O_DIRECTORY"):
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class CsvText(io.StringIO):
    """Text of lines that a writer of the csv module ends with `LINE_END`; here they end in `\\n`.

    The module quotes a cell for the characters of its line end only, and a name may hold either.
    """

    LINE_END = "\r\n"

    def write(self, line: str) -> int:
        return super().write(line.removesuffix(self.LINE_END) + "\n")


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV; the columns are all keys in order of appearance."""
    text = CsvText()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator=text.LINE_END)
    writer.writeheader()
    writer.writerows({name: for_csv(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows by `as_csv` and `write_atomically`."""
    write_atomically(path, as_csv(rows))


def write_checked_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same with a checksum beside it, for `is_as_written`; a kill leaves a pair that matches.

    The checksum comes first, together with that of the former file if that is as it was written.
    """
    content = as_csv(rows).encode()
    former = [checksum(path)] if path.exists() and is_as_written(path) else []
    valid = [zlib.crc32(content), *former]
    write_json(seal_of(path), sealed({"crc32": valid}))
    write_atomically(path, content)


def seal_of(path: Path) -> Path:
    """The file that holds the checksum of a file of `write_checked_csv`."""
    return path.with_suffix(".checksum.json")


def is_as_written(path: Path) -> bool:
    """Whether a file has the checksum beside it; a file without a checksum counts as intact.

    Raises:
        OSError: If it cannot be read.
    """
    if not seal_of(path).exists():
        return True
    known = read_json(seal_of(path)) or {}
    return is_as_sealed(known) and checksum(path) in known.get("crc32", [])


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


def checksum(path: Path) -> int:
    """CRC-32 of a file."""
    found = 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK):
            found = zlib.crc32(block, found)
    return found


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON can hold, with its CRC-32."""
    plain = json.loads(json.dumps(content))
    plain.pop(CHECKSUM, None)
    return {**plain, CHECKSUM: _checksum_of(plain)}


def is_as_sealed(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object has the CRC-32 that it was sealed with."""
    plain = {name: value for name, value in content.items() if name != CHECKSUM}
    return content.get(CHECKSUM) == _checksum_of(plain)


def _checksum_of(content: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True).encode())
