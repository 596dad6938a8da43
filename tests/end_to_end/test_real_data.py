"""Real data, where `BENCH_DATA` points at a folder that holds it: the scores of no registration."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import TRAINING, Command, at, only_run, read_summary

FAST = ["metric=mse", *TRAINING, "trainer.steps=3", "trainer.batch_size=1"]


def dice_before(results: Path) -> dict:
    summary = read_summary(only_run(results))
    assert summary["status"] == "finished"
    assert summary["steps"] == 3
    return summary["scores_before"]["dice"]


def test_hippocampus(real_set: Callable[[str], Path], empty_results: Path, run: Command) -> None:
    overrides = [f"dataset.root={real_set('hippocampus')}", "trainer.validation_pairs=2"]
    outcome = run("dataset=hippocampus", *overrides, *FAST, at(empty_results))
    assert outcome.code == 0, outcome.err
    dice = dice_before(empty_results)
    assert dice["n"] == 40
    assert dice["mean"] == pytest.approx(0.592, abs=0.005)


def test_brain_slabs(real_set: Callable[[str], Path], empty_results: Path, run: Command) -> None:
    overrides = [f"dataset.root={real_set('brain_slab')}", "trainer.validation_pairs=2"]
    outcome = run("dataset=brain", *overrides, *FAST, at(empty_results))
    assert outcome.code == 0, outcome.err
    dice = dice_before(empty_results)
    assert dice["n"] == 10
    assert dice["mean"] == pytest.approx(0.689, abs=0.001)


def test_stains_are_registered_affinely(
    real_set: Callable[[str], Path], empty_results: Path, run: Command
) -> None:
    """As well as by the affine map that fits the landmarks best, which leaves 7.4 pixels."""
    root = f"dataset.root={real_set('histology_lung')}"
    outcome = run("dataset=histology", root, "model=affine", "tracker=none", at(empty_results))
    assert outcome.code == 0, outcome.err
    summary = read_summary(only_run(empty_results))
    assert summary["scores_before"]["tre_median"]["mean"] == pytest.approx(51.06, abs=0.01)
    assert summary["scores"]["tre_median"]["mean"] < 8
