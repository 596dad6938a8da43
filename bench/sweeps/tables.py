"""A sweep on the terminal: its plan and its results."""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.analysis.numbers.selection import Choice, choose
from bench.analysis.reading.durations import duration
from bench.analysis.reading.metrics import method_of, problem_of, weight_symbol
from bench.config.synthesis import FACTOR
from bench.errors import counted
from bench.scores.registry import names_of, score_of
from bench.store.escaping import for_rich, for_terminal
from bench.store.folder import Status
from bench.store.layout import NETWORK, NETWORKS, PAIRS, RUNS
from bench.store.listing import list_folders
from bench.sweeps.cells import NOTHING_LEFT, Cell, estimate, estimate_memory, summaries_of

Key = tuple[str, str | None, str]  # data set, metric and variant
CLASS = "metric._target_="  # goes with the metric's name
COLUMNS = (  # overrides that have a column in tables
    *("dataset=", "dataset.name=", "metric=", "metric.name="),
    *("regularizer.scale=", "regularizer.weight=", f"task.{FACTOR}=", "seed="),
)


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
    told_of = _told(cells)
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
            for_rich(_further(cell, told_of)),
            "" if cell.status is Status.FINISHED else "?" if left is None else duration(left),
            for_rich(cell.reason.partition(". ")[0]),
        )
    console = _wide_console(table)
    console.print(table)
    for line in _of_metrics(cells, told_of):
        console.print(for_rich(line), soft_wrap=True)
    for line in dict.fromkeys(cell.reason for cell in cells if "prepare" in cell.reason):
        console.print(for_rich(line), soft_wrap=True)
    console.print(_counts(cells), soft_wrap=True)
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
            console = _wide_console(table)
            if len(by_task) > 1:
                console.print(f"task={for_rich(task)}", soft_wrap=True)
            console.print(table)
    print(_counts(cells))
    shared = _shared(cells) if len(cells) > 1 else set()
    for cell in cells:
        if cell.status not in NOTHING_LEFT:
            differing = " ".join(o for o in cell.overrides if o not in shared)
            line = f"{cell.status}: {differing}: {cell.reason}".removesuffix(": ")
            print(for_terminal(line), file=sys.stderr)
    if any(cell.status not in (*NOTHING_LEFT, Status.DAMAGED) for cell in cells):
        print("The same command runs only these.", file=sys.stderr)


def _counts(cells: Sequence[Cell]) -> str:
    """How many runs have which status, and how many combinations are one of them again."""
    counts = Counter(cell.status for cell in cells)
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    repeats = sum(len(cell.repeats) for cell in cells)
    all_of = f"{repeats} of {repeats + len(cells)} combinations {'is' if repeats == 1 else 'are'}"
    return f"{said}; {all_of} the same run as another" if repeats else said


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
    notes = {key: _note(choice) for key, choice in chosen.items()}
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


def _note(choice: Choice) -> str:
    """What a reader must know of a chosen λ or c."""
    if choice.blind:
        return "the smallest λ tried: there are no validation subjects"
    if not choice.at_border:
        return ""
    kind = "factors" if weight_symbol(choice.runs[0]) == "c" else "weights"
    tried = f"at the border of the {kind} tried"
    if all(NETWORK in run for run in choice.runs):
        return f"{tried}; model.lambda_range limits them"
    return tried


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
    told = _told(cells)
    found = {}
    for cell in cells:
        summary = cell.folder.summary() if cell.folder else None
        if summary:
            key = (summary["dataset"], summary.get("metric"), summary.get("variant", ""))
            found[key] = " ".join(filter(None, [method_of(summary), _further(cell, told)]))
    return found


def _shared(cells: Sequence[Cell]) -> set[str]:
    return set.intersection(*(set(cell.overrides) for cell in cells))


def _told(cells: Sequence[Cell]) -> dict[str, set[str]]:
    """By metric, the overrides that all its runs have: the metric's name tells them."""
    found: dict[str, set[str]] = {}
    for cell in cells:
        overrides = set(cell.overrides)
        found[cell.names["metric"]] = found.get(cell.names["metric"], overrides) & overrides
    return found


def _of_metrics(cells: Sequence[Cell], told: Mapping[str, set[str]]) -> Iterator[str]:
    """A line for overrides that all runs of some metrics have, but not those of all metrics."""
    shared = _shared(cells)
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


def _further(cell: Cell, told: Mapping[str, set[str]]) -> str:
    """Overrides that are neither told already nor shown in a column."""
    known = told[cell.names["metric"]]
    return " ".join(o for o in cell.overrides if o not in known and _has_no_column(o))


def _has_no_column(override: str) -> bool:
    return not override.startswith(COLUMNS)


def _size(path: Any) -> int:
    size = 0
    for file in path.rglob("*"):
        with suppress(FileNotFoundError):  # it was renamed since it was listed
            size += file.stat().st_size if file.is_file() else 0
    return size


def _wide_console(table: Table) -> Console:
    wide = Console(highlight=False, width=1000)
    return Console(highlight=False, width=wide.measure(table).maximum)
