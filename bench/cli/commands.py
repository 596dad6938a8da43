"""`python -m bench`: commands on results and data sets."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bench import __version__
from bench.cli.changes_command import changes
from bench.cli.data_commands import app as data
from bench.cli.doctor import doctor
from bench.cli.export_commands import document, export, perception
from bench.cli.messages import FULL_ERROR, explain
from bench.cli.register_command import Trust, Weight, register, score
from bench.cli.run_commands import app as runs
from bench.cli.surroundings import prepare_surroundings
from bench.errors import BenchError, ConfigError, Interrupted, counted
from bench.store.escaping import for_terminal
from bench.store.folder import Folder
from bench.store.layout import PANELS

PLACES = {"out": "--out", "images": "--images"}  # parameters that say where a command writes
KEPT = {  # what replaces the former only when it is complete
    "report": "An earlier report is unchanged; run",
    "export": "Earlier tables are unchanged; run",
}

RECEIVED: list[int] = []  # signals that ask to stop; libraries may turn an interrupt into an error


class Commands(TyperGroup):
    """Commands that explain in one line what Typer leaves unsaid.

    An EOFError, which Typer takes for the end of a user's input; an interrupt, on which it is
    silent; and what could not be written, for which commands have other options than runs.
    """

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise BenchError(explain(error)) from error
        except (Exception, KeyboardInterrupt) as error:
            if isinstance(error, KeyboardInterrupt) or RECEIVED:
                kept = KEPT.get(ctx.invoked_subcommand, "Run")
                line = f"Interrupted. {kept} the same command to start again."
                told = isinstance(error, Interrupted)
                print(str(error) if told else line, file=sys.stderr)
                raise typer.Exit(130) from error
            if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
                raise BenchError(explain(error, self._choice(ctx))) from error
            raise

    def _choice(self, ctx: Any) -> str:
        """What a command lets its user choose where it cannot write; empty for nothing."""
        if ctx.invoked_subcommand == "score":
            return "another folder with --results"
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        known = {parameter.name for parameter in command.params} if command else set()
        options = [option for name, option in PLACES.items() if name in known]
        return f"another place with {' or '.join(options)}" if options else ""


app = typer.Typer(cls=Commands, no_args_is_help=True)
app.add_typer(data, name="data")
app.add_typer(runs, name="runs")
app.command()(doctor)
app.command()(register)
app.command()(score)
app.command()(changes)
app.command()(export)
app.command()(document)
app.command()(perception)


def print_version(asked: bool) -> None:
    """Prints the version, if asked, and ends the command."""
    if asked:
        print(f"registration-bench {__version__}")
        raise typer.Exit


@app.callback()
def bench(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Commands on results and data sets."""


@app.command()
def report(
    results: Annotated[
        Path, typer.Option(help="Folder of results, or of tables that `export` wrote.")
    ] = Path("results"),
    runs: Annotated[
        str, typer.Option(help="Only runs whose folder names match this pattern.")
    ] = "*",
    experiment: Annotated[
        str | None, typer.Option(help="Only the runs of conf/experiment/NAME.yaml.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the report; default: RESULTS/report, or beside tables TABLES-report."
        ),
    ] = None,
    select: Annotated[
        str, typer.Option(help="Criterion that chooses λ: val_dice, val_loss, val_dice_bounded.")
    ] = "val_dice",
    published: Annotated[
        bool, typer.Option("--published", help="Add the papers' values and their test.")
    ] = False,
    wandb: Annotated[
        bool, typer.Option("--wandb", help="Log tables and figures to Weights & Biases as well.")
    ] = False,
    project: Annotated[
        str | None, typer.Option(help="With --wandb: project; default: that of the runs.")
    ] = None,
    entity: Annotated[
        str | None, typer.Option(help="With --wandb: entity; default: that of the runs.")
    ] = None,
) -> None:
    """Write a report: tables, figures and a page."""
    from bench.analysis.numbers.findings import Request
    from bench.analysis.report.places import report_of
    from bench.analysis.report.writing import write_report
    from bench.cli.listing import print_missing

    if (project or entity) and not wandb:
        raise ConfigError("--project and --entity choose where --wandb logs. Pass --wandb, too.")
    folder = out or report_of(results)
    request = Request(results, runs, experiment, select, published)
    found = write_report(request, folder)
    if wandb:
        from bench.analysis.report.publish import publish

        publish(request, found, folder, project, entity)
    print_missing(found.missing.to_dict("records"))
    count = counted(len(found.records.summaries), "finished run")
    print(for_terminal(f"{folder / 'index.html'}: {count}"))


