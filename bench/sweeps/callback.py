"""Work around the runs of a sweep: checks, the plan, further λ, the table at the end."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bench.analysis.numbers.selection import CRITERIA
from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.runs.lookup import why_unwritable
from bench.store.weights_and_biases import GROUP
from bench.sweeps.cells import Cell, cells, look_up, sweep_name

SWEEPERS = ("BasicSweeper", "FittingSweeper")  # which run all combinations


class Failed(BaseException):
    """Carries an error past Hydra, which would go on or print further lines."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Planned(BaseException):
    """Ends a command that was to be planned only."""


@dataclass
class Command:
    """One call of run.py, which may run a sweep in several rounds.

    Attributes:
        arguments: Of the command line.
        cells: The runs of its sweep; None as long as there is none.
        options: What the command line says besides overrides, such as the launcher.
        named: Whether it has named the sweep for the tracker, in the environment.
        rounds: How often λ beyond the grid have been added.
    """

    arguments: Sequence[str]
    cells: list[Cell] | None = None
    options: list[str] = field(default_factory=list)
    named: bool = False
    rounds: int = 0

    def take_in(self, config: DictConfig) -> None:
        """Takes in the sweep that Hydra begins: refuses what is not valid, or prints the plan.

        Raises:
            Planned: With `plan=true`, when the plan is printed.
        """
        refuse_chdir(config.hydra.job)
        check_sweep(config)
        found = cells(config)
        unwritable = None if config.plan else why_unwritable(Path(config.results_dir))
        if unwritable and not Path(config.results_dir).is_dir():
            raise unwritable
        if self.rounds:
            self.cells = [*(self.cells or []), *found]
            return
        self.cells = found
        task = config.hydra.overrides.task
        self.options = [given for given in self.arguments if given not in task]
        if GROUP not in os.environ:
            os.environ[GROUP] = sweep_name(config, found)
            self.named = True
        if config.plan:
            from bench.sweeps.plan import print_plan

            print_plan(found)
            raise Planned

    def further_runs(self) -> list[list[str]]:
        """With `refine=N`, in the first N rounds: command lines of runs with λ beyond the grid."""
        if not self.cells or self.rounds >= self.cells[0].experiment["refine"]:
            return []
        from bench.sweeps.refinement import beyond

        look_up(self.cells)
        self.rounds += 1
        all_given = "hydra.sweeper.params=null"
        return [[*self.options, *overrides, all_given, "-m"] for overrides in beyond(self.cells)]

    def close(self) -> bool:
        """Prints how the sweep ended; whether there was one, whose failures are told."""
        if self.named:
            os.environ.pop(GROUP, None)
        if self.cells is None or self.cells[0].experiment["plan"]:
            return False
        from bench.sweeps.tables import print_sweep

        look_up(self.cells)
        print_sweep(self.cells)
        return True


def without_repeats(runs: Sequence[list[str]]) -> list[list[str]]:
    """Combinations of the command's sweep but those that are the run of an earlier one."""
    given = _COMMAND.get(None)
    known = given.cells if given else None
    repeated = {tuple(overrides) for cell in known or () for overrides in cell.repeats}
    return [run for run in runs if tuple(run) not in repeated]


_COMMAND: ContextVar[Command] = ContextVar("command")


@contextmanager
def command(arguments: Sequence[str]) -> Iterator[Command]:
    """Within it, the callback that Hydra makes tells the command of its sweep."""
    token = _COMMAND.set(Command(arguments))
    try:
        yield _COMMAND.get()
    finally:
        _COMMAND.reset(token)


class SweepCallback(Callback):
    """Tells the command of a sweep before its first run."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if config.hydra.sweeper._target_.rpartition(".")[2] not in SWEEPERS:
            return  # others choose their runs as they go
        try:
            _COMMAND.get().take_in(config)
        except Exception as error:
            raise Failed(error) from error


def check_sweep(config: DictConfig) -> None:
    """Raises ConfigError unless the options of sweeps have values that exist."""
    if not isinstance(config.plan, bool):
        raise ConfigError(f"plan={quoted(config.plan)}: must be true or false.")
    if config.on_failure not in ("continue", "stop"):
        raise ConfigError(f"on_failure={quoted(config.on_failure)}: must be continue or stop.")
    if isinstance(config.refine, bool) or not isinstance(config.refine, int) or config.refine < 0:
        raise ConfigError(f"refine={quoted(config.refine)}: must be a whole number of at least 0.")
    if config.select not in CRITERIA:
        raise ConfigError(f"select={quoted(config.select)}: must be one of {', '.join(CRITERIA)}.")


def refuse_chdir(job: Any) -> None:
    """Raises ConfigError if Hydra changes the working folder, which paths are relative to.

    Args:
        job: The section `hydra.job`.
    """
    if job.chdir:
        raise ConfigError(
            "hydra.job.chdir=true: would change the folder that results_dir, dataset.root and "
            "other paths are relative to. Leave it out; results_dir=DIR chooses where everything "
            "is written."
        )
