"""Folders that hold what a finished run makes of a pair of new files."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.errors import ConfigError
from bench.store.files import put_in_place, read_json, write_json
from bench.store.locks import held

ORIGIN = "origin.json"
LOCK = ".lock"
PARTIAL = ".partial"
KINDS = {"run": "run", "moving": "pair", "fixed": "pair", "weight": "λ"}  # what differs by what
MADE = re.compile(r"(change(_\w+)?|warped(_labels)?|(inverse_)?displacement|landmarks)\.")


@dataclass(frozen=True)
class Origin:
    """What the files of a folder were made of; the folder's `ORIGIN`.

    Attributes:
        run: Name of the run's folder.
        moving: Path of the moving image.
        fixed: Path of the fixed image.
        weight: λ that was asked for, if it is not the run's own.
    """

    run: str
    moving: str
    fixed: str
    weight: float | None = None

    def check(self, out: Path) -> None:
        """Raises ConfigError if a folder holds files of another origin that these would replace."""
        if not (out / ORIGIN).exists():
            foreign = sorted(path.name for path in out.iterdir() if MADE.match(path.name))
            if foreign:
                raise ConfigError(
                    f"--out {out}: holds {foreign[0]}, which this command did not write. Choose "
                    "another folder, or move the file."
                )
            return
        known, ours = read_json(out / ORIGIN), self.content()
        if not isinstance(known, dict) or {"weight", *known} != {"weight", *ours}:
            raise ConfigError(
                f"--out {out}: its {ORIGIN} is damaged, so nobody knows what the other files were "
                "made of. Choose another folder, or delete that file and them."
            )
        for name, kind in KINDS.items():
            if known.get(name) != ours.get(name):
                which = f"{name} {known[name]}" if name in known else "the run's own"
                raise ConfigError(
                    f"--out {out}: holds files of another {kind} ({which}). Choose another folder, "
                    "or delete this one."
                )

    def content(self) -> dict[str, str | float]:
        """What `ORIGIN` holds; `weight` only if it was asked for."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@contextmanager
def claimed(out: Path, origin: Origin) -> Iterator[None]:
    """Holds a folder for the files of a pair; waits for another process that holds it.

    Args:
        out: The folder, which need not exist; it goes again if nothing is written.
        origin: What the files are to be made of.

    Raises:
        ConfigError: If `out` cannot be written, is a file, or holds files of another origin.
        StoreError: If its file system has no locks.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file. Name a folder.")
    is_new = not out.exists()
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)
        (out / LOCK).touch()
    with held(out / LOCK, f"the folder {out}", "--out DIR"):
        try:
            origin.check(out)
            yield
        finally:
            with suppress(OSError):
                (out / LOCK).unlink()
                if is_new:
                    out.rmdir()  # which succeeds only if it is empty


@contextmanager
def written_aside(out: Path, origin: Origin) -> Iterator[Path]:
    """A folder to write to; at the end its files get their places in `out`, each of them whole.

    Args:
        out: The folder of the files, claimed.
        origin: What they are made of, which `out` then says.

    Raises:
        ConfigError: If `out` cannot be written.
    """
    aside = out / PARTIAL
    try:
        with _writing(out):
            shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
            aside.mkdir()
            yield aside
            write_json(out / ORIGIN, origin.content())
            for path in sorted(aside.iterdir()):
                put_in_place(path, out / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"--out {out}: cannot be written ({error.strerror or error}). Free space or permit "
            "writing, or choose another folder."
        ) from error
