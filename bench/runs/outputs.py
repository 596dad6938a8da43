"""Folders that hold what a finished run makes of a pair of new files."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.errors import ConfigError
from bench.store.files import put_in_place, read_json, write_json

ORIGIN = "origin.json"


@dataclass(frozen=True)
class Origin:
    """What the files of a folder were made of; the folder's `ORIGIN`.

    Attributes:
        run: Name of the run's folder.
        moving: Path of the moving image.
        fixed: Path of the fixed image.
    """

    run: str
    moving: str
    fixed: str

    def check(self, out: Path) -> None:
        """Raises ConfigError if a folder holds files of another run or of another pair."""
        if not (out / ORIGIN).exists():
            return
        known, ours = read_json(out / ORIGIN) or {}, asdict(self)
        differing = [name for name in ours if known.get(name) != ours[name]]
        if differing:
            name = differing[0]
            raise ConfigError(
                f"--out {out}: holds files of another {'run' if name == 'run' else 'pair'} "
                f"({name} {known.get(name, 'unknown')}). Choose another folder, or delete this one."
            )


@contextmanager
def written_aside(out: Path, origin: Origin) -> Iterator[Path]:
    """A folder to write to; at the end its files get their places in `out`, each of them whole.

    Args:
        out: The folder of the files.
        origin: What they are made of, which `out` then says.

    Raises:
        ConfigError: If `out` cannot be written, or holds files of another origin.
    """
    origin.check(out)
    aside = out / ".partial"
    try:
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
        aside.mkdir(parents=True)
        yield aside
        write_json(out / ORIGIN, asdict(origin))
        for path in sorted(aside.iterdir()):
            put_in_place(path, out / path.name)
    except OSError as error:
        raise ConfigError(
            f"--out {out}: cannot be written ({error.strerror}). Free space or permit writing, or "
            "choose another folder."
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
