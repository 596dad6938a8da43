"""Commands on results that a signal or a full disk ends."""

import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from synthetic_store import config, write_run

from bench.analysis.numbers.findings import Request
from bench.analysis.report.writing import write_report

ROOT = Path(__file__).parents[2]


def bench_process(*arguments, before=None):
    """`python -m bench ...`, which takes Ctrl-C though it may start in the background."""

    def prepared():
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if before is not None:
            before()

    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=prepared
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_report_says_that_the_former_one_is_unchanged(number, tmp_path):
    write_run(tmp_path / "results", config(), [0.1, 0.2])
    out = tmp_path / "report"
    write_report(Request(tmp_path / "results"), out)
    former = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_run(tmp_path / "results", config(metric="mse"), [0.3, 0.4])
    process = bench_process("report", "--results", tmp_path / "results", "--out", out)
    partial = tmp_path / ".report.partial"
    while not partial.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, line = process.communicate(timeout=60)
    assert (process.returncode, line) == (
        130,
        "Interrupted. An earlier report is unchanged; run the same command to start again.\n",
    )
    assert not partial.exists()
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == former


@pytest.mark.parametrize(
    ("command", "options"),
    [("report", "--out"), ("export", "--out"), ("document", "--out or --images")],
)
def test_full_disk_names_the_option_of_the_command(command, options, tmp_path):
    write_run(tmp_path / "results", config(), [0.1, 0.2])
    limit = 100  # bytes of a file

    def limit_file_size():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    out = tmp_path / "written"
    process = bench_process(
        command, "--results", tmp_path / "results", "--out", out, before=limit_file_size
    )
    _, line = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.fullmatch(
        r"Cannot write .+: File too large\. Free space, permit writing, or choose another "
        rf"place with {options}\.\n",
        line,
    ), line
    assert not out.exists()


def test_place_below_a_file_names_the_option_of_the_command(tmp_path):
    write_run(tmp_path / "results", config(), [0.1, 0.2])
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "tables"
    process = bench_process("export", "--results", tmp_path / "results", "--out", out)
    _, line = process.communicate(timeout=60)
    assert (process.returncode, line) == (
        1,
        f"Cannot write {out.parent}: {out.parent} is a file where a folder belongs. Choose another "
        "place with --out.\n",
    )
