"""`python -m bench`: commands on results and data sets."""

import csv
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from bench.analysis.terminal import print_runs
from bench.app import explain
from bench.data.commands import app as data
from bench.errors import BenchError
from bench.store import describe, list_folders

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(data, name="data")


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


Results = Annotated[Path, typer.Option("--results", help="Folder of the results.")]


@app.callback()
def bench() -> None:
    """Commands on results and data sets."""


@app.command()
def runs(
    results: Results = Path("results"),
    format: Annotated[Format, typer.Option(help="How rows are printed.")] = Format.table,
) -> None:
    """List runs: status, data set, metric, weight, seed, scores, id."""
    if not results.is_dir():
        raise BenchError(f"--results {results}: no such folder. Runs are written by run.py.")
    rows = [describe(folder) for folder in list_folders(results)]
    if format is Format.json:
        print(json.dumps(rows, indent=1))
    elif format is Format.csv:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        print_runs(rows)


def main() -> None:
    """Runs a command; a fault the user can mend is one line."""
    try:
        app()
    except (BenchError, HydraException, OmegaConfBaseException, OSError) as error:
        print(explain(error), file=sys.stderr)
        sys.exit(1)
