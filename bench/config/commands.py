"""What messages and pages call the two command lines: as the user has started the suite."""

import shlex
import sys
from pathlib import Path

from bench.config.groups import IN_WHEEL

SCRIPTS = ("registration-bench", "registration-bench-run")  # that an installation provides


def commands(program: str, in_wheel: bool = IN_WHEEL) -> tuple[str, str]:
    """The command on results and data sets, and the command of one experiment.

    Args:
        program: `sys.argv[0]`.
        in_wheel: Whether the suite was installed from a wheel, which has no run.py.
    """
    by_script = Path(program).stem in SCRIPTS
    return (
        SCRIPTS[0] if by_script else "python -m bench",
        SCRIPTS[1] if by_script or in_wheel else "python run.py",
    )


BENCH, RUN = commands(sys.argv[0])


def with_results(results: Path) -> str:
    """The option that names a results folder to the command on results; empty for the default."""
    return "" if results == Path("results") else f" --results {shlex.quote(str(results))}"
