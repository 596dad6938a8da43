"""`python -m bench runs`: list, show, delete and reset runs."""

import json
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.listing import print_run, print_runs
from bench.cli.terminal import print_summary
from bench.config.commands import BENCH, RUN
from bench.config.conditioning import weight_range
from bench.errors import BenchError, no_folder
from bench.scores.registry import names_of
from bench.store.escaping import for_terminal
from bench.store.files import as_csv
from bench.store.folder import Folder
from bench.store.layout import CONFIG, HEADER, NETWORK, NETWORKS, RUNS, TRACEBACK
from bench.store.listing import describe, list_folders
from bench.store.standing import Status

app = typer.Typer(
    invoke_without_command=True,
    no_args_is_help=False,
    help="List, show, delete and reset runs.",
)


class Format(StrEnum):
    """Output formats."""

    table = "table"
    csv = "csv"
    json = "json"


Results = Annotated[Path, typer.Option("--results", help="Folder of the results.")]


@app.callback()
def runs(
    context: typer.Context,
    results: Results = Path("results"),
    format: Annotated[Format, typer.Option(help="Output format.")] = Format.table,
) -> None:
    """List runs: status, data set, metric, λ, seed, scores, age, id."""
    context.obj = results
    if context.invoked_subcommand is not None:
        return
    from bench.analysis.numbers.differences import differences
    from bench.analysis.numbers.naming import FOR_ALL, ONE_NETWORK

    folders = _folders(results)
    rows = [describe(folder) for folder in folders]
    for row, folder, told in zip(rows, folders, differences(folders, rows), strict=True):
        shared = (
            [FOR_ALL] if NETWORK in (folder.summary() or {}) and ONE_NETWORK not in told else []
        )
        if settings := ", ".join([*shared, *filter(None, [told])]):
            row["settings"] = settings
    if format is Format.json:
        print(json.dumps(rows, indent=1))
    elif format is Format.csv:
        print(as_csv(rows), end="")
    else:
        known = ((row["id"], folder.summary()) for row, folder in zip(rows, folders, strict=True))
        summaries = {run: summary for run, summary in known if summary}
        print_runs(rows, names_of(*(one["scores"] for one in summaries.values())), summaries)


@app.command()
def show(
    context: typer.Context,
    run: Annotated[str, typer.Argument(help="Id of the run, or its folder.")],
    results: Annotated[Path | None, typer.Option("--results")] = None,
) -> None:
    """Show one run: status, scores, files, configuration, and why it failed."""
    folder = find_run(results or context.obj, run)
    print_run(describe(folder), folder.path)
    summary = folder.summary()
    if summary:
        print_summary(summary, folder.path)
    for name in (TRACEBACK, CONFIG):
        if folder.file(name).exists():
            text = folder.file(name).read_text(encoding="utf-8", errors="backslashreplace")
            print(f"{name}:\n{for_terminal(text.rstrip())}")


Chosen = Annotated[list[str] | None, typer.Argument(help="Ids of runs, or their folders.")]
Failed = Annotated[bool, typer.Option("--failed", help="All failed runs.")]
OtherResults = Annotated[Path | None, typer.Option("--results")]


@app.command()
def rm(
    context: typer.Context,
    run: Chosen = None,
    failed: Failed = False,
    results: OtherResults = None,
) -> None:
    """Delete runs; refuses a run in progress."""
    _for_each(results or context.obj, run or [], failed, Folder.remove, "removed")


@app.command()
def reset(
    context: typer.Context,
    run: Chosen = None,
    failed: Failed = False,
    results: OtherResults = None,
) -> None:
    """Make unfinished runs start from the beginning instead of their last state."""
    _for_each(results or context.obj, run or [], failed, _reset, "reset")


def _reset(folder: Folder) -> None:
    if folder.summary() and not folder.anew().path.exists():
        raise BenchError(
            f"{folder.path.name} has finished. Pass force=true to rerun it, which keeps its result "
            "until the new one is complete; `runs rm` deletes it."
        )
    from bench.analysis.reading.records import read_config  # pandas

    with suppress(ValueError):  # of a configuration that is damaged
        shares = weight_range(read_config(folder.file(CONFIG))["model"])
        if shares:
            print(
                f"{folder.path.name}: its network learns λ of {shares} for other runs as well and "
                f"keeps its state; to train it anew, delete its folder in "
                f"{folder.path.parent.parent / NETWORKS}."
            )
    folder.reset()


def _for_each(
    results: Path, names: list[str], failed: bool, work: Callable[[Folder], None], done: str
) -> None:
    for folder in _chosen(results, names, failed):
        work(folder)
        print(f"{done} {folder.path.name}")


def _folders(results: Path) -> list[Folder]:
    if not results.is_dir():
        raise BenchError(
            f"--results {results}: {no_folder(results)}. `{RUN}` writes runs; name its results_dir."
        )
    return list_folders(results)


def find_run(results: Path, name: str) -> Folder:
    """The run with this folder, or with this folder's name, or with this id.

    Raises:
        BenchError: If there is no such run, or more than one.
    """
    given = Folder(Path(name))
    if given.path.is_dir():
        if not given.has_started():
            raise BenchError(
                f"{name}: is not the folder of a run: it has no {HEADER}. Give the folder of a "
                f"run, such as {results / RUNS}/NAME, or an id that `{BENCH} runs` lists."
            )
        return given
    folders = _folders(results)
    found = [f for f in folders if f.path.name == name or f.path.name.endswith(f"-{name}")]
    if len(found) != 1:
        what = "no run" if not found else f"{len(found)} runs"
        raise BenchError(
            f"{name}: {what} of this id in {results}. `{BENCH} runs --results {results}` "
            "lists the ids."
        )
    return found[0]


def _chosen(results: Path, names: list[str], failed: bool) -> list[Folder]:
    if bool(names) == failed:
        raise BenchError("Give the ids of runs, or pass --failed.")
    if failed:
        return [folder for folder in _folders(results) if folder.status() is Status.FAILED]
    return [find_run(results, name) for name in names]
