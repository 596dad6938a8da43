"""What goes on around the runs of a sweep: checks, the plan, further λ, the table at the end."""

import os
import sys
from typing import Any, ClassVar

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from bench.analysis.numbers.selection import CRITERIA
from bench.errors import ConfigError
from bench.runs.lookup import Siblings
from bench.store.tracking import GROUP


class Failed(BaseException):
    """Carries an error past Hydra, which would go on or print lines of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


class Planned(BaseException):
    """Ends a command that was to be planned only."""


class SweepCallback(Callback):
    """Looks at a sweep before its first run: refuses what is not valid, or prints the plan.

    Attributes:
        cells: The runs of this process's sweep.
        siblings: The same, for runs that are trained together.
        named: Whether it has named the sweep for the tracker, in the environment.
        command: What else its command line says, such as the launcher.
        rounds: How often λ beyond the grid have been added.
    """

    cells: ClassVar[list[Any] | None] = None
    siblings: ClassVar[Siblings] = Siblings()
    named: ClassVar[bool] = False
    command: ClassVar[list[str]] = []
    rounds: ClassVar[int] = 0

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from bench.sweeps.cells import cells, sweep_name

        if not config.hydra.sweeper._target_.endswith(".BasicSweeper"):
            return  # others choose their runs as they go
        try:
            check_sweep(config)
            check_pack(config)
            found = cells(config)
            SweepCallback.siblings.experiments += [cell.experiment for cell in found]
            if SweepCallback.rounds:
                SweepCallback.cells = [*(SweepCallback.cells or []), *found]
                return
            SweepCallback.cells = found
            task = config.hydra.overrides.task
            SweepCallback.command = [given for given in sys.argv[1:] if given not in task]
            if GROUP not in os.environ:
                os.environ[GROUP] = sweep_name(config, SweepCallback.cells)
                SweepCallback.named = True
            if config.plan:
                print_plan(SweepCallback.cells)
        except Exception as error:
            raise Failed(error) from error
        if config.plan:
            raise Planned


def check_sweep(config: DictConfig) -> None:
    """Raises ConfigError unless the options of sweeps have values that exist."""
    if not isinstance(config.plan, bool):
        raise ConfigError(f"plan={config.plan}: must be true or false.")
    if config.on_failure not in ("continue", "stop"):
        raise ConfigError(f"on_failure={config.on_failure}: must be continue or stop.")
    if isinstance(config.refine, bool) or not isinstance(config.refine, int) or config.refine < 0:
        raise ConfigError(f"refine={config.refine}: must be a whole number of at least 0.")
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


def print_plan(cells: list[Any]) -> None:
    """Prints what these runs would be."""
    from bench.analysis import sweeps

    sweeps.print_plan(cells)


def further_runs() -> list[list[str]]:
    """With `refine=N`, in the first N rounds: the command lines of runs with λ beyond the grid."""
    cells = SweepCallback.cells
    if not cells or SweepCallback.rounds >= cells[0].experiment["refine"]:
        return []
    from bench.sweeps.cells import look_up
    from bench.sweeps.refinement import beyond

    look_up(cells)
    SweepCallback.rounds += 1
    all_given = "hydra.sweeper.params=null"
    return [[*SweepCallback.command, *overrides, all_given, "-m"] for overrides in beyond(cells)]


def close_sweep() -> bool:
    """Prints how this process's sweep ended; whether there was one, whose failures are told."""
    cells, SweepCallback.cells, SweepCallback.rounds = SweepCallback.cells, None, 0
    SweepCallback.siblings = Siblings()
    if SweepCallback.named:
        os.environ.pop(GROUP, None)
        SweepCallback.named = False
    if cells is None or cells[0].experiment["plan"]:
        return False
    from bench.sweeps.cells import look_up
    from bench.sweeps.tables import print_sweep

    look_up(cells)
    print_sweep(cells)
    return True
