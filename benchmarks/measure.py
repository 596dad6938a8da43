"""Time and peak memory of an action, on a processor or a GPU."""

import argparse
import ctypes
import gc
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

Action = Callable[[], object]
Result = TypeVar("Result")
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # of glibc's mallopt


def parse_arguments(doc: str, suites: Sequence[str]) -> argparse.Namespace:
    """The options of the benchmarks.

    Args:
        doc: The script's docstring.
        suites: Names of the suites, the default first.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--suite", choices=suites, default=suites[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--filter", default="", help="only cases whose name contains this")
    parser.add_argument("--repeats", type=at_least_one, default=3)
    parser.add_argument(
        "--seconds", type=positive, default=600, help="of training, for convergence"
    )
    parser.add_argument("--way", action="append", help="of training, for convergence; repeatable")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--results", type=Path, help="keeps extractors, for convergence")
    parser.add_argument("--json", type=Path, help="writes the figures into this file as well")
    arguments = parser.parse_args()
    if arguments.json and not arguments.json.parent.is_dir():
        parser.error(
            f"--json {arguments.json}: there is no folder {arguments.json.parent}. Make it."
        )
    return arguments


def at_least_one(text: str) -> int:
    """A whole number of at least 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {text}")
    return number


def positive(text: str) -> float:
    """A finite number above 0."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text}")
    return number


def seconds(
    actions: Mapping[str, Action],
    repeats: int,
    device: str,
    before: Mapping[str, Action] | None = None,
) -> dict[str, list[float]]:
    """Seconds of each repeat of each action, run in turn after one warm-up.

    Args:
        actions: What is timed.
        repeats: How often.
        device: Where it runs.
        before: What is done before an action, untimed.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    for repeat in range(repeats + 1):
        for name, action in actions.items():
            if before and name in before:
                before[name]()
            synchronize(device)
            start = time.perf_counter()
            action()
            synchronize(device)
            if repeat:
                times[name].append(time.perf_counter() - start)
    return times


def peak_bytes(action: Action, device: str, exact: bool = True) -> int:
    """Most memory that is in use at any time of an action, beyond what is in use before it.

    Args:
        action: What is measured, after running once.
        device: Where it runs. On a processor memory is that of the process, as Linux counts it.
        exact: Whether buffers are taken from the system one by one and given back, which costs
            time: measure times first. Otherwise what the process keeps of what it frees counts.
    """
    gc.collect()
    if device == "cuda":
        action()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    libc = ctypes.CDLL("libc.so.6")
    if exact:
        libc.mallopt(M_MMAP_THRESHOLD, 1 << 16)
    action()
    libc.malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status("VmRSS")
    action()
    return _status("VmHWM") - before


def give_memory_back() -> None:
    """Returns what is free to the system, and lets the C library do so as it does by default."""
    libc = ctypes.CDLL("libc.so.6")
    libc.mallopt(M_MMAP_MAX, 1 << 16)
    libc.mallopt(M_MMAP_THRESHOLD, 1 << 17)
    libc.mallopt(M_TRIM_THRESHOLD, 1 << 17)
    libc.malloc_trim(0)


def in_fresh_process(function: Callable[..., Result], *arguments: object) -> Result:
    """What a function gives in a new process, where nothing is left from before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def synchronize(device: str) -> None:
    """Waits for a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def _status(key: str) -> int:
    found = re.search(rf"{key}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
