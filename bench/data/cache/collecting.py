"""Reads all subjects of a data set, in several processes where that pays."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from bench.data.cache.collector import Collector, MixedShapes, MixedSteps, Shapes, Taken
from bench.data.sources.roles import roles_of
from bench.data.sources.source import Source
from bench.data.sources.subject import Sample, Subject

WORTH_PROCESSES = 5.0  # seconds of reading from which starting processes pays
MOST_PROCESSES = 8


def collect(source: Source, subjects: Sequence[Subject], folder: Path | None) -> Collector:
    """Reads all subjects and checks them; writes them if a folder is given."""
    first = source.sample(subjects[0])
    roles_of(source, len(first.image))
    step, shapes = first.step, None
    while True:
        try:
            return _collect(source, subjects, folder, first, step, shapes)
        except MixedSteps:
            step = None
        except MixedShapes:
            shapes = [list(source.load(subject).image.shape[1:]) for subject in subjects]


def _processors() -> int:
    """How many this process may use; Linux alone tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _collect(
    source: Source,
    subjects: Sequence[Subject],
    folder: Path | None,
    first: Sample,
    step: float | None,
    shapes: Shapes | None,
) -> Collector:
    from rich.console import Console
    from rich.progress import Progress

    collector = Collector(source, first, step, shapes)
    if folder is not None:
        collector.create(folder, len(subjects))
    console = Console(stderr=True)
    with Progress(transient=True, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"reading {source.name}", total=len(subjects))
        for taken in _read_all(source, subjects, collector, folder, first):
            collector.found |= taken.ids
            collector.landmarks.append(taken.landmarks)
            progress.advance(bar)
    return collector


def _read_all(
    source: Source,
    subjects: Sequence[Subject],
    collector: Collector,
    folder: Path | None,
    first: Sample,
) -> Iterator[Taken]:
    yield collector.take(0, subjects[0], first)
    rest = range(1, len(subjects))
    if len(rest) > 2:  # the first one read may have waited for imports, the second one tells
        start = time.perf_counter()
        yield collector.take(1, subjects[1], source.sample(subjects[1]))
        seconds = (time.perf_counter() - start) * (len(rest) - 1)
        rest = rest[1:]
        processes = min(_processors(), MOST_PROCESSES, len(rest))
        if processes > 1 and seconds > WORTH_PROCESSES:
            yield from _in_processes(source, subjects, collector, folder, rest, processes)
            return
    for i in rest:
        yield collector.take(i, subjects[i], source.sample(subjects[i]))


def _in_processes(
    source: Source,
    subjects: Sequence[Subject],
    collector: Collector,
    folder: Path | None,
    rest: range,
    processes: int,
) -> Iterator[Taken]:
    pool = ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_process,
        initargs=(source, subjects, collector, folder),
    )
    try:
        yield from pool.map(_read_one, rest)
    finally:
        pool.shutdown(cancel_futures=True)


_own: tuple[Source, Sequence[Subject], Collector] | None = None


def _start_process(
    source: Source, subjects: Sequence[Subject], collector: Collector, folder: Path | None
) -> None:
    global _own
    if folder is not None:
        collector.open(folder)
    _own = source, subjects, collector


def _read_one(i: int) -> Taken:
    assert _own is not None
    source, subjects, collector = _own
    return collector.take(i, subjects[i], source.sample(subjects[i]))
