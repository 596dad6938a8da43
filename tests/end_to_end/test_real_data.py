"""Real data, where `BENCH_DATA` points at a folder that holds it: the scores of no registration."""

import os
from pathlib import Path

import pytest

from .conftest import TRAINING, Command, at, only_run, read_summary

DATA = os.environ.get("BENCH_DATA")
FAST = ["metric=mse", *TRAINING, "trainer.steps=3", "trainer.batch_size=1"]


def root(name: str) -> Path:
    folder = Path(DATA or ".") / name
    if not folder.is_dir():
        pytest.skip(f"BENCH_DATA={DATA} has no folder {name}")
    return folder


def dice_before(results: Path) -> dict:
    summary = read_summary(only_run(results))
    assert summary["status"] == "finished"
    assert summary["steps"] == 3
    return summary["scores_before"]["dice"]


@pytest.mark.skipif(DATA is None, reason="BENCH_DATA does not say where real data lie")
def test_hippocampus(empty_results: Path, run: Command) -> None:
    overrides = [f"dataset.root={root('hippocampus')}", "trainer.validation_pairs=2"]
    outcome = run("dataset=hippocampus", *overrides, *FAST, at(empty_results))
    assert outcome.code == 0, outcome.err
    dice = dice_before(empty_results)
    assert dice["n"] == 40
    assert dice["mean"] == pytest.approx(0.592, abs=0.005)


@pytest.mark.skipif(DATA is None, reason="BENCH_DATA does not say where real data lie")
def test_brain_slabs(empty_results: Path, run: Command) -> None:
    overrides = [f"dataset.root={root('brain_slab')}", "trainer.validation_pairs=2"]
    outcome = run("dataset=brain", *overrides, *FAST, at(empty_results))
    assert outcome.code == 0, outcome.err
    dice = dice_before(empty_results)
    assert dice["n"] == 10
    assert dice["mean"] == pytest.approx(0.689, abs=0.001)