@app.command()
def robustness(
    run: Annotated[list[str], typer.Argument(help="Ids of finished runs, or their folders.")],
    corruption: Annotated[
        str, typer.Option(help="Kind of disturbance: noise, blur, bias, contrast.")
    ] = "noise",
    levels: Annotated[
        str | None, typer.Option(help="Strengths of the disturbance, such as 0,0.05,0.1.")
    ] = None,
    weight: Weight = None,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
    trust: Trust = False,
) -> None:
    """Test trained networks again on disturbed images; the report draws the results.

    With another λ than the run's, only prints the results.
    """
    from bench.cli.run_commands import find_run
    from bench.cli.terminal import print_robustness
    from bench.inspection.corruptions import LEVELS, check_corruption
    from bench.inspection.robustness import check_runs, retest

    check_corruption(corruption, ())
    chosen = parse_levels(levels) if levels else LEVELS[corruption]
    check_corruption(corruption, chosen)
    folders = [find_run(results, name) for name in run]
    check_runs(folders, trust, weight)
    at = "" if weight is None else f" at λ = {weight:g}"
    print_robustness(
        {f"{f.path.name}{at}": retest(f, corruption, chosen, trust, weight) for f in folders}
    )


Runs = Annotated[list[str], typer.Argument(help="Ids of finished runs, or their folders.")]
ResultsFolder = Annotated[Path, typer.Option("--results", help="Folder of the results.")]
OnePair = Annotated[
    str | None, typer.Option("--pair", help="MOVING,FIXED; default: the pair of median Dice.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Figure without suffix; default: RESULTS/panels/KIND-DATASET."),
]


@app.command()
def panel(
    run: Runs,
    pair: OnePair = None,
    out: Out = None,
    results: ResultsFolder = Path("results"),
    trust: Trust = False,
) -> None:
    """Draw one test pair as several trained networks register it; the report shows it."""
    from bench.inspection.panel import draw

    _draw("panel", draw, run, pair, out, results, trust)


@app.command()
def landscape(
    run: Runs,
    pair: OnePair = None,
    out: Out = None,
    results: ResultsFolder = Path("results"),
    trust: Trust = False,
) -> None:
    """Draw the metrics of runs while a test pair's moving image shifts; the report shows it."""
    from bench.inspection.metrics import landscape

    _draw("landscape", landscape, run, pair, out, results, trust)


@app.command()
def features(
    run: Runs,
    pair: OnePair = None,
    out: Out = None,
    results: ResultsFolder = Path("results"),
    trust: Trust = False,
) -> None:
    """Draw feature maps of the extractors of runs on a test pair; the report shows them."""
    from bench.inspection.metrics import features

    _draw("features", features, run, pair, out, results, trust)


def _draw(
    kind: str,
    draw: Callable[[list[Folder], str | None, Path, bool], list[Path]],
    names: list[str],
    pair: str | None,
    out: Path | None,
    results: Path,
    trust: bool,
) -> None:
    """Draws a figure of runs, by default where the report finds it, and prints its files."""
    from bench.cli.run_commands import find_run

    folders = [find_run(results, name) for name in names]
    summary = folders[0].summary() or {}
    out = out or folders[0].path.parent.parent / PANELS / f"{kind}-{summary.get('dataset')}"
    for path in draw(folders, pair, out, trust):
        print(for_terminal(path))


def parse_levels(text: str) -> tuple[float, ...]:
    """Numbers separated by commas.

    Raises:
        ConfigError: If one is no number.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--levels {text}: must be numbers separated by commas, such as 0,0.05,0.1."
        ) from None


def main() -> None:
    """Runs a command; reports any error in one line. SIGTERM does what Ctrl-C does."""
    prepare_surroundings()

    def stop(number: int, frame: Any) -> None:
        RECEIVED.append(number)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    heeded = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    former = {number: signal.signal(number, stop) for number in heeded}
    try:
        app()
    except Exception as error:
        if os.environ.get(FULL_ERROR) == "1":
            raise
        print(explain(error), file=sys.stderr)
        sys.exit(1)
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        RECEIVED.clear()
