"""Folders of results: what counts as finished, who holds them, and what survives a fault."""

import csv
import errno
import json
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.config.identity import SCHEMA
from bench.errors import Busy, Diverged, StoreError, Unsupported
from bench.store import locks
from bench.store.files import read_json, write_atomically, write_csv, write_json
from bench.store.folder import Folder
from bench.store.layout import FAILURE, LAST, SUMMARY, TRACEBACK
from bench.store.listing import describe, list_folders

HEADER = {"id": "abc", "dataset": "demo", "metric": "ncc", "weight": 0.5, "seed": 0}
SCORES = {"dice": {"mean": 0.75, "std": 0.01, "n": 4}}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "runs" / "demo-ncc-abc")


def finish(folder, **more):
    folder.start(HEADER, "seed: 0\n", {"python": "3"})
    folder.finish({**HEADER, "scores": SCORES, **more})


def test_writing_replaces_the_former_file(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "first")
    write_atomically(path, b"second")
    assert path.read_text() == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_write_that_fails_keeps_the_former_file_and_leaves_no_part(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "first")
    with pytest.raises(TypeError):
        write_atomically(path, 3)  # found out after the partial file was opened
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_write_over_a_folder_leaves_no_part(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_atomically(tmp_path / "taken", "text")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_csv_has_all_columns_in_order_of_appearance(tmp_path):
    write_csv(tmp_path / "rows.csv", [{"step": 1, "loss": 0.5}, {"step": 2, "dice": 0.7}])
    with open(tmp_path / "rows.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [["step", "loss", "dice"], ["1", "0.5", ""], ["2", "", "0.7"]]


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '{"status": "fin'])
def test_damaged_json_reads_as_nothing(tmp_path, text):
    (tmp_path / "file.json").write_text(text)
    assert read_json(tmp_path / "file.json") is None
    assert read_json(tmp_path / "missing.json") is None


def test_status_from_nothing_to_finished(folder):
    assert folder.status() == "missing"
    folder.start(HEADER, "seed: 0\n", {})
    assert folder.status() == "interrupted"
    with folder.claim():
        assert folder.status() == "running"
    assert folder.status() == "interrupted"
    folder.file(LAST).write_bytes(b"state")
    folder.finish({**HEADER, "scores": SCORES})
    assert folder.status() == "finished"
    assert folder.summary()["scores"] == SCORES
    assert not folder.file(LAST).exists()


@pytest.mark.parametrize(
    ("error", "status"), [(Diverged("loss is nan"), "failed"), (Unsupported("2D only"), "skipped")]
)
def test_failure_is_recorded_and_forgotten_by_the_next_start(folder, error, status):
    folder.start(HEADER, "seed: 0\n", {})
    try:
        raise error
    except type(error) as raised:
        folder.fail(raised, status)
    assert folder.status() == status
    failure = read_json(folder.file(FAILURE))
    assert failure["error"] == str(error)
    assert failure["type"] == type(error).__name__
    assert "raise error" in folder.file(TRACEBACK).read_text()
    assert describe(folder)["error"] == str(error)
    folder.start(HEADER, "seed: 0\n", {})
    assert folder.status() == "interrupted"
    assert not folder.file(TRACEBACK).exists()
    assert "error" not in describe(folder)


def test_what_a_killed_process_was_writing_is_cleared_away_by_the_next_start(folder):
    folder.start(HEADER, "seed: 0\n", {})
    for name in (FAILURE, SUMMARY):
        folder.file(f"{name}.partial").write_text("{")
    folder.start(HEADER, "seed: 0\n", {})
    assert not list(folder.path.glob("*.partial"))


