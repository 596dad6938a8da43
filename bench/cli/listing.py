"""Lists of runs on the terminal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console

from bench.analysis.reading.durations import ago
from bench.analysis.reading.metrics import weight_symbol
from bench.scores.registry import OF_TASKS, SCORES, score_of
from bench.store.escaping import for_rich, for_terminal
from bench.store.layout import REGISTRATION

NONE = "–"


def print_runs(
    rows: list[dict[str, Any]],
    scores: Sequence[str],
    summaries: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Prints a table for each task, one line per run: status, what was run, mean scores.

    A table has the scores of short tables that one of its runs has; scores that the suite does not
    know, such as those of a user's task, count as such. A heading has a unit if all runs agree.

    Args:
        rows: Of `bench.store.listing.describe`.
        scores: Names, in their order.
        summaries: Of finished runs, by id.
    """
    console = Console(highlight=False)
    tasks = dict.fromkeys(row.get("task", REGISTRATION) for row in rows)
    for task in tasks:
        of_task = [row for row in rows if row.get("task", REGISTRATION) == task]
        if len(tasks) > 1:
            console.print(for_rich(f"task={task}"), soft_wrap=True)
        shown = [name for name in scores if _is_listed(name, of_task)]
        _print_runs(of_task, shown, console, summaries or {})
    for row in rows:
        if "error" in row:
            line = f"{row['id']} {row['status']}: {row['error']}"
            console.print(for_rich(line), soft_wrap=True)


def _is_listed(name: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the list of some runs has a score."""
    values = [row[name] for row in rows if row.get(name) is not None]
    known = {**SCORES, **OF_TASKS}.get(name)
    if known is None:
        return bool(values)
    return any(values) if known.hides_zero else bool(values) and known.in_short


def _print_runs(
    rows: list[dict[str, Any]],
    scores: Sequence[str],
    console: Console,
    summaries: Mapping[str, Mapping[str, Any]],
) -> None:
    differing = ["settings"] if any("settings" in row for row in rows) else []
    names = ["status", "dataset", "metric", "model", *differing, "weight", "seed", *scores]
    names += ["written", "id"]
    cells = [[_plain(row.get(name), name) for name in names] for row in rows]
    finished = [summaries[row["id"]] for row in rows if row.get("id") in summaries]
    headings = {name: score_of(name).directed(_unit(name, finished)) for name in scores}
    headings["weight"] = " or ".join(sorted({weight_symbol(one) for one in finished})) or "λ"
    for line in _lines([[headings.get(name, name) for name in names], *cells], console):
        print(line)


def _unit(score: str, summaries: Sequence[Mapping[str, Any]]) -> str | None:
    """The unit of a score in some runs: empty if they differ, None for the usual one."""
    usual = score_of(score).unit
    known = {one.get("units", {}).get(score, usual) for one in summaries if score in one["scores"]}
    return None if not known else known.pop() if len(known) == 1 else ""


def _lines(rows: Sequence[Sequence[str]], console: Console) -> Iterator[str]:
    """The lines of a table whose first row is its head; rich would take ms a row."""
    box = HEAVY_HEAD.substitute(console.options)
    rows = [[" ".join(for_terminal(cell).split()) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    padded = [width + 2 for width in widths]
    bars = [(box.head_left, box.head_vertical, box.head_right)]
    bars += [(box.mid_left, box.mid_vertical, box.mid_right)] * (len(rows) - 1)
    yield box.get_top(padded)
    for row, (left, middle, right) in zip(rows, bars, strict=True):
        cells = (f" {set_cell_size(cell, n)} " for cell, n in zip(row, widths, strict=True))
        yield left + middle.join(cells) + right
        if row is rows[0]:
            yield box.get_row(padded, "head")
    yield box.get_bottom(padded)


def print_missing(rows: Iterable[Mapping[Any, Any]]) -> None:
    """Prints what results lack, a line each; runs that were skipped alike have one.

    Args:
        rows: Of `bench.analysis.numbers.missing.find_missing`.
    """
    from bench.analysis.numbers.missing import APART

    lines: dict[str, None] = {}
    for row in rows:
        what, about = row["what"], " ".join(filter(None, (row["dataset"], row["metric"])))
        if what not in APART:
            numbers = ((name, row[name]) for name in ("weight", "seed"))
            said = (f"{name} {value:g}" for name, value in numbers if value not in (None, ""))
            what, about = "missing", ", ".join([about, *said, what])
        lines[f"{what}: {about}: {row['reason']}"] = None
    for line in lines:
        print(for_terminal(line))


def print_run(row: Mapping[str, Any], path: Path) -> None:
    """Prints identity, status and files of one run, without what it does not have."""
    console = Console(highlight=False)
    task = row.get("task", REGISTRATION)
    names = ["id", "status", *["task"] * (task != REGISTRATION), "dataset", "metric"]
    names += [*["model"] * (row.get("model") != task), "regularizer", "weight", "seed"]
    for name in names:
        if row.get(name, NONE) is not None:
            called = "factor" if (name, task) == ("weight", "synthesis") else name
            console.print(for_rich(f"{called}: {row.get(name, NONE)}"), soft_wrap=True)
    console.print(f"last written: {ago(row['written'])}")
    if "error" in row:
        console.print(for_rich(f"error: {row['error']}"), soft_wrap=True)
    files = ", ".join(sorted(file.name for file in path.iterdir()))
    console.print(for_rich(f"{path}: {files}"), soft_wrap=True)


def _plain(value: Any, name: str) -> str:
    if value is None:
        return "" if name == "settings" else "–"
    if name == "written":
        return ago(value)
    if name in SCORES or name in OF_TASKS:
        return f"{value:.{score_of(name).digits}f}"
    return f"{value:g}" if isinstance(value, float) else str(value)
