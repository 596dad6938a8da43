"""Tables on the terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.scores import SCORES
from bench.store import FIGURE


def print_summary(summary: Mapping[str, Any], folder: Path) -> None:
    """Prints a run's scores before and after registration, the better one bold.

    Args:
        summary: The run's summary.
        folder: The run's folder, for the path of its figure.
    """
    title = "{metric} on {dataset}, λ = {weight:g}, seed {seed}, {steps} steps".format(**summary)
    table = Table(title=title, title_justify="left")
    for heading in ("score", "before", "after", "pairs"):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    for name, score in SCORES.items():
        before, after = summary["scores_before"][name], summary["scores"][name]
        cells = [_cell(value, score.digits) for value in (before, after)]
        known = [value["mean"] for value in (before, after)]
        if None not in known and known[0] != known[1] and name != "seconds":
            better = known[1] > known[0] if score.best == "max" else known[1] < known[0]
            cells[better] = f"[bold]{cells[better]}[/bold]"
        unit = f" [{score.unit}]" if score.unit else ""
        table.add_row((score.title + unit).replace("[", r"\["), *cells, str(after["n"]))
    console = Console(highlight=False)
    console.print(table)
    console.print(f"figure: {folder / FIGURE}", soft_wrap=True)


def print_runs(rows: list[dict[str, Any]]) -> None:
    """Prints one line per run: status, what was run, mean scores."""
    table = Table()
    names = ["status", "dataset", "metric", "weight", "seed", *SCORES, "id"]
    for name in names:
        table.add_column(name.removesuffix("_published") + "*" * name.endswith("_published"))
    for row in rows:
        table.add_row(*(_plain(row.get(name), name) for name in names))
    wide = Console(highlight=False, width=1000)
    console = Console(highlight=False, width=wide.measure(table).maximum)
    console.print(table)
    console.print("* by the published definition", soft_wrap=True)
    for row in rows:
        if "error" in row:
            console.print(f"{row['id']} {row['status']}: {row['error']}", soft_wrap=True)


def _cell(value: Mapping[str, float | None], digits: int) -> str:
    if value["mean"] is None:
        return "–"
    spread = "" if value["std"] is None else f" ± {value['std']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{spread}"


def _plain(value: Any, name: str) -> str:
    if value is None:
        return "–"
    if name in SCORES:
        return f"{value:.{SCORES[name].digits}f}"
    return f"{value:g}" if isinstance(value, float) else str(value)
