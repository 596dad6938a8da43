"""Worker processes beside the main one."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from typing import Any

MOST = 8
ENOUGH = 100_000_000  # units of work that outweigh the start of processes, some seconds


class Immediately(Executor):
    """Computes each task at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """A future that is done."""
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def workers(work: int) -> Executor:
    """As many processes as there are cores if there is much to do, else this process.

    Args:
        work: Voxels to look at, in all.
    """
    count = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, MOST)
    if count == 1 or work < ENOUGH or multiprocessing.current_process().daemon:
        return Immediately()
    return ProcessPoolExecutor(
        count, mp_context=multiprocessing.get_context("spawn"), initializer=_single_thread
    )


def _single_thread() -> None:
    import torch

    torch.set_num_threads(1)
