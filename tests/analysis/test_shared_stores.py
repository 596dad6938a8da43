"""Stores with bad folders in them, and reports that several processes write or that are killed."""

import json
import multiprocessing
import os
import shutil
import signal

import pytest
from synthetic_store import config, fail_run, start_run, write_run
from typer.testing import CliRunner

from bench.analysis.numbers.findings import Request
from bench.analysis.report import writing
from bench.analysis.report.writing import write_report
from bench.cli.commands import app

PROCESSES = multiprocessing.get_context("fork")


@pytest.fixture
def store(tmp_path):
    """Two good runs among damaged, unfinished and removed ones."""
    for seed in (0, 1):
        write_run(tmp_path, config(seed=seed), [0.5, 0.6])
    for seed, (name, content) in enumerate(
        [
            ("classes.csv", ""),
            ("history.csv", "step,train_loss\n1,O.5\n"),
            ("config.yaml", "dataset: {name: demo"),
            ("summary.json", '{"schema": "new", "status": "finished"}'),
            ("summary.json", '{"schema": 99, "status": "finished", "scores": {}}'),
            ("run.json", "{"),
        ],
        start=2,
    ):
        (write_run(tmp_path, config(seed=seed), [0.7, 0.8]) / name).write_text(content)
    failed = fail_run(tmp_path, config(seed=8))
    (failed / "failure.json").write_text('{"status": "odd"}')
    start_run(tmp_path, config(seed=9))[0].joinpath("last.pt.partial").touch()
    shutil.copytree(failed, failed.with_name(f".{failed.name}.removed"))
    return tmp_path


def invoke(*arguments):
    done = CliRunner().invoke(app, [*arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_bad_folders_are_named_and_the_others_shown(store):
    rows = json.loads(invoke("runs", "--results", str(store), "--format", "json"))
    assert len(rows) == 10
    damaged = [row["seed"] for row in rows if row["status"] == "damaged"]
    assert damaged == [5, 6]
    assert sum("dice" in row for row in rows) == 6
    table = invoke("runs", "--results", str(store))
    assert " damaged: summary.json is not the summary of a finished run. Run the" in table
    assert "summary.json comes from a newer version; this version" in table
    said = invoke("report", "--results", str(store))
    assert said.endswith("report/index.html: 3 finished runs\n")
    for file in ("classes.csv cannot be read", "history.csv has 'O.5'", "config.yaml cannot"):
        assert f"{file}" in said


@pytest.fixture
def without_figures(monkeypatch):
    monkeypatch.setattr(writing, "draw", lambda *_: {})


@pytest.mark.usefixtures("without_figures")
def test_reports_written_at_once_are_whole_and_leave_nothing_else(store):
    request, out = Request(store), store / "report"
    processes = [PROCESSES.Process(target=write_report, args=(request, out)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert {path.name for path in out.iterdir()} == {"index.html", "tables", "figures"}
    assert {path.name for path in store.iterdir()} == {"runs", "report", ".report.lock"}


@pytest.mark.usefixtures("without_figures")
def test_killed_report_leaves_the_former_one_and_the_next_clears_up(store, monkeypatch):
    request, out = Request(store), store / "report"
    write_report(request, out)
    before = (out / "index.html").read_bytes()

    whole = writing.write_frames

    def killed(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(writing, "write_frames", killed)
    process = PROCESSES.Process(target=write_report, args=(request, out))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert (out / "index.html").read_bytes() == before
    monkeypatch.setattr(writing, "write_frames", whole)
    write_report(request, out)
    assert (out / "index.html").read_bytes() == before
    assert {path.name for path in store.iterdir()} == {"runs", "report", ".report.lock"}
