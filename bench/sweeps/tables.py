"""The results of a sweep on the terminal."""

import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.analysis.numbers.selection import Choice, choose
from bench.analysis.reading.metrics import method_of, problem_of, weight_symbol
from bench.config.conditioning import WeightRange
from bench.scores.registry import names_of, score_of
from bench.store.escaping import for_rich, for_terminal
from bench.store.layout import PAIRS
from bench.store.standing import Status
from bench.sweeps.cells import NOTHING_LEFT, Cell, summaries_of
from bench.sweeps.telling_apart import (
    counts,
    further,
    shared_overrides,
    told_by_metric,
    wide_console,
)

Key = tuple[str, str | None, str]  # data set, metric and variant


def print_sweep(cells: Sequence[Cell]) -> None:
    """Prints the chosen λ or c with test scores for each metric, and what is missing.

    Each task has a table, as tasks differ in test images and scores.
    """
    by_task: dict[str, list[Cell]] = {}
    for cell in cells:
        by_task.setdefault(cell.experiment["task"]["name"], []).append(cell)
    for task, of_task in by_task.items():
        chosen = choose(summaries_of(of_task), of_task[0].experiment["select"])
        if len(cells) > 1 and chosen:
            table = _table(of_task, chosen)
            console = wide_console(table)
            if len(by_task) > 1:
                console.print(f"task={for_rich(task)}", soft_wrap=True)
            console.print(table)
    print(counts(cells))
    shared = shared_overrides(cells) if len(cells) > 1 else set()
    for cell in cells:
        if cell.status not in NOTHING_LEFT:
            differing = " ".join(o for o in cell.overrides if o not in shared)
            line = f"{cell.status}: {differing}: {cell.reason}".removesuffix(": ")
            print(for_terminal(line), file=sys.stderr)
    if any(cell.status not in (*NOTHING_LEFT, Status.DAMAGED) for cell in cells):
        print("The same command runs only these.", file=sys.stderr)


def _table(cells: Sequence[Cell], chosen: dict[Key, Choice]) -> Table:
    criterion = cells[0].experiment["select"]
    tuned = [c for c in chosen.values() if c.weight is not None]
    symbol = " or ".join(sorted({weight_symbol(c.runs[0]) for c in tuned})) or "λ"
    by = f"; {symbol} chosen by {criterion}" if tuned else ""
    measured = [run["scores"] for choice in chosen.values() for run in choice.runs]
    drawn = any("low" in score for scores in measured for score in scores.values())
    spread = "± standard deviation" + " or [95 % interval]" * drawn
    title = f"test scores, mean {spread} over {_cases(chosen.values())}{by}"
    table = Table(title=title, title_justify="left")
    shown = [name for name in names_of(*measured) if score_of(name).in_short]
    headings = {name: _heading(name, chosen.values()) for name in shown}
    learned = {key: cell.experiment.conditioned for key, cell, _ in _finished(cells)}
    notes = {key: _note(choice, learned.get(key)) for key, choice in chosen.items()}
    noted = ["note"] if any(notes.values()) else []
    for heading in ("dataset", "method", symbol, "seeds", *headings.values(), *noted):
        left = heading in ("dataset", "method", "note")
        table.add_column(heading, justify="left" if left else "right")
    labels = _labels(cells)
    grouped: dict[tuple[str, str], list[tuple[Key, Choice]]] = {}
    for key, choice in chosen.items():
        grouped.setdefault((key[0], problem_of(choice.runs[0])), []).append((key, choice))
    for (dataset, problem), rows in grouped.items():
        first = rows[0][1].runs[0]
        known = first.get("scores_before", {})
        before = [_cell([known], name) if score_of(name).has_before else "" for name in shown]
        if known:
            nothing = f"{problem}: input" if problem else "unregistered"
            table.add_row(dataset, nothing, "", "", *before)
        for key, choice in rows:
            scores = [run["scores"] for run in choice.runs]
            texts = []
            for name in shown:
                text = _cell(scores, name)
                text += _left_out(name, scores)
                if name == "dice" and _is_best(choice, rows):
                    text = f"[bold]{text}[/bold]"
                texts.append(text)
            weight = "–" if choice.weight is None else f"{choice.weight:g}"
            seeds = str(len(choice.runs))
            told = [notes[key]] if noted else []
            table.add_row(dataset, for_rich(labels[key]), weight, seeds, *texts, *told)
        table.add_section()
    return table


