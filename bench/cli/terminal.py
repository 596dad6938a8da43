"""Tables on the terminal."""

import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import HEAVY_HEAD
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table

from bench.analysis.reading.durations import ago
from bench.analysis.reading.metrics import method_of, problem_of, weight_symbol
from bench.config.commands import BENCH, RUN, with_results
from bench.config.identity import DEFAULT_MODEL
from bench.config.overrides import quoted
from bench.data.preprocessing.label_table import few
from bench.runs.lookup import Outcome
from bench.scores.registry import OF_TASKS, SCORES, names_of, score_of
from bench.scores.score import Score
from bench.store.escaping import for_rich, for_terminal
from bench.store.folder import FIGURE, PAIRS, REGISTRATION, SUMMARY, WARNINGS

KEPT = ("task", "dataset", "model", "trainer", "tracker")
CHANGES = "task=changes"  # selects the following, unless another model is chosen
NO_TRUTH = (
    "no test pair has a known change, so there is no AUC. Simulate changes with dataset.insert, "
    "or name a class of the labels with task.change"
)
VARIATIONAL = "model=variational"  # learns from few metrics


def print_outcome(outcome: Outcome) -> None:
    """Prints the result of a run: its scores, or why it has none."""
    name = outcome.folder.path.name
    if outcome.summary is None:
        print(for_terminal(outcome.left_out), file=sys.stderr)
        return
    damage = outcome.folder.standing().reason if outcome.before else ""
    if outcome.before and not damage:
        print(f"{name} has finished before; pass force=true to rerun it")
    print_summary(outcome.summary, outcome.folder.path)
    if damage:
        sys.stdout.flush()
        print(f"{name} is damaged: {damage}", file=sys.stderr)


def print_next_steps(results: Path, words: Sequence[str]) -> None:
    """Prints three commands to try after a first run.

    Args:
        results: Folder of the results.
        words: Of its command; those that choose task, data, method and training are repeated.
    """
    kept = [word for word in words if word.lstrip("+~").partition("=")[0].partition(".")[0] in KEPT]
    where = with_results(results)
    place = [f"results_dir={quoted(str(results))}"] if where else []
    learns_from_few = VARIATIONAL in kept or (CHANGES in kept and not _chooses_model(kept))
    metrics = "mse,deepsim_seg" if learns_from_few else "mse,ncc,mind"
    sweep = shlex.join([*kept, f"metric={metrics}", "seed=0,1", *place])
    for command, what in (
        (f"{RUN} -m {sweep}", "compares metrics"),
        (f"{BENCH} report{where}", "tables, figures, statistics, a page"),
        (f"{BENCH} data list", "further data sets, and where to put yours"),
    ):
        print(for_terminal(f"next: {command:<46}  # {what}"))


def _chooses_model(words: Sequence[str]) -> bool:
    return any(word.startswith("model=") for word in words)


