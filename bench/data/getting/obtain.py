"""Gets a data set: downloads or unpacks it, verifies it, and puts it in place."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from bench.config.commands import BENCH
from bench.config.groups import readme
from bench.data.cache.preparing import check_subjects
from bench.data.check import check
from bench.data.getting.archive import unpack
from bench.data.getting.clones import lay_out
from bench.data.getting.download import download
from bench.data.sources.content import files_state
from bench.data.sources.source import Source
from bench.errors import BenchError, DataError, NoRoom
from bench.store.locks import held

HASHES = ".hashes.json"  # of what was downloaded first, by address, where nobody publishes one
DEPTH = 3  # folders in an archive below which a data set is not looked for


def is_ready(source: Source) -> int | None:
    """Number of subjects if the listing is complete and all files exist; None otherwise."""
    try:
        return listed(source)
    except BenchError:
        return None


def listed(source: Source) -> int:
    """Number of subjects.

    Raises:
        DataError: If the listing is not usable, or a file is missing.
    """
    subjects = source.subjects()
    check_subjects(source.name, subjects)
    files_state(subjects, source.name)
    return len(subjects)


def obtain(
    source: Source, about: Mapping[str, Any], archive: Path | None, clone: Path | None = None
) -> int:
    """Puts a data set into its root, unless it is already there.

    It unpacks the archive, or lays out the clone, in a separate folder, checks everything, and only
    then moves the files into `root`. After an interruption the same call continues: a download
    resumes, the rest is repeated. Where no hash is published, it removes a download that is not the
    data set; the hash of the first download that is the data set applies to later ones.

    Args:
        source: The data set.
        about: Its section `about`: `url` and `hash`, or `manual`; `clone`, how a clone is laid out.
        archive: An archive that was downloaded by hand.
        clone: A clone of the repository in which its source lies.

    Returns:
        Number of subjects.

    Raises:
        DataError: Says what is wrong with the archive or clone, or what to do by hand.
    """
    if source.root is None:
        raise DataError(
            f"dataset {source.name} holds your files. Lay them out as {readme(source.name)} "
            f"says, then run `{BENCH} data check {source.name} --root DIR`."
        )
    if clone is not None and (archive is not None or "clone" not in about):
        which = "--archive is given, too. Give only one."
        if archive is None:
            which = f"it is not made from a clone. {_by_hand(source, about)}"
        raise DataError(f"--clone {clone}: does not go with dataset {source.name}: {which}")
    given = archive or clone
    if given is None and not about.get("url") and is_ready(source) is None:
        raise DataError(f"dataset {source.name} cannot be downloaded. {_by_hand(source, about)}")
    root = Path(source.root)
    root.mkdir(parents=True, exist_ok=True)
    with held(root / ".prepare.lock", f"the folder {root}", "dataset.root=DIR"):
        count = is_ready(source)
        if count is not None:
            return count
        fetched = None
        if given is None:
            fetched = given = _download(about, root)
        unpacked = root / ".unpacked"
        try:
            shutil.rmtree(unpacked, ignore_errors=True)
            if clone is not None:
                if is_ready(replace(source, root=clone)) is not None:
                    raise DataError(
                        f"--clone {clone}: this is the prepared data set; dataset.root={clone} "
                        "uses it in place."
                    )
                lay_out(about["clone"], clone, unpacked)
            else:
                unpack(given, unpacked)
            found = locate(source, unpacked, given)
            report = check(replace(source, root=found))
            if report.faults:
                more = f" (and {len(report.faults) - 1} more)" if len(report.faults) > 1 else ""
                raise DataError(f"{given}: {report.faults[0]}{more}")
            move_content(found, root)
        except NoRoom:
            raise
        except BenchError:
            if fetched is not None and _known_hash(about, root) is None:
                fetched.unlink()
            raise
        finally:
            shutil.rmtree(unpacked, ignore_errors=True)
        if fetched is not None:
            if _known_hash(about, root) is None:
                _pin(about["url"], fetched, root)
            fetched.unlink()
    return listed(source)


def _by_hand(source: Source, about: Mapping[str, Any]) -> str:
    """How to get a data set without a download."""
    named = f"datasets/{source.name}/README.md"  # by its place in a clone
    return str(about.get("manual") or f"See {named}.").replace(named, str(readme(source.name)))


def _download(about: Mapping[str, Any], root: Path) -> Path:
    path = root / Path(urlparse(about["url"]).path).name
    said_by = "published" if about.get("hash") else f"first one's, in {root / HASHES},"
    return download(about["url"], path, _known_hash(about, root), said_by)


def _known_hash(about: Mapping[str, Any], root: Path) -> str | None:
    """The hash that is published for a download, or that of the first one."""
    return about.get("hash") or _pinned(root).get(about["url"])


def _pinned(root: Path) -> dict[str, str]:
    path = root / HASHES
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: is not a table of hashes. Delete it; the suite then trusts the next download."
        )
    return content


def _pin(url: str, path: Path, root: Path) -> None:
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    pinned = {**_pinned(root), url: f"sha256:{digest}"}
    partial = root / f"{HASHES}.partial"
    partial.write_text(json.dumps(pinned, indent=1) + "\n", encoding="utf-8")
    partial.replace(root / HASHES)


def locate(source: Source, folder: Path, archive: Path) -> Path:
    """The folder in an unpacked archive that holds the data set.

    Raises:
        DataError: If none does.
    """
    first: BenchError | None = None
    for candidate in folders(folder):
        try:
            listed(replace(source, root=candidate))
        except BenchError as error:
            first = first or error
        else:
            return candidate
    reason = str(first).replace(f"{folder}{os.sep}", "").replace(str(folder), "its top folder")
    raise DataError(
        f"{archive}: does not hold the data set {source.name} ({reason}) Check that it is the "
        "right archive."
    )


def folders(top: Path) -> Iterator[Path]:
    """A folder and those in it, nearest first; begins where there is more than one entry."""
    while len(entries := list(top.iterdir())) == 1 and entries[0].is_dir():
        top = entries[0]
    level = [top]
    for _ in range(DEPTH + 1):
        yield from level
        level = sorted(entry for folder in level for entry in folder.iterdir() if entry.is_dir())


def move_content(source: Path, target: Path) -> None:
    """Moves what is in one folder into another on the same disk, replacing what is there."""
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if place.name == "README.md" and place.exists():
            continue
        if place.is_dir():
            shutil.rmtree(place)
        os.replace(entry, place)
