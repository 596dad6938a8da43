"""The command line of run.py: Hydra's, with our help and one line per error."""

import os
import sys
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bench.analysis.selection import CRITERIA
from bench.config import GROUPS, options, register_resolvers
from bench.errors import ConfigError
from bench.gpus import deal_gpu
from bench.messages import explain
from bench.tracking import GROUP

FULL_ERROR = "HYDRA_FULL_ERROR"
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
        named: Whether it has named the sweep for the tracker, in the environment.
    """

    cells: ClassVar[list[Any] | None] = None
    named: ClassVar[bool] = False

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from bench.sweep import cells, sweep_name

        if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
            return  # others choose their runs as they go
        try:
            check_sweep(config)
            check_pack(config)
            SweepCallback.cells = cells(config)
            if GROUP not in os.environ:
                os.environ[GROUP] = sweep_name(config, SweepCallback.cells)
                SweepCallback.named = True
            if config.plan:
                _print_plan(SweepCallback.cells)
        except Exception as error:
            raise _Failed(error) from error
        if config.plan:
            raise _Planned


def check_sweep(config: DictConfig) -> None:
    """Raises ConfigError unless the options of sweeps have values that exist."""
    if not isinstance(config.plan, bool):
        raise ConfigError(f"plan={config.plan}: must be true or false.")
    if config.on_failure not in ("continue", "stop"):
        raise ConfigError(f"on_failure={config.on_failure}: must be continue or stop.")
    if config.select not in CRITERIA:
        raise ConfigError(f"select={config.select}: must be one of {', '.join(CRITERIA)}.")


def check_pack(config: DictConfig) -> None:
    """Raises ConfigError if a sweep of several processes is to pack its runs."""
    launcher = config.hydra.runtime.choices["hydra/launcher"]
    if config.trainer.pack != 1 and launcher != "basic":
        raise ConfigError(
            f"trainer.pack={config.trainer.pack}: packs the runs of one process; must be 1 with "
            f"hydra/launcher={launcher}. Without it, several processes may be started on a sweep."
        )


def _print_plan(cells: list[Any]) -> None:
    from bench.analysis.sweeps import print_plan

    print_plan(cells)


def run_job(config: DictConfig) -> None:
    """Hydra's task function: runs one experiment.

    In a sweep an error is told when it happens; then it is Hydra's to collect, so that the other
    runs go on.
    """
    from bench.experiment import in_sweep, run

    hydra = HydraConfig.get()
    if hydra.runtime.choices["hydra/launcher"] == "local":
        deal_gpu(hydra.job.num)
    try:
        check_sweep(config)
        if config.plan:
            _print_plan(_single_cell(config))
            return
        run(config, [cell.experiment for cell in SweepCallback.cells or []])
    except Exception as error:
        if in_sweep():
            overrides = " ".join(hydra.overrides.task)
            print(f"failed: {overrides}: {explain(error)}", file=sys.stderr)
            if config.on_failure == "continue":
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
    announced = False
    try:
        try:
            main()
        finally:
            announced = _close_sweep()
    except _Planned:
        return
    except KeyboardInterrupt as interrupt:
        _exit(str(interrupt) or "Interrupted. The same command starts again.", 130)
    except (_Failed, Exception) as caught:
        error = caught.error if isinstance(caught, _Failed) else caught
        if with_traceback:
            raise error from None
        if announced:
            sys.exit(1)
        _exit(explain(error))


def _close_sweep() -> bool:
    """Prints how this process's sweep ended; whether there was one, whose failures are told."""
    cells, SweepCallback.cells = SweepCallback.cells, None
    if SweepCallback.named:
        os.environ.pop(GROUP, None)
        SweepCallback.named = False
    if cells is None or cells[0].experiment["plan"]:
        return False
    from bench.analysis.sweeps import print_sweep
    from bench.sweep import look_up

    look_up(cells)
    print_sweep(cells)
    return True


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


def _exit(line: str, code: int = 1) -> NoReturn:
    sys.stdout.flush()
    print(line, file=sys.stderr)
    sys.exit(code)
