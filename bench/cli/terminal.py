"""What a run found, on the terminal."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.analysis.numbers.grading import poor_extractors
from bench.analysis.reading.metrics import method_of, problem_of, weight_symbol
from bench.config.identity import DEFAULT_MODEL
from bench.data.preprocessing.label_table import few
from bench.runs.lookup import Outcome
from bench.scores.registry import SCORES, names_of, score_of
from bench.scores.score import Score
from bench.store.escaping import for_rich, for_terminal
from bench.store.layout import FIGURE, PAIRS, SUMMARY, WARNINGS

NO_TRUTH = (
    "no test pair has a known change, so there is no AUC. Simulate changes with dataset.insert, "
    "or name a class of the labels with task.change"
)


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
    for warning in (*summary.get(WARNINGS, ()), *poor_extractors(summary)):
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


def _cell(value: Mapping[str, float | None] | None, digits: int) -> str:
    if value is None:
        return ""
    if value["mean"] is None:
        return "–"
    if value.get("low") is not None:
        return f"{value['mean']:.{digits}f} [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
    spread = "" if value["std"] is None else f" ± {value['std']:.{digits}f}"
    return f"{value['mean']:.{digits}f}{spread}"


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
