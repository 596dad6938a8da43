"""Locks between processes; a lock ends with its process."""

import errno
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import Busy, StoreError
from bench.store.files import creating, make_folder

SILENCE = 3.0  # seconds after which whoever waits says for whom
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def held(path: Path, what: str, remedy: str, patience: float | None = None) -> Iterator[None]:
    """Holds a lock file; creates its folder if necessary.

    Args:
        path: The lock file.
        what: What it locks, for the line that a waiting process prints.
        remedy: The setting that names another place, for file systems without locks.
        patience: Seconds to wait; None waits as long as it takes, and says so.

    Raises:
        Busy: If another process still holds it then.
        StoreError: If the file system has no locks.
    """
    make_folder(path.parent)
    if not path.exists():
        with creating(path):  # a lock would wait for ever where it cannot be made
            path.touch()
    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=SILENCE if patience is None else patience)
        except Timeout:
            if patience is not None:
                raise Busy(f"{what} is held by {_holder(path)}.") from None
            print(f"waiting for {what}, held by {_holder(path)}", file=sys.stderr, flush=True)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in NO_LOCKS:
            raise
        raise StoreError(
            f"{path}: this file system has no locks ({error}), so two processes could write the "
            f"same files. Choose a folder on another file system with {remedy}."
        ) from error
    try:
        with suppress(OSError):
            path.write_text(f"process {os.getpid()} on {platform.node()}")
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a process holds a lock file; nothing is written."""
    try:
        import fcntl
    except ImportError:  # Windows
        return _is_held_elsewhere(path)
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks here, so nobody has one
        return False
    finally:
        os.close(handle)
    return False


def _is_held_elsewhere(path: Path) -> bool:
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def _holder(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(errors="replace") or "another process"
    return "another process"