def test_failure_before_the_start_writes_nothing(folder):
    folder.fail(Diverged("early"))
    assert folder.status() == "missing"


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"schema": 1}', '{"schema": 1, "status": "running"}', "[]"]
    + [f'{{"schema": {schema}, "status": "finished"}}' for schema in ('"one"', "null", "1")],
)
def test_damaged_summary_is_not_finished_and_the_next_start_forgets_it(folder, content):
    finish(folder)
    folder.file(SUMMARY).write_text(content)
    assert folder.summary() is None
    status, reason, _ = folder.standing()
    assert status == "damaged"
    assert reason.startswith("summary.json ")
    assert reason.endswith(". Run the same command to repeat it.")
    with folder.claim():
        assert folder.status() == "running"
        folder.start(HEADER, "seed: 0\n", {})
    assert folder.status() == "interrupted"


def test_results_of_a_newer_version_are_named_and_never_overwritten(folder):
    finish(folder)
    write_json(folder.file(SUMMARY), {"schema": SCHEMA + 1, "status": "finished"})
    words = f"comes from a newer version; this version reads schema {SCHEMA}"
    assert words in folder.standing().reason
    assert describe(folder)["status"] == "damaged"
    with pytest.raises(StoreError, match=words):
        folder.start(HEADER, "seed: 0\n", {})
    assert read_json(folder.file(SUMMARY))["schema"] == SCHEMA + 1


def test_results_of_another_id_are_named_and_stay(folder):
    folder.refuse_other()
    finish(folder)
    folder.refuse_other()
    other = Folder(folder.path.rename(folder.path.with_name("demo-ncc-def")))
    with pytest.raises(StoreError, match=r"demo-ncc-def: holds results of another id, abc\. Give"):
        other.refuse_other()
    assert other.summary()["id"] == "abc"


def alter(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["best.safetensors", "pairs.csv", "config.yaml", "run.json"])
@pytest.mark.parametrize("damage", ["bit", "cut", "deleted"])
def test_finished_run_with_a_damaged_file_is_damaged_and_names_it(folder, name, damage):
    folder.start(HEADER, "seed: 0\n", {})
    folder.file("best.safetensors").write_bytes(bytes(5000))
    folder.file("pairs.csv").write_text("moving,fixed,dice\na,b,0.5\n")
    folder.finish({**HEADER, "scores": SCORES})
    assert folder.status() == "finished"
    path = folder.file(name)
    if damage == "bit":
        alter(path, -2)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    what = "cannot be read (No such file or directory)"
    what = what if damage == "deleted" else "has changed since it was written"
    row = describe(folder)
    assert row["status"] == "damaged"
    assert row["error"] == f"{name} {what}. Pass force=true to rerun it."
    assert "dice" not in row
    with pytest.raises(StoreError, match=f"{folder.path.name}: is damaged: {name} "):
        folder.finished()


def test_no_bit_of_a_summary_can_change_a_score(folder):
    finish(folder)
    for place in range(folder.file(SUMMARY).stat().st_size):
        alter(folder.file(SUMMARY), place)
        found = folder.summary()
        assert found is None or (found["scores"], found["seed"]) == (SCORES, HEADER["seed"])
        alter(folder.file(SUMMARY), place)
    assert folder.summary()["scores"] == SCORES


def test_folder_that_another_process_writes_or_removes_is_described(folder, monkeypatch):
    folder.start(HEADER, "seed: 0\n", {})
    listed = list(folder.path.iterdir())
    gone = folder.path / "last.pt.partial"
    monkeypatch.setattr(Path, "iterdir", lambda self: iter([gone, *listed]))
    assert describe(folder)["written"] == round(max(p.stat().st_mtime for p in listed))
    assert describe(Folder(folder.path / "nowhere"))["status"] == "missing"


@pytest.mark.parametrize("content", ["", "[]", '{"status": "gone"}', '{"status": "failed"}'])
def test_damaged_failure_is_none(folder, content):
    folder.start(HEADER, "seed: 0\n", {})
    folder.file(FAILURE).write_text(content)
    assert describe(folder)["status"] == "interrupted"