def _note(choice: Choice, learned: WeightRange | None = None) -> str:
    """What a reader must know of a chosen λ or c.

    Args:
        choice: What was chosen.
        learned: Every λ that its network knows, if it is one for all λ.
    """
    if choice.blind:
        return "the smallest λ tried: there are no validation subjects"
    if not choice.at_border:
        return ""
    kind = "factors" if weight_symbol(choice.runs[0]) == "c" else "weights"
    tried = f"at the border of the {kind} tried"
    if learned is None or choice.weight is None:
        return tried
    if any(math.isclose(choice.weight, end, rel_tol=1e-5) for end in (learned.low, learned.high)):
        return f"{tried}, where model.lambda_range ends"
    return f"{tried}; the network knows those from {learned} without training"


def _cases(choices: Iterable[Choice]) -> str:
    """What the runs were tested on: pairs, or what another task calls its cases."""
    tables = {run.get("tables", [PAIRS])[0] for choice in choices for run in choice.runs}
    return " or ".join(sorted(Path(table).stem for table in tables))


def _heading(name: str, choices: Iterable[Choice]) -> str:
    """Title with the unit, which is left out if data sets differ in it, and an arrow."""
    usual = score_of(name).unit
    known = {run.get("units", {}).get(name, usual) for choice in choices for run in choice.runs}
    return for_rich(score_of(name).directed(known.pop() if len(known) == 1 else ""))


def _is_best(choice: Choice, rows: Sequence[tuple[Key, Choice]]) -> bool:
    means = [_mean([run["scores"] for run in other.runs], "dice") for _, other in rows]
    known = [mean for mean in means if mean is not None]
    return bool(known) and _mean([run["scores"] for run in choice.runs], "dice") == max(known)


def _mean(scores: Sequence[dict[str, Any]], name: str) -> float | None:
    values = [row.get(name, {}).get("mean") for row in scores]
    return None if None in values else sum(values) / len(values)


def _cell(scores: Sequence[dict[str, Any]], name: str) -> str:
    """Mean over seeds of the mean over pairs, and of the deviation over pairs."""
    mean = _mean(scores, name)
    if mean is None:
        return "–"
    digits, spreads = score_of(name).digits, [row[name]["std"] for row in scores]
    if len(scores) == 1 and scores[0][name].get("low") is not None:
        low, high = scores[0][name]["low"], scores[0][name]["high"]
        return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    if None in spreads:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ± {sum(spreads) / len(spreads):.{digits}f}"


def _left_out(name: str, scores: Sequence[dict[str, Any]]) -> str:
    """How many classes a pair lost, whose distances are not in the mean."""
    lost = _mean(scores, f"{name}_left_out") if name == "hd95" else None
    return f" ({lost:.2g} classes left out)" if lost else ""


def _labels(cells: Sequence[Cell]) -> dict[Key, str]:
    """Metric of each variant, with what else tells it from the others of the sweep."""
    told = told_by_metric(cells)
    return {
        key: " ".join(filter(None, [method_of(summary), further(cell, told)]))
        for key, cell, summary in _finished(cells)
    }


def _finished(cells: Sequence[Cell]) -> Iterator[tuple[Key, Cell, Mapping[str, Any]]]:
    """Cells whose runs have finished, with data set, metric and variant, and their summaries."""
    for cell in cells:
        summary = cell.folder.summary() if cell.folder else None
        if summary:
            key = (summary["dataset"], summary.get("metric"), summary.get("variant", ""))
            yield key, cell, summary
