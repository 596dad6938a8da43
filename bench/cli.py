"""`python -m bench`: commands on results and data sets."""

import sys

import typer
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from bench.data.commands import app as data
from bench.errors import BenchError
from bench.messages import explain
from bench.run_commands import app as runs

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__)
app.add_typer(data, name="data")
app.add_typer(runs, name="runs")


@app.callback()
def bench() -> None:
    """Commands on results and data sets."""


def main() -> None:
    """Runs a command; a fault the user can mend is one line."""
    try:
        app()
    except (BenchError, HydraException, OmegaConfBaseException, OSError) as error:
        print(explain(error), file=sys.stderr)
        sys.exit(1)
