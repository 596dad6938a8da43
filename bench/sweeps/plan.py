"""The plan of a sweep on the terminal: its runs, and what they cost."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from rich.table import Table

from bench.analysis.reading.durations import duration
from bench.analysis.reading.metrics import weight_symbol
from bench.errors import counted
from bench.store.escaping import for_rich
from bench.store.layout import NETWORKS, RUNS
from bench.store.listing import list_folders
from bench.store.standing import Status
from bench.sweeps.cells import NOTHING_LEFT, Cell
from bench.sweeps.estimates import estimate, estimate_memory
from bench.sweeps.telling_apart import (
    COLUMNS,
    counts,
    further,
    shared_overrides,
    told_by_metric,
    wide_console,
)

CLASS = "metric._target_="  # goes with the metric's name


def print_plan(cells: Sequence[Cell]) -> None:
    """Prints every run with its status, the extractors to train, and an estimate of the time."""
    results = cells[0].experiment.results
    known = [
        summary
        for kind in (RUNS, NETWORKS)
        for folder in list_folders(results, kind)
        if (summary := folder.summary())
    ]
    table = Table(title=f"{len(cells)} run{'s' * (len(cells) > 1)}", title_justify="left")
    for heading in (
        "status",
        "dataset",
        "metric",
        "model",
        _symbol(cells),
        "seed",
        "further",
        "time",
        "note",
    ):
        table.add_column(heading, overflow="fold")
    told_of = told_by_metric(cells)
    seconds = [estimate(cell, known) for cell in cells]
    for cell, left in zip(cells, seconds, strict=True):
        names = cell.names
        table.add_row(
            cell.status,
            names["dataset"],
            names["metric"] if "metric" in cell.experiment.shaped_by else "–",
            cell.experiment["model"]["name"],
            "–" if names["weight"] is None else f"{names['weight']:g}",
            str(names["seed"]),
            for_rich(further(cell, told_of)),
            "" if cell.status is Status.FINISHED else "?" if left is None else duration(left),
            for_rich(cell.reason.partition(". ")[0]),
        )
    console = wide_console(table)
    console.print(table)
    for line in _of_metrics(cells, told_of):
        console.print(for_rich(line), soft_wrap=True)
    for line in dict.fromkeys(cell.reason for cell in cells if "prepare" in cell.reason):
        console.print(for_rich(line), soft_wrap=True)
    console.print(counts(cells), soft_wrap=True)
    surrogates = list(dict.fromkeys(name for cell in cells for name in cell.surrogates))
    if surrogates:
        line = f"extractors to train first: {', '.join(surrogates)}"
        console.print(for_rich(line), soft_wrap=True)
    networks = Counter(_network(c) for c in cells if _trains_for_all(c))
    if networks:
        named = (name if n == 1 else f"{name} ({n})" for name, n in networks.items())
        line = f"networks to train first, each once for all λ: {', '.join(named)}"
        console.print(for_rich(line), soft_wrap=True)
    waiting = [time for time, c in zip(seconds, cells, strict=True) if c.status not in NOTHING_LEFT]
    told = [time for time in waiting if time is not None]
    line = f"time: about {duration(sum(told))} on one device, judging by earlier runs"
    if len(told) < len(waiting):
        without = counted(len(waiting) - len(told), "run")
        line += f", without {without} on data that no finished run covers"
    if waiting and not told:
        line = (
            "time: unknown, as no such run on these data has finished. Run one of each metric; the "
            "plan then knows the time of the others."
        )
    console.print(line, soft_wrap=True)
    memory = [estimate_memory(c, known) for c in cells if c.status not in NOTHING_LEFT]
    if told_memory := [size for size in memory if size is not None]:
        console.print(f"memory: up to {max(told_memory) / 1e9:.1f} GB, judging by earlier runs")
    sizes = [_size(folder.path) for folder in list_folders(results, RUNS) if folder.summary()]
    if sizes:
        megabytes = len(waiting) * sum(sizes) / len(sizes) / 1e6
        console.print(f"disk: about {megabytes:.0f} MB, judging by earlier runs")


def _symbol(cells: Sequence[Cell]) -> str:
    """What the weights of some runs are called."""
    tasks = [cell.experiment["task"] for cell in cells if cell.names["weight"] is not None]
    return " or ".join(sorted(set(map(weight_symbol, tasks)))) or "λ"


def _trains_for_all(cell: Cell) -> bool:
    """Whether a run will train a network that other runs share."""
    return bool(cell.experiment.conditioned) and not cell.waits and cell.status not in NOTHING_LEFT


def _network(cell: Cell) -> str:
    """What a shared network is called: by its folder, or as long as that is not known its data."""
    names = cell.names
    return cell.network.name if cell.network else f"{names['metric']} on {names['dataset']}"


def _of_metrics(cells: Sequence[Cell], told: Mapping[str, set[str]]) -> Iterator[str]:
    """A line for overrides that all runs of some metrics have, but not those of all metrics."""
    shared = shared_overrides(cells)
    metrics: dict[str, dict[str, None]] = {}
    for cell in cells:
        metric = cell.names["metric"]
        own = " ".join(
            override
            for override in cell.overrides
            if override in told[metric] - shared and not override.startswith((*COLUMNS, CLASS))
        )
        if own:
            metrics.setdefault(own, {})[metric] = None
    for own, names in metrics.items():
        yield f"all runs of {', '.join(names)}: {own}"


def _size(path: Any) -> int:
    size = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):  # it was renamed since it was listed
            size += file.stat().st_size if file.is_file() else 0
    return size
