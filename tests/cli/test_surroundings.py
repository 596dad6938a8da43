"""Commands run under terminals, notebooks and containers that lack something."""

import getpass
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.cli import surroundings
from bench.cli.surroundings import prepare_surroundings
from bench.training import memory

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("ascii", "lambda = 0.2 +- 0.1 ? K?se"), ("latin-1", "lambda = 0.2 ± 0.1 ? Käse")],
)
def test_any_terminal_takes_what_is_printed(encoding, written, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    prepare_surroundings()
    print("λ = 0.2 ± 0.1 ☃ Käse", flush=True)
    assert stream.buffer.getvalue().decode(encoding) == written + "\n"


def test_summary_is_printed_in_ascii():
    code = (
        "from bench.cli.surroundings import prepare_surroundings as p; p()\n"
        "from pathlib import Path; from bench.cli.terminal import print_summary\n"
        "score = {'mean': 0.5, 'std': 0.1, 'n': 2}\n"
        "print_summary({'metric': 'mse', 'dataset': 'd', 'weight': 0.2, 'seed': 0, "
        "'scores': {'dice': score}}, Path('x'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert b"lambda = 0.2" in done.stdout
    assert b"0.500 +- 0.100" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="has no pwd")
def test_user_that_no_list_has_gets_a_name(monkeypatch):
    for name in (*surroundings.USERS, "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    monkeypatch.setenv("USER", "")
    prepare_surroundings()
    assert getpass.getuser() == f"user{os.getuid()}"
    assert Path.home().is_dir()


def test_backend_of_a_notebook_is_left_to_the_notebook():
    code = (
        "from bench.cli.surroundings import prepare_surroundings as p; p()\n"
        "from bench.analysis.plots.style import make_ready; make_ready()"
    )
    backend = "module://matplotlib_inline_that_is_not_here.backend_inline"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "MPLBACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr


def test_system_that_tells_no_memory_costs_no_run(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory.peak(torch.device("cpu")) is None