def print_summary(summary: Mapping[str, Any], folder: Path) -> None:
    """Prints a run's scores before and after, the better one bold.

    Args:
        summary: The run's summary.
        folder: The run's folder, for the path of its figure.
    """
    table = Table(title=for_rich(_title(summary)), title_justify="left")
    of_before, of_after = summary.get("scores_before", {}), summary["scores"]
    noun = Path(summary.get("tables", [PAIRS])[0]).stem
    for heading in ("score", "before", "after", noun) if of_before else ("score", "mean", noun):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    scores = [score_of(name) for name in names_of(of_after, of_before)]
    for score in scores:
        name = score.name
        if not score.is_printed:
            continue
        before, after = of_before.get(name), of_after.get(name)
        cells = [_cell(value, score.digits) for value in (before, after)]
        known = [value and value["mean"] for value in (before, after)]
        if score.hides_zero and not any(known):
            continue
        unit = summary.get("units", {}).get(name)
        pairs = str(after["n"]) if after else ""
        marked = _marked(score, cells, known) if of_before else cells[1:]
        table.add_row(for_rich(score.directed(unit)), *marked, pairs)
        key = score.quantile_name
        known = [value and value.get(key) for value in (before, after)] if key else []
        if any(value is not None for value in known):
            cells = ["" if value is None else f"{value:.{score.digits}f}" for value in known]
            heading = score.directed(unit, quantile=True)
            table.add_row(for_rich(heading), *_marked(score, cells, known), pairs)
    console = Console(highlight=False)
    console.print(table)
    for voxels in {value["voxels"] for value in of_after.values() if "voxels" in value}:
        console.print(f"pooled: over {voxels} voxels of all test {noun}", soft_wrap=True)
    for warning in summary.get(WARNINGS, ()):
        console.print(for_rich(f"warning: {warning}"), soft_wrap=True)
    if not all(score.is_printed for score in scores):
        console.print(for_rich(f"further scores: {folder / SUMMARY}"), soft_wrap=True)
    areas = [value["mean"] for name, value in of_after.items() if name.startswith("auc")]
    if summary.get("task") == "changes" and not any(area is not None for area in areas):
        console.print(f"note: {NO_TRUTH}", soft_wrap=True)
    console.print(for_rich(f"figure: {folder / FIGURE}"), soft_wrap=True)


def _marked(score: Score, cells: Sequence[str], values: Sequence[float | None]) -> list[str]:
    """The cells before and after, the better one bold."""
    marked = list(cells)
    before, after = values
    if score.has_before and before is not None and after is not None:
        for i, better in enumerate(
            (score.is_better(before, after), score.is_better(after, before))
        ):
            if better:
                marked[i] = f"[bold]{cells[i]}[/bold]"
    return marked


def _title(summary: Mapping[str, Any]) -> str:
    method, model = method_of(summary), summary.get("model", DEFAULT_MODEL)
    said = "" if model in (DEFAULT_MODEL, method) else f" {model}"
    parts = [f"{method}{said} on {summary['dataset']}", *filter(None, [problem_of(summary)])]
    if summary.get("weight") is not None:
        parts.append(f"{weight_symbol(summary)} = {summary['weight']:g}")
    parts.append(f"seed {summary['seed']}")
    if summary.get("steps") is not None:
        parts.append(f"{summary['steps']} steps")
    return ", ".join(parts)


