"""`python -m bench robustness`: trained networks tested again on disturbed images."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from bench.inspection import robustness

from .conftest import DEMO, Command, at, only_run, with_cache, write_summary

FLOAT32 = ["dataset.noise=0", "trainer.precision=float32"]  # in which layouts round differently


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> Path:
    return with_cache(tmp_path_factory.mktemp("finished") / "results", demo_cache)


@pytest.fixture
def trained(finished: Path, tmp_path: Path, run: Command) -> Path:
    """A copy of the results of one run."""
    if not (finished / "runs").exists():
        outcome = run("metric=mse", *DEMO, *FLOAT32, at(finished))
        assert outcome.code == 0, outcome.err
    return shutil.copytree(finished, tmp_path / "trained", symlinks=True)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_level_0_is_the_test_and_others_are_added_once(
    trained: Path, bench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = only_run(trained)
    name = json.loads((folder / "summary.json").read_text())["id"]
    command = ("robustness", name, "--results", str(trained), "--levels")
    outcome = bench(*command, "0,0.3")
    assert (outcome.code, outcome.err) == (0, "")
    assert "test Dice (Folding) under noise" in outcome.out
    tested, original = rows(folder / "robustness.csv"), rows(folder / "pairs.csv")
    assert [(row["corruption"], row["level"]) for row in tested] == [
        ("noise", level) for level in ("0.0", "0.3") for _ in original
    ]
    for row, expected in zip(tested, original, strict=False):
        for score in ("moving", "fixed", "dice", "hd95", "folding", "sdlogj"):
            assert row[score] == expected[score]
    assert tested[-1]["sdlogj"] != original[-1]["sdlogj"]

    def twice(*_: object) -> None:
        raise AssertionError("tested twice")

    with monkeypatch.context() as patched:
        patched.setattr(robustness, "load_run", twice)
        again = bench(*command, "0.3")
    assert again.code == 0
    assert "0.3" in again.out
    assert rows(folder / "robustness.csv") == tested
    assert bench(*command[:-1], "--corruption", "blur", "--levels", "1").code == 0
    assert len(rows(folder / "robustness.csv")) == len(tested) + len(original)

    report = bench("report", "--results", str(trained))
    assert report.code == 0, report.err
    assert (trained / "report" / "figures" / "robustness-demo.png").stat().st_size > 5000


def test_damaged_test_is_thrown_away_and_done_again(trained: Path, bench: Command) -> None:
    path = only_run(trained) / "robustness.csv"
    command = ("robustness", path.parent.name, "--results", str(trained), "--levels", "0,0.3")
    assert bench(*command).code == 0
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"0.3,", b"0.1,", 1))
    report = bench("report", "--results", str(trained))
    assert "robustness.csv has changed since it was written" in report.out + report.err
    again = bench(*command)
    assert again.code == 0, again.err
    assert f"{path}: has changed since it was written; its levels will be tested again" in again.out
    without_time = [{**row, "seconds": ""} for row in rows(path)]
    path.write_bytes(whole)
    assert [{**row, "seconds": ""} for row in rows(path)] == without_time


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--corruption", "fog"], "--corruption fog: must be one of noise, blur, bias, contrast."),
        (["--levels", "0,much"], "--levels 0,much: must be numbers separated by commas"),
        (["--levels", "-1"], "--levels -1: must be numbers of at least 0."),
    ],
)
def test_bad_options_are_one_line(
    options: list[str], words: str, trained: Path, bench: Command
) -> None:
    outcome = bench("robustness", only_run(trained).name, "--results", str(trained), *options)
    assert outcome.line.startswith(words)
    assert not (only_run(trained) / "robustness.csv").exists()


def test_runs_are_checked_before_any_is_tested(trained: Path, bench: Command) -> None:
    folder = only_run(trained)
    other = shutil.copytree(folder, folder.with_name("other"))
    write_summary(other, task="synthesis")
    command = ("robustness", folder.name, "other", "--results", str(trained), "--levels", "0")
    assert bench(*command).line == (
        "other: is a run of task=synthesis; this command needs a run of task=registration."
    )
    write_summary(other, task="registration", weight=0.5)
    weight = json.loads((folder / "summary.json").read_text())["weight"]
    line = bench(*command, "--weight", str(weight)).line
    assert line == (
        f"--weight {weight:g}: other learned one λ only. Name a run with model.conditioned=lambda."
    )
    assert not (folder / "robustness.csv").exists()


def test_unfinished_run_and_other_data_are_refused(trained: Path, bench: Command) -> None:
    folder = only_run(trained)
    command = ("robustness", folder.name, "--results", str(trained), "--levels", "0")
    write_summary(folder, data="others")
    words = "the files of demo have changed since its training. Restore them,"
    assert words in bench(*command).line
    (folder / "summary.json").unlink()
    assert "has not finished. Run its command again to finish it." in bench(*command).line
    assert not (folder / "robustness.csv").exists()
