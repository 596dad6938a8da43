"""What tells the runs of a sweep apart, on the terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from bench.config.synthesis import FACTOR
from bench.sweeps.cells import Cell

COLUMNS = (  # overrides that have a column in tables
    *("dataset=", "dataset.name=", "metric=", "metric.name="),
    *("regularizer.scale=", "regularizer.weight=", f"task.{FACTOR}=", "seed="),
)


def counts(cells: Sequence[Cell]) -> str:
    """How many runs have which status, and how many combinations are one of them again."""
    counts = Counter(cell.status for cell in cells)
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    repeats = sum(len(cell.repeats) for cell in cells)
    all_of = f"{repeats} of {repeats + len(cells)} combinations {'is' if repeats == 1 else 'are'}"
    return f"{said}; {all_of} the same run as another" if repeats else said


def shared_overrides(cells: Sequence[Cell]) -> set[str]:
    return set.intersection(*(set(cell.overrides) for cell in cells))


def told_by_metric(cells: Sequence[Cell]) -> dict[str, set[str]]:
    """By metric, the overrides that all its runs have: the metric's name tells them."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        overrides = set(cell.overrides)
        found[cell.names["metric"]] = found.get(cell.names["metric"], overrides) & overrides
    return found


def further(cell: Cell, told: Mapping[str, set[str]]) -> str:
    """Overrides that are neither told already nor shown in a column."""
    known = told[cell.names["metric"]]
    return " ".join(o for o in cell.overrides if o not in known and _has_no_column(o))


def _has_no_column(override: str) -> bool:
    return not override.startswith(COLUMNS)


def wide_console(table: Table) -> Console:
    wide = Console(highlight=False, width=1000)
    return Console(highlight=False, width=wide.measure(table).maximum)
