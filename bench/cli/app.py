"""The command line of run.py and `registration-bench-run`: Hydra's, one line per error."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from bench import __version__
from bench.cli.messages import FULL_ERROR, explain
from bench.cli.next_steps import print_next_steps
from bench.cli.surroundings import prepare_surroundings
from bench.cli.terminal import print_outcome
from bench.config.command_line import understood
from bench.config.commands import RUN
from bench.config.composition import register_resolvers
from bench.config.groups import CONF, GROUPS, options
from bench.config.multirun import set_in_each_run
from bench.config.trained import refuse_contradiction
from bench.errors import Unwritable
from bench.store.escaping import for_terminal
from bench.store.listing import list_folders
from bench.sweeps.callback import Failed, Planned, check_sweep, command, refuse_chdir
from bench.sweeps.gpus import deal_gpu
from bench.training.interrupts import sigterm_interrupts

HELP = f"""Runs one experiment: trains a registration network under one metric and tests it.

  {RUN}                                         the embedded demo
  {RUN} metric=ncc dataset=hippocampus          one experiment
  {RUN} -m metric=mse,ncc regularizer.scale=0.5,1,2 seed=0,1   a sweep
"""
SETTINGS = {
    "seed=N": "separates repetitions (default 0)",
    "force=true": "reruns a finished run",
    "trust=true": "lets model.trained build classes outside the suite; only for runs that you made",
    "plan=true": "prints the runs of a command and their cost, runs nothing",
    "on_failure=stop": "ends a sweep at the first failure",
    "select=val_dice": "criterion that chooses λ; also val_loss, val_dice_bounded",
    "refine=N": "at most N further λ after a sweep, while the best one is at the border",
    "results_dir=DIR": "folder for everything that is written (default results)",
    "model.conditioned=lambda": "trains one network for all λ of a sweep",
    "model.trained=RUN": "tests the network of a finished run on another data set",
    "dataset.root=PATH": "folder of a data set's files",
    "regularizer.weight=X": "the weight λ; default: the tuned one for data set and metric",
    "regularizer.scale=X": "factor on that default",
    "trainer.steps=N": "sets any other value of the configuration by its path",
    "--cfg job": "prints the composed configuration",
    "--version": "prints the version",
    "--shell-completion install=bash": "prints the completion script for bash; also zsh, fish",
    "--hydra-help": "prints Hydra's options",
}


def run_job(config: DictConfig) -> None:
    """Hydra's task function: runs one experiment.

    In a sweep it prints the error at once and lets Hydra collect it, so that the other runs
    continue.
    """
    from bench.runs.lookup import run

    launched = HydraConfig.get()
    in_sweep = launched.mode == RunMode.MULTIRUN
    if launched.runtime.choices["hydra/launcher"] == "local":
        deal_gpu(launched.job.num)
    try:
        refuse_chdir(launched.job)
        check_sweep(config)
        refuse_contradiction(launched.overrides.task)
        if config.plan:
            from bench.sweeps.plan import print_plan

            print_plan(_single_cell(config))
            return
        outcome = run(config, in_sweep)
        print_outcome(outcome)
        results = Path(config.results_dir)
        first = outcome.summary is not None and not (in_sweep or outcome.before)
        if first and len(list_folders(results)) == 1:
            from bench.config.experiment import Experiment

            ran = Experiment.from_config(config)
            print_next_steps(results, launched.overrides.task, ran.tuned, ran.conditioned)
    except Exception as error:
        if in_sweep:
            overrides = " ".join(launched.overrides.task)
            print(for_terminal(f"failed: {overrides}: {explain(error)}"), file=sys.stderr)
            if config.on_failure == "continue":
                raise
        raise Failed(error) from error


def _single_cell(config: DictConfig) -> list[Any]:
    from bench.config.experiment import Experiment
    from bench.sweeps.cells import Cell, look_up

    cells = [Cell([], Experiment.from_config(config))]
    look_up(cells)
    return cells


def main() -> None:
    """Runs an experiment or a sweep; answers --help, and reports an error in one line.

    With HYDRA_FULL_ERROR=1 in the environment errors keep their traceback.
    """
    prepare_surroundings()
    if {"--help", "-h"} & set(sys.argv[1:]):
        print_help()
        return
    if "--version" in sys.argv[1:]:
        print(f"registration-bench {__version__}")
        return
    register_resolvers()
    with_traceback = os.environ.get(FULL_ERROR) == "1"
    os.environ[FULL_ERROR] = "1"  # Hydra then hands exceptions on instead of printing them
    announced = False
    application = hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")(
        run_job
    )
    try:
        arguments = set_in_each_run(_overrides_last(understood(sys.argv[1:])))
        with sigterm_interrupts(), command(arguments) as given:
            try:
                _call(application, arguments)
                while further := given.further_runs():
                    for others in further:
                        _call(application, others)
            finally:
                announced = given.close()
    except Planned:
        return
    except KeyboardInterrupt as interrupt:
        _exit(str(interrupt) or "Interrupted. Run the same command to start again.", 130)
    except (Failed, Exception) as caught:
        error = caught.error if isinstance(caught, Failed) else caught
        if with_traceback:
            raise error from None
        if announced:
            sys.exit(1)
        if isinstance(caught, FileNotFoundError):  # of Hydra, which makes the folder of results
            error = Unwritable(caught.errno, caught.strerror, caught.filename)
        _exit(explain(error))


def _call(application: Callable[[], Any], arguments: Sequence[str]) -> None:
    """Calls a Hydra application with arguments, which it takes from `sys.argv` only."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        application()
    finally:
        sys.argv = before


def _overrides_last(arguments: Sequence[str]) -> list[str]:
    """Options may stand between overrides, as in `metric=mse -m seed=0,1`; Hydra stops there."""

    def is_override(argument: str) -> bool:
        return not argument.startswith("-") and ("=" in argument or argument.startswith("~"))

    return sorted(arguments, key=is_override)


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
    width = max(map(len, SETTINGS)) + 2
    for setting, line in SETTINGS.items():
        console.print(f"  {setting:<{width}}{line}", soft_wrap=True)


def _exit(line: str, code: int = 1) -> NoReturn:
    sys.stdout.flush()
    print(line, file=sys.stderr)
    sys.exit(code)
