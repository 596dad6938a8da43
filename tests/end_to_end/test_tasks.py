"""A task of the user's, with tables and scores of its kind."""

import json
import signal
from pathlib import Path

import pytest

from .conftest import Command, at, only_run, read_rows, read_summary, run_folders, run_process
from .test_methods import STILL

TASK = [*STILL, "task.name=brightness", "task._target_=custom_parts.Brightness"]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the task notes its cases in."""
    path = tmp_path / "log"
    monkeypatch.setenv("TEST_LOG", str(path))
    return path


def test_task_is_run_recorded_and_listed(
    results: Path, log: Path, run: Command, bench: Command
) -> None:
    outcome = run(*TASK, at(results))
    assert outcome.code == 0, outcome.err
    folder = only_run(results)
    summary = read_summary(folder)
    assert (summary["task"], summary["unit"]) == ("brightness", "grey value")
    assert summary["tables"] == ["cases.csv"]
    assert set(summary["scores"]) == {"brightness", "contrast"}
    rows = read_rows(folder / "cases.csv")
    assert [row["subject"] for row in rows] == ["test000", "test001"]
    for name in ("brightness", "contrast"):
        values = [float(row[name]) for row in rows]
        assert sum(values) / 2 == pytest.approx(summary["scores"][name]["mean"])
    assert not (folder / "pairs.csv").exists()

    assert run(*TASK, at(results)).code == 0
    assert log.read_text().split() == ["test000", "test001"]
    (row,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert (row["status"], row["task"]) == ("finished", "brightness")
    assert row["brightness"] == summary["scores"]["brightness"]["mean"]


def test_killed_task_goes_on_with_the_cases_that_are_left(
    results: Path, log: Path, run: Command, bench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGKILL:2")
    assert run_process(*TASK, at(results)).code == -signal.SIGKILL
    folder = only_run(results)
    assert "test000" in (folder / "progress.json").read_text()
    (row,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert row["status"] == "interrupted"

    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*TASK, at(results))
    assert outcome.code == 0, outcome.err
    assert "brightness: continuing after 1 of 2 cases" in outcome.out
    assert log.read_text().split() == ["test000", "test001"]
    rows = read_rows(folder / "cases.csv")
    assert [row["subject"] for row in rows] == ["test000", "test001"]
    assert not (folder / "progress.json").exists()
    assert read_summary(folder)["scores"]["brightness"]["n"] == len(rows) == 2


def test_task_is_swept(results: Path, log: Path, run: Command) -> None:
    outcome = run("-m", *TASK, "seed=0,1", at(results))
    assert outcome.code == 0, outcome.err
    assert len(run_folders(results)) == 2
    assert len(log.read_text().split()) == 4


def test_class_that_is_no_task_is_refused(empty_results: Path, run: Command) -> None:
    line = run(*TASK, "task._target_=custom_parts.L1", at(empty_results)).line
    assert line.startswith("task._target_=custom_parts.L1: lacks assemble(setup) or tables.")
