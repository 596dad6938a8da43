"""The files of subjects: which they are, whether they changed, and what they contain."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.config.image_parts import parts_of
from bench.data.sources.subject import Subject
from bench.errors import DataError


def files(subject: Subject) -> list[Path]:
    """The files of a subject; those of a folder, and those that a header points to, too."""
    others = (subject.labels, subject.landmarks, subject.mask)
    listed = (*subject.images, *(path for path in others if path is not None))
    return [part for path in listed for part in parts_of(path)]


def where(subject: Subject, path: Path | None) -> str:
    """Names one of a subject's files, and the page in it, for messages."""
    page = "" if subject.page is None else f" (page {subject.page})"
    return f"{path or subject.id}{page}"


def files_state(subjects: Sequence[Subject], dataset: str) -> list[Any]:
    """Path, size and time of change of every file: cheap, and new when a file is.

    Args:
        subjects: The subjects.
        dataset: The data set's name, for messages.

    Raises:
        DataError: If a file is missing.
    """
    state: list[Any] = []
    known: dict[Path, list[Any]] = {}
    for subject in subjects:
        for path in files(subject):
            if path not in known:
                try:
                    status = path.stat()
                except OSError as error:
                    raise DataError(
                        f"dataset {dataset}: {path} of subject {subject.id} is missing. Copy it "
                        "there, or remove the subject from the list."
                    ) from error
                known[path] = [str(path.absolute()), status.st_size, status.st_mtime_ns]
            state.append([subject.id, subject.split, subject.page, *known[path]])
    return state


def times_of_change(subjects: Sequence[Subject]) -> str:
    """Hash of when anything of each file was changed last, which nothing can set back."""
    times = [path.stat().st_ctime_ns for path in _unique(subjects)]
    return hashlib.sha256(repr(times).encode()).hexdigest()


def fingerprint(subjects: Sequence[Subject]) -> str:
    """SHA-256 over the content of all files, independent of their paths."""
    unique = _unique(subjects)
    with ThreadPoolExecutor() as pool:
        hashes = dict(zip(unique, pool.map(_content_hash, unique), strict=True))
    digest = hashlib.sha256()
    for subject in subjects:
        place = "" if subject.page is None else f"/{subject.page}"
        digest.update(f"{subject.id}/{subject.split}{place}".encode())
        for path in files(subject):
            digest.update(hashes[path])
    return digest.hexdigest()


def _unique(subjects: Sequence[Subject]) -> list[Path]:
    return list(dict.fromkeys(path for subject in subjects for path in files(subject)))


def _content_hash(path: Path) -> bytes:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
