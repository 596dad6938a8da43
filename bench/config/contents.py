"""Digests of the files that a configuration names, by content and not by place."""

import csv
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

from bench.config.image_parts import parts_of
from bench.errors import ConfigError, DataError, no_folder


def table_digest(path: Path, images: bool) -> str:
    """SHA-256 of a CSV table.

    Args:
        path: The table.
        images: Whether its cells name images relative to it, whose content counts, too. An image
            may be several files.

    Returns:
        The digest; the path if the table is not there, which its reader refuses.
    """
    if not path.is_file():
        return str(path)
    content = path.read_bytes()
    found = hashlib.sha256(content)
    for part in _named_by(content, path.parent) if images else ():
        found.update(part.read_bytes())
    return found.hexdigest()


def _named_by(table: bytes, folder: Path) -> Iterator[Path]:
    """The files of the images that a table names."""
    cells: set[str] = set()
    with suppress(csv.Error):  # which its reader refuses
        for line in csv.reader(StringIO(table.decode("utf-8", "replace"), newline="")):
            cells.update(cell.strip() for cell in line)
    for cell in sorted(cells - {""}):
        with suppress(OSError, ValueError, DataError):  # what is no name of an image
            yield from (part for part in parts_of(folder / cell) if part.is_file())


def folder_digest(folder: Any) -> str:
    """SHA-256 of the names and the content of all files in a folder of displacement fields.

    Raises:
        ConfigError: If there is no such folder.
    """
    if not isinstance(folder, str) or not Path(folder).is_dir():
        why = no_folder(Path(str(folder)))
        raise ConfigError(
            f"model.folder={folder}: {why}. Name the folder with the displacement fields."
        )
    found = hashlib.sha256()
    for path in sorted(path for path in Path(folder).rglob("*") if path.is_file()):
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        found.update(f"{path.relative_to(folder)} {content}\n".encode())
    return found.hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file with a state dict.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(
            f"metric.extractor.state_dict={path}: {error.strerror}. Give a file with a state dict, "
            "or null for the official one."
        ) from error
