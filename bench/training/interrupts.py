"""Signals that ask a training to stop."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.errors import Interrupted


@contextmanager
def collected_signals(forward: bool = False) -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying; a second one of a kind acts at once.

    Args:
        forward: Whether child processes are asked to stop as well.
    """
    received: list[int] = []
    former: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        for child in multiprocessing.active_children() if forward else ():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGTERM)
        signal.signal(number, former[number])

    if threading.current_thread() is threading.main_thread():
        for caught in (signal.SIGINT, signal.SIGTERM):
            former[caught] = signal.signal(caught, note)
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Within it SIGTERM does what Ctrl-C does, which ends the workers of a launcher as well."""

    def stop(number: int, frame: Any) -> None:
        raise Interrupted("Terminated. The same command continues from the last saved states.")

    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)
