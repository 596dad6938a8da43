"""Results that cannot be written, such as a colleague's or a snapshot: reading needs no writing."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import DEMO, ROOT, Command, at, only_run

RUN = ["metric=mse", *DEMO]
DROP_FROM_BOUND, OVERRIDE_PERMISSIONS = 24, 1  # prctl; what lets root write anywhere
SEVERAL = """
import json, runpy, sys
sys.path.insert(0, {root!r})
codes = []
for program, *arguments in json.loads(sys.argv[1]):
    sys.argv = [program, *arguments]
    try:
        if program == "bench":
            runpy.run_module("bench", run_name="__main__")
        else:
            runpy.run_path({root!r} + "/" + program, run_name="__main__")
        codes.append(0)
    except SystemExit as end:
        codes.append(end.code or 0)
    print("--", flush=True)
sys.exit(f"codes {{codes}}" if any(codes) else 0)
"""


def without_privileges() -> None:
    """Lets the next program be refused what permissions refuse, though it be root's."""
    if os.getuid() == 0 and ctypes.CDLL(None).prctl(DROP_FROM_BOUND, OVERRIDE_PERMISSIONS):
        raise OSError("cannot drop privileges")


def set_writable(folder: Path, writable: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200 if writable else path.stat().st_mode & ~0o222)


def test_finished_results_are_read_where_nothing_can_be_written(
    empty_results: Path, tmp_path: Path, run: Command
) -> None:
    assert run(*RUN, at(empty_results)).code == 0
    name = only_run(empty_results).name
    (empty_results / "runs" / ".locks" / f"{name}.lock").unlink()
    (empty_results / "runs" / ".locks").rmdir()
    before = {path: path.stat().st_mtime_ns for path in empty_results.rglob("*")}
    results = ["--results", str(empty_results)]
    commands = [
        ["run.py", *RUN, at(empty_results)],
        ["run.py", "-m", *RUN, at(empty_results), "plan=true"],
        ["bench", "runs", *results],
        ["bench", "runs", "show", name, *results],
        ["bench", "report", *results, "--out", str(tmp_path / "report")],
    ]
    set_writable(empty_results, False)
    try:
        done = subprocess.run(
            [sys.executable, "-c", SEVERAL.format(root=str(ROOT)), json.dumps(commands)],
            preexec_fn=without_privileges,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=200,
        )
        refused = subprocess.run(
            [sys.executable, "-c", "open('x', 'w')"],
            preexec_fn=without_privileges,
            capture_output=True,
            cwd=empty_results,
        )
    except subprocess.SubprocessError:
        pytest.skip("privileges cannot be dropped here")
    finally:
        set_writable(empty_results, True)
    assert refused.returncode == 1
    assert done.returncode == 0, done.stdout + done.stderr
    row, plan, listed, shown, report, _ = done.stdout.split("--\n")
    assert f"{name} has finished before" in row
    assert "1 finished" in plan
    assert "finished" in listed
    assert "status: finished" in shown
    assert report.endswith("report/index.html: 1 finished run\n")
    assert {path: path.stat().st_mtime_ns for path in empty_results.rglob("*")} == before
