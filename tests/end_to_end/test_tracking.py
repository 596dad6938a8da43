"""Weights & Biases, offline: what a run leaves there, read back from its own file."""

import json
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from .conftest import (
    DEMO,
    Command,
    at,
    only_run,
    read_rows,
    read_summary,
    run_folders,
    write_summary,
)

TRACKED = ["tracker=wandb", "tracker.mode=offline"]
TINY = [word for word in DEMO if not word.startswith("tracker=")]
BLOCK, FILE_HEADER, CHUNK_HEADER = 32768, 7, 7
FULL, LAST = 1, 4
PATIENCE = 20  # seconds


@dataclass
class Tracked:
    """One run as its offline file has it."""

    run: Any = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    goals: dict[str, str] = field(default_factory=dict)
    artifacts: dict[str, list[str]] = field(default_factory=dict)
    exit_code: int | None = None


def read_records(path: Path) -> Iterator[bytes]:
    """Records of a `.wandb` file: LevelDB's log format after a header of 7 bytes."""
    content = path.read_bytes()
    assert content.startswith(b":W&B")
    place, parts = FILE_HEADER, b""
    while place + CHUNK_HEADER <= len(content):
        if BLOCK - place % BLOCK < CHUNK_HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        place += CHUNK_HEADER
        parts += content[place : place + length]
        place += length
        if kind in (FULL, LAST):
            yield parts
            parts = b""


def read_tracked(path: Path) -> Tracked:
    from wandb.proto import wandb_internal_pb2

    def items(records: Any) -> dict[str, Any]:
        return {
            "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in records
        }

    tracked = Tracked()
    for content in read_records(path):
        record = wandb_internal_pb2.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            tracked.run = record.run
            tracked.config |= items(record.run.config.update)
        elif kind == "config":
            tracked.config |= items(record.config.update)
        elif kind == "history":
            tracked.history.append(items(record.history.item))
        elif kind == "summary":
            tracked.summary |= items(record.summary.update)
        elif kind == "metric":
            kept = record.metric.summary
            tracked.goals[record.metric.name] = "max" if kept.max else "min" if kept.min else ""
        elif kind == "artifact":
            entries = record.artifact.manifest.contents
            tracked.artifacts[record.artifact.name] = [entry.path for entry in entries]
        elif kind == "exit":
            tracked.exit_code = record.exit.exit_code
    return tracked


def all_tracked(results: Path) -> dict[str, Tracked]:
    """Every run in the offline files below a results folder, by its id.

    A service in the background writes the files; it may be a moment behind.
    """
    end = time.monotonic() + PATIENCE
    found: list[Tracked] = []
    while not found or any(one.exit_code is None for one in found):
        assert time.monotonic() < end, f"no ended runs in {results}: {found}"
        time.sleep(0.05)
        found = [read_tracked(path) for path in results.glob("wandb/offline-run-*/*.wandb")]
    tracked = {one.run.run_id: one for one in found}
    assert len(tracked) == len(found)
    return tracked


def validations(tracked: Tracked) -> list[dict[str, Any]]:
    return [row for row in tracked.history if "val_loss" in row]


def test_run_is_tracked_with_configuration_history_and_summary(results: Path, run: Command) -> None:
    outcome = run("metric=mse", *TINY, *TRACKED, at(results))
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    summary = read_summary(only_run(results))
    tracked = all_tracked(results)
    assert list(tracked) == [summary["id"]]
    record = tracked[summary["id"]]
    assert record.run.project == "registration-bench"
    assert record.run.run_group == "demo"
    assert record.run.job_type == "registration"
    assert record.run.display_name == only_run(results).name
    assert record.exit_code == 0

    assert record.config["metric"]["name"] == "mse"
    assert record.config["regularizer"]["weight"] == summary["weight"]
    assert record.config["seed"] == 0

    rows = read_rows(only_run(results) / "history.csv")
    logged = validations(record)
    assert [row["step"] for row in logged] == [5, 6]
    assert [row["_step"] for row in logged] == [5, 6]
    for name in ("val_loss", "train_loss", "val_dice", "lr"):
        assert [row[name] for row in logged] == pytest.approx([float(row[name]) for row in rows])

    dice = summary["scores"]["dice"]["mean"]
    assert record.summary["scores/dice/mean"] == pytest.approx(dice)
    assert record.summary["best_step"] == summary["best_step"]
    assert record.summary["registration/_type"] == "image-file"
    assert list(record.run.tags) == ["registration", "demo", "mse", "pyramid"]
    assert (record.goals["val_dice"], record.goals["val_loss"]) == ("max", "min")
    assert record.summary["train_seconds"] == pytest.approx(summary["training_seconds"])
    seconds = summary["scores"]["seconds"]["mean"]
    assert record.summary["register_seconds"] == pytest.approx(seconds)
    assert record.artifacts.keys() == {f"run-{summary['id']}-pairs"}


