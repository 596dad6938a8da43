"""Folders that take each other's place: at every moment one of them is there, whole."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from bench.analysis.plots.saving import write_figure
from bench.errors import Unwritable
from bench.store import files
from bench.store.files import (
    exchange,
    is_as_sealed,
    is_as_written,
    make_folder,
    put_in_place,
    recover,
    replacing,
    seal_of,
    sealed,
    write_atomically,
    write_checked_csv,
)
from bench.store.locks import held

KILLED_AT = """
import os, signal, sys
from pathlib import Path
from bench.store import files
folder, number, in_one_step = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "True"
if not in_one_step:
    files._exchange_names = lambda first, second: False
seen = 0
def hook(event, arguments):
    global seen
    if event in ("os.rename", "shutil.rmtree", "os.rmdir", "os.remove"):
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1
sys.addaudithook(hook)
files.recover(folder / "old")
files.exchange(folder / "new", folder / "old")
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_text(text)
    return folder


def read(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.iterdir()}


@pytest.fixture(params=[True, False], ids=["one step", "two steps"])
def in_one_step(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(files, "_exchange_names", lambda first, second: False)
    return request.param


def test_folder_takes_the_place_of_another_which_is_deleted(tmp_path, in_one_step):
    exchange(write(tmp_path / "new", "new"), write(tmp_path / "old", "old"))
    assert read(tmp_path / "old") == {"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("number", range(9))
def test_exchange_that_is_killed_leaves_one_of_both(tmp_path, in_one_step, number):
    write(tmp_path / "new", "new")
    write(tmp_path / "old", "old")
    arguments = [str(tmp_path), str(number), str(in_one_step)]
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", KILLED_AT, *arguments], cwd=root)
    if in_one_step:
        assert read(tmp_path / "old") in ({"old"}, {"new"})
    recover(tmp_path / "old")
    assert read(tmp_path / "old") in ({"old"}, {"new"})
    assert not list(tmp_path.glob(".old*"))


def test_folder_that_is_put_in_place_is_complete(tmp_path):
    put_in_place(write(tmp_path / "partial", "new"), tmp_path / "place")
    assert read(tmp_path / "place") == {"new"}
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


@pytest.fixture
def on_disk(monkeypatch):
    """What is synchronized and what is renamed, in order. A power cut itself cannot be tested."""
    done = []
    synchronize, renamed, exchanged = os.fsync, Path.replace, files._exchange_names

    def noted(handle):
        done.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        synchronize(handle)

    def noted_replace(self, target):
        done.append(f"{self.name} -> {target.name}")
        return renamed(self, target)

    def noted_exchange(new, old):
        done.append(f"{new.name} <-> {old.name}")
        return exchanged(new, old)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(Path, "replace", noted_replace)
    monkeypatch.setattr(files, "_exchange_names", noted_exchange)
    return done


@pytest.mark.skipif(sys.platform != "linux", reason="names of handles are in /proc")
def test_files_and_figures_are_on_the_disk_before_they_have_their_name(tmp_path, on_disk):
    folder = tmp_path / "run"
    folder.mkdir()
    write_atomically(folder / "a.csv", "x")
    assert on_disk == ["a.csv.partial", "a.csv.partial -> a.csv", "run"]
    on_disk.clear()
    figure, _ = plt.subplots()
    write_figure(figure, folder / "figure.png")
    plt.close(figure)
    assert on_disk == ["figure.png.partial", "figure.png.partial -> figure.png", "run"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of handles are in /proc")
def test_folder_is_on_the_disk_before_it_takes_a_place(tmp_path, on_disk):
    write(tmp_path / "old", "old")
    exchange(write(tmp_path / "new", "new"), tmp_path / "old")
    place = on_disk.index("new <-> old")
    assert set(on_disk[:place]) == {"a", "b", "new"}
    assert on_disk[place + 1] == tmp_path.name


def test_seal_knows_every_value(tmp_path):
    content = {"a": 1, "b": [1.5, None, float("inf")], "c": {10: "x", 9: "y"}}
    whole = sealed(content)
    assert is_as_sealed(whole)
    assert sealed(whole) == whole
    assert not is_as_sealed({**whole, "a": 2})
    assert not is_as_sealed({name: value for name, value in whole.items() if name != "a"})
    assert not is_as_sealed(content)


def test_any_change_of_a_checked_table_is_noticed(tmp_path):
    path = tmp_path / "a.csv"
    write_checked_csv(path, [{"level": 0.1, "dice": 0.5}])
    content, seal = path.read_bytes(), seal_of(path).read_bytes()
    assert content == b"level,dice\n0.1,0.5\n"
    assert is_as_written(path)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert not is_as_written(path)
        path.write_bytes(content[:place])
        assert not is_as_written(path)
    path.write_bytes(content)
    for damaged in (seal[:-9], seal.replace(b"1", b"2", 1), b"", b"[]"):
        seal_of(path).write_bytes(damaged)
        assert not is_as_written(path)
    seal_of(path).unlink()  # as before there were checksums
    assert is_as_written(path)


def test_damaged_table_is_not_taken_for_whole_because_the_next_writing_is_killed(
    tmp_path, monkeypatch
):
    path, write = tmp_path / "a.csv", files.write_atomically

    def killed(place, content):
        if place == path:
            raise KeyboardInterrupt
        write(place, content)

    write_checked_csv(path, [{"dice": 0.5}])
    path.write_text("dice\n0.9\n")
    monkeypatch.setattr(files, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        write_checked_csv(path, [{"dice": 0.6}])
    assert not is_as_written(path)


def test_checked_table_is_whole_though_its_writing_is_killed(tmp_path, monkeypatch):
    path, write = tmp_path / "a.csv", files.write_atomically

    def killed(place, content):
        if place == path:
            raise KeyboardInterrupt
        write(place, content)

    for number in range(3):
        write_checked_csv(path, [{"n": number}])
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(files, "write_atomically", killed)
                with pytest.raises(KeyboardInterrupt):
                    write_checked_csv(path, [{"n": -1}])
            assert path.read_text() == f"n\n{number}\n"
            assert is_as_written(path)


@pytest.mark.skipif(sys.platform != "linux", reason="nothing can be created in /proc")
def test_what_cannot_be_created_is_unwritable_and_not_missing():
    place = Path("/proc/registration-bench")
    with pytest.raises(Unwritable):
        write_atomically(place, "x")
    with pytest.raises(Unwritable), replacing(place):
        pass
    with pytest.raises(Unwritable), held(place, "a report", "--out"):
        pass
    with pytest.raises(Unwritable):
        make_folder(place)
