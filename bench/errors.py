"""What can go wrong in a way the user can mend."""

import traceback
from pathlib import Path


class BenchError(Exception):
    """A fault whose text is the one line the user sees.

    The text says what was given, what is allowed, and what to do.
    """


class ConfigError(BenchError):
    """The configuration asks for something that does not exist or cannot work."""


class DataError(BenchError):
    """A data set is missing, damaged, or not what its configuration declares."""


class DamagedCache(DataError):
    """A cache is not as it was written; it has been deleted, to be made again."""


class NoRoom(DataError):
    """A disk is too small for a data set."""


class Unwritable(OSError):
    """A folder that the user has named cannot be written."""


class CacheUnwritable(Unwritable):
    """The folder of the caches cannot be written."""


class StoreError(BenchError):
    """A folder of results cannot be written, or holds something unusable."""


class Busy(StoreError):
    """Another process holds a folder."""


class Unsupported(BenchError):
    """A combination of metric, data set and model that cannot work; the run is skipped."""


class Diverged(BenchError):
    """A training or a registration produced values that are not finite."""


class OutOfMemory(BenchError):
    """A device has too little memory for a training."""


class Interrupted(KeyboardInterrupt):
    """Training was stopped by a signal after its state had been saved; ends a sweep too."""


def counted(count: int, noun: str) -> str:
    """A number and its noun: 1 subject, 2 subjects."""
    return f"{count} {noun}" + "s" * (count != 1)


def own_cause(error: BaseException) -> BenchError | None:
    """The fault of ours that an error, such as one of Hydra's, was raised from or in handling."""
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, BenchError):
        cause = cause.__cause__ or cause.__context__
    return cause


def place_of(error: BaseException) -> str:
    """Where an error was raised, `FILE:LINE`: the innermost place outside installed packages."""
    frames = traceback.extract_tb(error.__traceback__)[::-1]
    ours = (frame for frame in frames if "site-packages" not in frame.filename)
    raised = next(ours, frames[0]) if frames else None
    return f"{raised.filename}:{raised.lineno}" if raised else "unknown place"


def no_folder(path: Path) -> str:
    """Why a path is not that of a folder."""
    return "is a file" if path.exists() else "no such folder"