HOLDER = """
import sys
from pathlib import Path
from bench.store.folder import Folder
with Folder(Path(sys.argv[1])).claim():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(folder):
    """Another process that holds the folder until its input is closed."""
    folder.start(HEADER, "seed: 0\n", {})
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_folder_held_by_another_process_is_running_and_cannot_be_claimed(folder, holder):
    assert folder.status() == "running"
    words = "Another process is running demo-ncc-abc. Wait for it"
    with pytest.raises(StoreError, match=words), folder.claim():
        pass
    holder.stdin.close()
    holder.wait()
    assert folder.status() == "interrupted"


def test_claim_of_a_killed_process_ends_with_it(folder, holder):
    holder.kill()
    holder.wait()
    with folder.claim():
        assert folder.status() == "running"


def test_waiting_claim_says_for_whom_and_gets_the_folder_when_the_other_lets_go(
    folder, holder, monkeypatch, capsys
):
    monkeypatch.setattr(locks, "SILENCE", 0.05)
    threading.Timer(0.3, holder.stdin.close).start()
    with folder.claim(wait=True):
        pass
    assert holder.wait() == 0
    assert capsys.readouterr().err == (
        f"waiting for demo-ncc-abc, held by process {holder.pid} on {platform.node()}\n"
    )


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_file_system_without_locks_is_named_with_a_remedy(folder, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    folder.start(HEADER, "seed: 0\n", {})
    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError) as raised, folder.claim():
        pass
    line = str(raised.value)
    assert line.startswith(f"{folder.path.parent}/.locks/demo-ncc-abc.lock: this file system has ")
    assert line.endswith("Choose a folder on another file system with results_dir=DIR.")
    assert folder.status() == "interrupted"


def test_finished_run_is_shown_until_the_one_that_is_run_anew_takes_its_place(folder, tmp_path):
    finish(folder, steps=1)
    with folder.claim():
        new = folder.start_anew()
        new.start(HEADER, "seed: 0\n", {})
        new.file(LAST).write_bytes(b"state")
    assert [found.path for found in list_folders(tmp_path)] == [folder.path]
    assert folder.standing().summary["steps"] == 1
    with folder.claim():
        again = folder.start_anew()
        assert again.file(LAST).read_bytes() == b"state"
        again.finish({**HEADER, "scores": SCORES, "steps": 2})
        assert folder.summary()["steps"] == 1
        folder.give_way()
    assert folder.finished()["steps"] == 2
    assert {path.name for path in folder.path.parent.iterdir()} == {folder.path.name, ".locks"}


def test_run_that_was_replaced_is_not_gone_on_with(folder):
    """It lies in the place of the new one if a process is killed after they have changed places."""
    finish(folder, steps=1)
    new = folder.anew()
    new.start(HEADER, "", {})
    new.finish({**HEADER, "scores": SCORES, "steps": 2})
    assert not folder.start_anew().path.exists()


def test_run_that_is_run_anew_is_removed_and_reset_with_it(folder):
    for action in (folder.reset, folder.remove):
        finish(folder)
        folder.anew().start(HEADER, "", {})
        (folder.path.parent / f".{folder.path.name}.removed" / "rest").mkdir(
            parents=True, exist_ok=True
        )
        action()
        assert not folder.anew().path.exists()
    assert [path.name for path in folder.path.parent.iterdir()] == [".locks"]


def test_looking_writes_nothing(folder, tmp_path):
    folder.start(HEADER, "seed: 0\n", {})
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert [describe(found)["status"] for found in list_folders(tmp_path)] == ["interrupted"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_listing_holds_what_was_started_by_name(folder, tmp_path):
    assert list_folders(tmp_path) == []
    finish(folder)
    other = Folder(folder.path.with_name("demo-mse-def"))
    other.start({**HEADER, "metric": "mse"}, "", {})
    (tmp_path / "runs" / "stray").mkdir()
    rows = [describe(found) for found in list_folders(tmp_path)]
    assert [(row["metric"], row["status"]) for row in rows] == [
        ("mse", "interrupted"),
        ("ncc", "finished"),
    ]
    assert rows[1]["dice"] == 0.75
    assert "dice" not in rows[0]


@pytest.mark.parametrize("content", [None, ""])
def test_finished_folder_without_its_header_is_listed_as_damaged(folder, tmp_path, content):
    finish(folder)
    folder.file("run.json").unlink()
    said = "run.json cannot be read (No such file or directory). Pass force=true to rerun it."
    if content is not None:
        folder.file("run.json").write_text(content)
        said = "run.json has changed since it was written. Pass force=true to rerun it."
    (row,) = [describe(found) for found in list_folders(tmp_path)]
    assert (row["status"], row["error"]) == ("damaged", said)
    assert {name: row[name] for name in HEADER} == HEADER
    with pytest.raises(StoreError, match=r"demo-ncc-abc: is damaged: run\.json "):
        folder.finished()


@pytest.mark.parametrize("kind", ["runs", "extractors", "networks"])
@pytest.mark.parametrize("name", ["summary.json", "config.yaml", "pairs.csv", "best.safetensors"])
def test_folder_with_one_file_of_a_run_is_listed_as_damaged(tmp_path, kind, name):
    folder = Folder(tmp_path / kind / "demo-ncc-abc")
    folder.path.mkdir(parents=True)
    folder.file(name).write_text("")
    (found,) = list_folders(tmp_path, kind)
    assert found.status() == "damaged"
    what = "summary.json cannot be read" if name == "summary.json" else "run.json is missing"
    assert describe(found)["error"] == f"{what}. Run the same command to repeat it."
    folder.start(HEADER, "", {})
    assert folder.status() == "interrupted"


def test_header_without_what_every_run_has_is_damaged(folder):
    folder.path.mkdir(parents=True)
    folder.file("run.json").write_text('{"id": "zz"}')
    assert folder.standing() == (
        "damaged", "run.json cannot be read. Run the same command to repeat it.", None
    )  # fmt: skip


def test_folder_that_a_process_has_only_made_is_not_listed(folder, tmp_path, monkeypatch):
    listed = []

    def write(path, content):
        listed.append([(found.name, found.status()) for found in list_folders(tmp_path)])
        write_atomically(path, content)

    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes.txt").write_text("mine")
    monkeypatch.setattr("bench.store.folder.write_atomically", write)
    monkeypatch.setattr("bench.store.folder.write_json", lambda path, content: write(path, "{}"))
    with folder.claim():
        folder.start(HEADER, "seed: 0\n", {})
    running = [("demo-ncc-abc", "running")]
    assert listed == [[], running, running]  # before header, configuration, environment


def test_files_are_readable_by_other_programs(folder):
    finish(folder)
    assert json.loads(folder.file(SUMMARY).read_text())["schema"] == SCHEMA
    assert folder.file("config.yaml").read_text() == "seed: 0\n"


def test_removed_run_is_gone_and_others_stay(tmp_path):
    folders = [Folder(tmp_path / "runs" / name) for name in ("a", "b")]
    for one in folders:
        finish(one)
    folders[0].remove()
    assert [one.path.name for one in list_folders(tmp_path)] == ["b"]
    assert folders[1].status() == "finished"


def test_reset_forgets_how_far_an_unfinished_run_has_come(folder):
    folder.start(HEADER, "seed: 0\n", {})
    for name in (LAST, "best.safetensors", "history.csv"):
        folder.file(name).write_text("half")
    folder.fail(Diverged("loss is nan"))
    folder.reset()
    assert folder.status() == "interrupted"
    assert sorted(file.name for file in folder.path.iterdir()) == [
        "config.yaml", "environment.json", "run.json",
    ]  # fmt: skip


def test_reset_leaves_a_finished_run_alone(folder):
    finish(folder)
    before = sorted(file.name for file in folder.path.iterdir())
    folder.reset()
    assert sorted(file.name for file in folder.path.iterdir()) == before


@pytest.mark.parametrize("action", ["remove", "reset"])
def test_run_that_another_process_holds_is_neither_removed_nor_reset(folder, action):
    finish(folder)
    other = Folder(folder.path)
    with folder.claim(), pytest.raises(Busy, match="Another process is running"):
        getattr(other, action)()
    assert folder.status() == "finished"