def test_test_pairs_are_a_table(results: Path, run: Command) -> None:
    assert run("metric=mse", *TINY, *TRACKED, at(results)).code == 0
    [path] = results.glob("wandb/offline-run-*/files/media/table/pairs*.json")
    table = json.loads(path.read_text())
    rows = read_rows(only_run(results) / "pairs.csv")
    assert table["columns"] == list(rows[0])
    assert len(table["data"]) == len(rows) == 2
    for name in ("moving", "fixed"):
        place = table["columns"].index(name)
        assert [row[place] for row in table["data"]] == [row[name] for row in rows]
    dice = [row[table["columns"].index("dice")] for row in table["data"]]
    assert dice == pytest.approx([float(row["dice"]) for row in rows])


def test_weights_are_an_artifact_where_that_is_asked_for(
    results: Path, tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    outcome = run("metric=mse", *TINY, *TRACKED, "tracker.artifacts=true", at(results))
    assert (outcome.code, outcome.err) == (0, "")
    (record,) = all_tracked(results).values()
    files = record.artifacts[only_run(results).name]
    assert sorted(files) == ["best.safetensors", "config.yaml"]
    line = run("metric=mse", *TINY, *TRACKED, "tracker.artifacts=1", at(results)).line
    assert line == "tracker.artifacts=1: must be true or false."


def test_extractor_is_a_run_of_its_own(results: Path, run: Command) -> None:
    outcome = run(
        "metric=deepsim_ae",
        "metric.levels=[1,2]",
        "dataset.recommended.short.surrogate_steps=6",
        *TINY,
        *TRACKED,
        at(results),
    )
    assert outcome.code == 0, outcome.err
    jobs = {one.run.job_type: one for one in all_tracked(results).values()}
    assert set(jobs) == {"registration", "extractor"}
    assert {one.run.run_group for one in jobs.values()} == {"demo"}
    assert {one.exit_code for one in jobs.values()} == {0}
    assert "scores/reconstruction_error/mean" in jobs["extractor"].summary
    assert "scores/dice/mean" in jobs["registration"].summary
    assert {"dice", "folding", "weight", "metric", "dataset"} <= set(jobs["registration"].summary)
    assert "scores/dice/mean" not in jobs["extractor"].summary
    for one in jobs.values():
        assert [row["step"] for row in validations(one)] == [5, 6]


def test_runs_of_a_sweep_stay_apart(results: Path, run: Command) -> None:
    outcome = run("-m", "metric=mse", "regularizer.weight=0.01,1", *TINY, *TRACKED, at(results))
    assert outcome.code == 0, outcome.err
    tracked = all_tracked(results)
    assert len(tracked) == 2
    (group,) = {record.run.run_group for record in tracked.values()}
    assert group.startswith("sweep-")
    assert "WANDB_RUN_GROUP" not in os.environ
    for folder in run_folders(results):
        summary = read_summary(folder)
        record = tracked[summary["id"]]
        assert record.config["regularizer"]["weight"] == summary["weight"]
        losses = [float(row["val_loss"]) for row in read_rows(folder / "history.csv")]
        assert [row["val_loss"] for row in validations(record)] == pytest.approx(losses)
        assert record.exit_code == 0


def test_failed_run_is_tracked_as_failed(results: Path, run: Command) -> None:
    metric = ["metric=mse", "metric.name=custom", "metric._target_=custom_parts.NanFrom"]
    outcome = run(*metric, "+metric.first=6", *TINY, *TRACKED, at(results))
    assert outcome.code == 1
    (record,) = all_tracked(results).values()
    assert record.exit_code == 1
    assert [row["step"] for row in validations(record)] == [5]
    assert "scores/dice/mean" not in record.summary


def test_mode_auto_is_offline_without_credentials(results: Path, run: Command) -> None:
    outcome = run("metric=mse", *TINY, "tracker=wandb", at(results))
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert len(all_tracked(results)) == 1


@pytest.mark.parametrize(("call", "seed"), [("init", 1), ("log", 2), ("finish", 3)])
def test_tracker_that_fails_costs_one_line_and_not_the_run(
    call: str, seed: int, results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def fail(*_: Any, **__: Any) -> None:
        raise wandb.errors.CommError("the server is away\nand more")

    monkeypatch.setattr(*((wandb, "init") if call == "init" else (wandb.Run, call)), fail)
    outcome = run("metric=mse", f"seed={seed}", *TINY, *TRACKED, at(results))
    assert outcome.code == 0
    assert outcome.err == "Weights & Biases: the server is away; the run continues without it\n"
    assert read_summary(only_run(results))["status"] == "finished"


def test_tracker_that_failed_is_closed_all_the_same(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    def fail(*_: Any, **__: Any) -> None:
        raise wandb.errors.CommError("the server is away")

    command = ["metric=mse", "seed=4", *TINY, *TRACKED, at(results)]
    with monkeypatch.context() as patched:
        patched.setattr(wandb.Run, "log", fail)
        assert run(*command).code == 0
    again = run(*command, "force=true")
    assert (again.code, again.err) == (0, "")


def test_impossible_mode_is_refused_before_anything_is_trained(results: Path, run: Command) -> None:
    for mode in ("off", "sometimes", "null"):
        outcome = run("metric=mse", *TINY, "tracker=wandb", f"tracker.mode={mode}", at(results))
        assert outcome.line.startswith(f"tracker.mode={mode}: must be one of")
        assert outcome.line.endswith("disabled. tracker=none tracks nothing.")
    assert run_folders(results) == []


def test_what_the_environment_says_of_the_tracker_counts(
    results: Path, tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a key that is stored, and nobody who has asked for an upload."""
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_ENTITY", "us")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "elsewhere"))
    outcome = run("metric=mse", *TINY, "tracker=wandb", at(results))
    assert (outcome.code, outcome.err) == (0, "")
    (record,) = all_tracked(tmp_path / "elsewhere").values()
    assert (record.run.project, record.run.entity) == ("mine", "us")
    assert not list(results.glob("wandb*"))
    line = next(line for line in outcome.out.splitlines() if line.startswith("Weights & Biases"))
    folder = line.partition("`wandb sync ")[2].partition("`")[0]
    assert list(Path(folder).glob("*.wandb"))


@pytest.mark.parametrize(
    ("variable", "value"), [("WANDB_MODE", "disabled"), ("WANDB_DISABLED", "1")]
)
def test_tracker_that_the_environment_disables_leaves_nothing(
    variable: str, value: str, results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv(variable, value)
    outcome = run("metric=mse", *TINY, "tracker=wandb", at(results))
    assert (outcome.code, outcome.err) == (0, "")
    assert not list(results.glob("**/*wandb*"))


def test_report_is_logged_beside_its_runs(results: Path, run: Command, bench: Command) -> None:
    assert run("metric=mse", *TINY, *TRACKED, at(results)).code == 0
    outcome = bench("report", "--results", str(results), "--wandb")
    assert (outcome.code, outcome.err) == (0, "")
    tracked = all_tracked(results)
    (report,) = [own for own in tracked.values() if own.run.job_type == "report"]
    assert report.run.run_group == "demo"
    assert report.exit_code == 0
    logged = {name.partition("/")[0] for row in report.history for name in row}
    assert {"results", "statistics", "missing", "dice"} <= logged
    assert (
        report.config["command"] == f"python -m bench report --results {results} --select val_dice"
    )


def test_report_goes_where_its_runs_are_or_where_it_is_told(
    results: Path, tmp_path: Path, run: Command, bench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uploading is nothing that a run decides: its folder may be someone else's."""
    assert run("metric=mse", *TINY, *TRACKED, at(results)).code == 0
    folder = only_run(results)
    config = (folder / "config.yaml").read_text()
    named = config.replace("project: null", "project: theirs").replace(
        "mode: offline", "mode: online"
    )
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    monkeypatch.setenv("WANDB_ENTITY", "us")
    write_summary(folder)

    def place(number: int, *options: str) -> tuple[str, str]:
        monkeypatch.setenv("WANDB_DIR", str(tmp_path / f"{number}"))
        outcome = bench("report", "--results", str(results), "--wandb", *options)
        assert (outcome.code, outcome.err) == (0, "")
        (record,) = all_tracked(tmp_path / f"{number}").values()
        return record.run.project, record.run.entity

    assert place(1) == ("mine", "us")
    (folder / "config.yaml").write_text(named)
    assert place(2) == ("theirs", "us")
    assert place(3, "--project", "new", "--entity", "we") == ("new", "we")
    line = bench("report", "--results", str(results), "--project", "new").line
    assert line == "--project and --entity choose where --wandb logs. Pass --wandb, too."