def print_runs(
    rows: list[dict[str, Any]],
    scores: Sequence[str],
    summaries: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Prints a table for each task, one line per run: status, what was run, mean scores.

    A table has the scores of short tables that one of its runs has; scores that the suite does not
    know, such as those of a user's task, count as such. A heading has a unit if all runs agree.

    Args:
        rows: Of `bench.store.folder.describe`.
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
    """Prints what results lack, a line each.

    Args:
        rows: Of `bench.analysis.numbers.missing.find_missing`.
    """
    from bench.analysis.numbers.missing import NOTE

    for row in rows:
        if row["what"] == NOTE:
            about = " ".join(filter(None, (row["dataset"], row["metric"])))
            print(for_terminal(f"note: {about}: {row['reason']}"))
            continue
        values = (f"{v:g}" if isinstance(v, float) else str(v) for v in row.values())
        print("missing:", *map(for_terminal, filter(None, values)))


def print_robustness(tested: Mapping[str, Any]) -> None:
    """Prints mean scores of each run at each level of a corruption.

    Args:
        tested: Frames of `bench.inspection.robustness.retest` by what they are called.
    """
    frames = [rows.groupby("level").mean(numeric_only=True) for rows in tested.values()]
    shown = [name for name, score in SCORES.items() if score.in_validation and name in frames[0]]
    corruption = next(iter(tested.values()))["corruption"].iloc[0]
    first, *others = [SCORES[name].title for name in shown]
    what = f"{first} ({', '.join(others)})" if others else first
    table = Table(title=f"test {what} under {corruption}", title_justify="left")
    table.add_column("run", overflow="fold")
    for level in frames[0].index:
        table.add_column(f"{level:g}", justify="right")
    for name, means in zip(tested, frames, strict=True):
        table.add_row(for_rich(name), *(_robust(row, shown) for row in means.to_dict("records")))
    wide = Console(highlight=False, width=1000)
    Console(highlight=False, width=wide.measure(table).maximum).print(table)


def _robust(row: Mapping[Any, float], shown: Sequence[str]) -> str:
    first, *others = [f"{row[name]:.{SCORES[name].digits}f}" for name in shown]
    return f"{first} ({', '.join(others)})" if others else first


def print_run(row: Mapping[str, Any], path: Path) -> None:
    """Prints identity, status and files of one run."""
    console = Console(highlight=False)
    for name in ("id", "status", "dataset", "metric", "model", "regularizer", "weight", "seed"):
        console.print(for_rich(f"{name}: {row.get(name, '–')}"), soft_wrap=True)
    console.print(f"last written: {ago(row['written'])}")
    if "error" in row:
        console.print(for_rich(f"error: {row['error']}"), soft_wrap=True)
    files = ", ".join(sorted(file.name for file in path.iterdir()))
    console.print(for_rich(f"{path}: {files}"), soft_wrap=True)


def _cell(value: Mapping[str, float | None] | None, digits: int) -> str:
    if value is None:
        return ""
    if value["mean"] is None:
        return "–"
    if value.get("low") is not None:
        return f"{value['mean']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
    spread = "" if value["std"] is None else f" ± {value['std']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{spread}"


def _plain(value: Any, name: str) -> str:
    if value is None:
        return "" if name == "settings" else "–"
    if name == "written":
        return ago(value)
    if name in SCORES or name in OF_TASKS:
        return f"{value:.{score_of(name).digits}f}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def print_check(report: Any) -> None:
    """Prints the findings of `bench data check`.

    Args:
        report: A `bench.data.check_report.CheckReport`.
    """
    console = Console(highlight=False)
    splits = report.splits.values()
    table = Table(title=for_rich(f"{report.name}: splits"), title_justify="left")
    for heading in ("", *report.splits):
        table.add_column(for_rich(heading), overflow="fold")
    for name, cells in (
        ("subjects", [str(split.subjects) for split in splits]),
        ("pairs", ["" if split.pairs is None else str(split.pairs) for split in splits]),
        ("shape", [_kinds(split.shapes) for split in splits]),
        ("spacing", [_kinds(split.spacings) for split in splits]),
        ("stored as", [_kinds(split.orientations) for split in splits]),
        ("intensity", [_span(split.stored) for split in splits]),
        ("normalized", [_span(split.normalized) for split in splits]),
    ):
        if any(cells):
            table.add_row(name, *map(for_rich, cells))
    if report.splits:
        console.print(table)
    if report.labels:
        labels = Table(title=for_rich(f"{report.name}: labels"), title_justify="left")
        for heading in ("class", "ids", "voxels", "share", "subjects"):
            labels.add_column(heading, justify="left" if heading == "class" else "right")
        total = sum(label.voxels for label in report.labels)
        for label in report.labels:
            share = f"{label.voxels / total:.3%}"
            ids = few(sorted(label.ids), 4)
            labels.add_row(for_rich(label.name), ids, str(label.voxels), share, str(label.subjects))
        console.print(labels)
    for note in report.notes:
        console.print(f"note: {for_rich(note)}", soft_wrap=True)
    for fault in report.faults:
        console.print(f"[bold red]fault:[/] {for_rich(fault)}", soft_wrap=True)


def _kinds(counter: Mapping[Any, int]) -> str:
    """The values of a counter: the only one, or how many with the least and the greatest."""
    shown = [_joined(value) for value in sorted(counter)]
    if len(shown) < 3:
        return ", ".join(shown)
    return f"{len(shown)} kinds, {shown[0]} to {shown[-1]}"


def _joined(value: Any) -> str:
    return value if isinstance(value, str) else " x ".join(f"{part:g}" for part in value)


def _span(limits: tuple[float, float] | None) -> str:
    return "" if limits is None else f"{limits[0]:.4g} to {limits[1]:.4g}"
