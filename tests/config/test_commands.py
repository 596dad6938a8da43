"""Messages name the commands by which the user started the suite."""

import pytest

from bench.config.commands import commands

SCRIPTS = ("registration-bench", "registration-bench-run")


@pytest.mark.parametrize(
    ("program", "in_wheel", "named"),
    [
        ("run.py", False, ("python -m bench", "python run.py")),
        ("/clone/bench/__main__.py", False, ("python -m bench", "python run.py")),
        ("/site/bench/__main__.py", True, ("python -m bench", "registration-bench-run")),
        ("/venv/bin/registration-bench", True, SCRIPTS),
        ("/venv/bin/registration-bench-run", False, SCRIPTS),
        ("registration-bench.exe", True, SCRIPTS),
    ],
)
def test_commands_are_named_as_the_user_started_one(program, in_wheel, named):
    assert commands(program, in_wheel) == named
