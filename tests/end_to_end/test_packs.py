"""Runs of a sweep that are trained together (`trainer.pack=K`) end as they do alone."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import DEMO, Command, at, read_summary, run_folders, with_cache

SWEEP = ["metric=mse", "regularizer.weight=0.01,0.02,0.04", "trainer.precision=float32", *DEMO]
BEFORE = "has finished before"


def summaries(results: Path) -> dict[str, dict]:
    found = {folder.name: read_summary(folder) for folder in run_folders(results)}
    assert {summary["status"] for summary in found.values()} == {"finished"}
    return found


def test_a_packed_sweep_ends_as_one_run_after_the_other(
    results: Path, demo_cache: Path, tmp_path: Path, run: Command
) -> None:
    outcome = run("-m", *SWEEP, "trainer.pack=2", at(results))
    assert (outcome.code, outcome.err) == (0, "")
    assert BEFORE not in outcome.out
    assert outcome.out.count("figure: ") == 3
    alone = with_cache(tmp_path / "alone", demo_cache)
    assert run("-m", *SWEEP, at(alone)).code == 0
    ours, theirs = summaries(results), summaries(alone)
    assert ours.keys() == theirs.keys()
    for name, summary in ours.items():
        for score in ("dice", "folding", "sdlogj"):
            expected = theirs[name]["scores"][score]["mean"]
            assert summary["scores"][score]["mean"] == pytest.approx(expected, abs=2e-3)
        expected = theirs[name]["validation"]
        assert summary["validation"] == pytest.approx(expected, rel=1e-2, abs=1e-6)
        assert {p.name for p in (results / "runs" / name).iterdir()} == {
            p.name for p in (alone / "runs" / name).iterdir()
        }
    assert run("-m", *SWEEP, "trainer.pack=3", at(results)).out.count(BEFORE) == 3


@pytest.mark.parametrize("pack", [2, 3])
def test_forced_packs_run_each_once(
    pack: int, results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("-m", *SWEEP, at(results)).code == 0
    from bench import execution

    taken = []
    for name in ("execute", "execute_pack"):
        original = getattr(execution, name)

        def counted(runs: object, *rest: object, original: Callable = original) -> object:
            taken.append(len(runs) if isinstance(runs, list) else 1)
            return original(runs, *rest)

        monkeypatch.setattr(execution, name, counted)
    first = {folder: (folder / "summary.json").stat().st_ino for folder in run_folders(results)}
    outcome = run("-m", *SWEEP, f"trainer.pack={pack}", "force=true", at(results))
    assert taken == ([2, 1] if pack == 2 else [3])
    assert outcome.code == 0
    assert BEFORE not in outcome.out
    assert outcome.out.count("figure: ") == 3
    assert all((f / "summary.json").stat().st_ino != old for f, old in first.items())


def test_one_that_fails_is_told_in_its_turn_and_the_others_finish(
    results: Path, run: Command
) -> None:
    sweep = ["metric=mse", "regularizer.weight=0.01,1e300,0.04", *DEMO, "trainer.pack=3"]
    outcome = run("-m", *sweep, at(results))
    assert outcome.code == 1
    failed = [line for line in outcome.err.splitlines() if line.startswith("failed: metric=mse")]
    assert len(failed) == 1
    assert "mse on demo, λ = 1e+300: loss is inf at step 1" in failed[0]
    status = {read_status(folder) for folder in run_folders(results) if "1e+300" not in folder.name}
    assert status == {"finished"}
    outcome = run("-m", *sweep, at(results))
    assert outcome.code == 1
    assert outcome.out.count(BEFORE) == 2


def read_status(folder: Path) -> str:
    return read_summary(folder)["status"]


def test_packs_are_of_one_process(empty_results: Path, run: Command) -> None:
    line = run("-m", *SWEEP, "trainer.pack=2", "hydra/launcher=local", at(empty_results)).line
    assert (
        "trainer.pack=2: packs the runs of one process; must be 1 with hydra/launcher=local" in line
    )
    assert not empty_results.exists()


def test_networks_that_cannot_be_packed_are_refused(results: Path, run: Command) -> None:
    sweep = [override for override in SWEEP if not override.startswith("model.channels")]
    outcome = run("-m", *sweep, "trainer.pack=3", "model=segresnet", at(results))
    assert outcome.code == 1
    assert "trainer.pack: MonaiNetwork networks cannot be called together" in outcome.err
    assert run_folders(results) == []
