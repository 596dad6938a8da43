"""Command lines outside the environment of the suite: one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import starting

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [["run.py", "seed=1"], ["-m", "bench", "runs"]])
def test_missing_packages_are_named_in_one_line(words):
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", RUN, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert f"is not installed for {sys.executable}. Activate the environment" in line


RUN = """
import runpy, sys
sys.path.insert(0, ".")
words = sys.argv[1:]
sys.argv = words[1:] if words[0] == "-m" else words
if words[0] == "-m":
    runpy.run_module(words[1], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(words[0], run_name="__main__")
"""


def test_older_python_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit, match=r"^Python \S+: the suite needs 3\.11 or later\.$"):
        starting.start("bench.cli.app")


def test_missing_parts_of_the_suite_are_no_missing_packages():
    with pytest.raises(ModuleNotFoundError, match=r"bench\.nowhere"):
        starting.start("bench.nowhere")
