"""The command line of run.py: Hydra's, with our help and one line per error."""

import errno
import os
import re
import sys
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from hydra.errors import HydraException, MissingConfigException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from bench.analysis.selection import CRITERIA
from bench.config import GROUPS, options, register_resolvers
from bench.errors import BenchError, ConfigError

FULL_ERROR = "HYDRA_FULL_ERROR"
CANNOT_WRITE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EIO,
}

HELP = """Runs one experiment: trains a registration network under one metric and tests it.

  python run.py                                         the embedded demo
  python run.py metric=ncc dataset=hippocampus          one experiment
  python run.py -m metric=mse,ncc regularizer.scale=0.5,1,2 seed=0,1   a sweep
"""
SETTINGS = {
    "seed=N": "separates repetitions (default 0)",
    "force=true": "runs a finished run anew",
    "plan=true": "prints what would run, and what it will cost",
    "on_failure=stop": "ends a sweep with the first run that fails",
    "select=val_dice": "how a sweep chooses λ; also val_loss, val_dice_bounded",
    "results_dir=DIR": "where everything is written (default results)",
    "dataset.root=PATH": "where a data set's files lie",
    "regularizer.weight=X": "the weight λ; by default the tuned one for data set and metric",
    "regularizer.scale=X": "a factor on that default",
    "trainer.steps=N": "any other value of the configuration, by its path",
    "--cfg job": "prints the composed configuration",
    "--hydra-help": "prints Hydra's own options",
}


class _Failed(BaseException):
    """Carries an error past Hydra, which would go on or print lines of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class _Planned(BaseException):
    """Ends a command that was to be planned only."""


class SweepCallback(Callback):
    """Looks at a sweep before its first run: refuses what is not valid, or prints the plan.

    Attributes:
        cells: The runs of this process's sweep.
    """

    cells: ClassVar[list[Any] | None] = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from bench.sweep import cells

        if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
            return  # others choose their runs as they go
        try:
            check_sweep(config)
            SweepCallback.cells = cells(config)
            if config.plan:
                _print_plan(SweepCallback.cells)
        except Exception as error:
            raise _Failed(error) from error
        if config.plan:
            raise _Planned


def check_sweep(config: DictConfig) -> None:
    """Raises ConfigError unless the options of sweeps have values that exist."""
    if config.on_failure not in ("continue", "stop"):
        raise ConfigError(f"on_failure={config.on_failure}: must be continue or stop.")
    if config.select not in CRITERIA:
        raise ConfigError(f"select={config.select}: must be one of {', '.join(CRITERIA)}.")


def _print_plan(cells: list[Any]) -> None:
    from bench.analysis.sweeps import print_plan

    print_plan(cells)


def run_job(config: DictConfig) -> None:
    """Hydra's task function: runs one experiment.

    In a sweep an error is Hydra's to collect, so that the other runs go on.
    """
    from bench.experiment import in_sweep, run

    try:
        check_sweep(config)
        if config.plan:
            _print_plan(_single_cell(config))
            return
        run(config)
    except Exception as error:
        if in_sweep() and config.on_failure == "continue":
            raise
        raise _Failed(error) from error


def _single_cell(config: DictConfig) -> list[Any]:
    from bench.config import Experiment
    from bench.sweep import Cell, look_up

    cells = [Cell([], Experiment.from_config(config))]
    look_up(cells)
    return cells


def launch(main: Callable[[], Any]) -> None:
    """Runs a Hydra application: answers --help, and reports what goes wrong in one line.

    With HYDRA_FULL_ERROR=1 in the environment errors keep their traceback.
    """
    if {"--help", "-h"} & set(sys.argv[1:]):
        print_help()
        return
    register_resolvers()
    with_traceback = os.environ.get(FULL_ERROR) == "1"
    os.environ[FULL_ERROR] = "1"  # Hydra then hands exceptions on instead of printing them
    try:
        try:
            main()
        finally:
            failed = _close_sweep()
        if failed:
            sys.exit(1)
    except _Planned:
        return
    except KeyboardInterrupt as interrupt:
        _exit(str(interrupt) or "Interrupted. The same command starts again.", 130)
    except (_Failed, Exception) as caught:
        error = caught.error if isinstance(caught, _Failed) else caught
        if with_traceback:
            raise error from None
        _exit(explain(error))


def _close_sweep() -> bool:
    """Prints where the sweep of this process ends; whether runs of it failed."""
    cells, SweepCallback.cells = SweepCallback.cells, None
    if cells is None or cells[0].experiment["plan"]:
        return False
    from bench.analysis.sweeps import print_sweep
    from bench.sweep import look_up

    look_up(cells)
    return print_sweep(cells)


def explain(error: Exception) -> str:
    """One line for any error."""
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return explain_missing(error)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _one_line(error)
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        return explain_unwritable(error)
    return f"{type(error).__name__}: {_one_line(error)} (HYDRA_FULL_ERROR=1 shows the traceback)"


def explain_missing(error: MissingConfigException) -> str:
    """One line for a configuration that does not exist."""
    group, _, option = (error.missing_cfg_file or "").partition("/")
    if group in GROUPS and option:
        line = (
            f"Unknown {group} {option!r}. Known: {', '.join(options(group))}. "
            f"Add conf/{group}/{option}.yaml"
        )
        return line + (" or pass metric._target_=CLASS." if group == "metric" else ".")
    if group == "hydra" and option.startswith("launcher/"):
        extras = {"joblib": "local", "submitit_slurm": "slurm", "submitit_local": "slurm"}
        name = option.removeprefix("launcher/")
        extra = extras.get(name, name)
        if extra in ("local", "slurm", "ray"):
            return (
                f"hydra/launcher={extra}: its plugin is not installed. "
                f"pip install 'registration-bench[{extra}]' gets it."
            )
    return _one_line(error)


def explain_unwritable(error: OSError) -> str:
    """One line for a folder or disk that cannot be written."""
    return (
        f"Cannot write {error.filename or 'results'}: {error.strerror}. Free space or permit "
        "writing, or choose another folder with results_dir=DIR. Finished runs are safe; the "
        "same command goes on from the last saved state."
    )


def print_help() -> None:
    """Prints the groups and the options of each, with a line each."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(HELP)
    for group in GROUPS:
        console.print(f"[bold]{group}=[/bold]")
        for option, line in options(group).items():
            console.print(f"  {option:<22}{line}", soft_wrap=True)
        console.print()
    console.print("[bold]further settings[/bold]")
    for setting, line in SETTINGS.items():
        console.print(f"  {setting:<22}{line}", soft_wrap=True)


def _one_line(error: Exception) -> str:
    lines = [str(error)]
    if isinstance(error.__cause__, OmegaConfBaseException):
        lines.append(str(error.__cause__))
    return re.sub(r"\s*\n\s*", " ", "\n".join(lines)).strip()


def _exit(line: str, code: int = 1) -> NoReturn:
    sys.stdout.flush()
    print(line, file=sys.stderr)
    sys.exit(code)
