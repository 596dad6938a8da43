"""Digests of the files that a configuration names, by content and not by place."""

import csv
import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.errors import ConfigError, no_folder


def table_digest(path: Path) -> str:
    """SHA-256 of a CSV table and of the files that its cells name, relative to it.

    Of a table that is not there, which its reader refuses, the path.
    """
    if not path.is_file():
        return str(path)
    content = path.read_bytes()
    found = hashlib.sha256(content)
    cells: set[str] = set()
    with suppress(csv.Error):  # which its reader refuses
        for line in csv.reader(content.decode("utf-8", "replace").splitlines()):
            cells.update(cell.strip() for cell in line)
    for cell in sorted(cells):
        named = path.parent / cell
        with suppress(OSError, ValueError):  # what is no name of a file
            if named.is_file():
                found.update(named.read_bytes())
    return found.hexdigest()


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
