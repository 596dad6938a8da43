"""The same command again: finished runs are found, forced runs are done anew, seeds hold."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import (
    DEMO,
    ROOT,
    Command,
    at,
    numbers,
    only_run,
    read_summary,
    run_folders,
    with_cache,
)

DISTURBED = ["metric=mse", "metric.name=disturbed", "metric._target_=custom_parts.Disturbed"]


def test_finished_run_is_found_without_importing_torch(results: Path, run: Command) -> None:
    command = ["metric=mse", *DEMO, at(results)]
    assert run(*command).code == 0
    folder = only_run(results)
    changed = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    script = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"sys.argv = ['run.py', *{command!r}]\n"
        f"runpy.run_path({str(ROOT / 'run.py')!r}, run_name='__main__')\n"
        "heavy = {'torch', 'wandb', 'monai', 'torchio', 'matplotlib', 'pandas'}\n"
        "sys.exit(f'imported: {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)\n"
    )
    again = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 0, again.stderr
    assert f"{folder.name} has finished before; pass force=true to rerun it" in again.stdout
    dice = read_summary(folder)["scores"]["dice"]["mean"]
    (row,) = [line for line in again.stdout.splitlines() if "Dice ↑ " in line]
    assert f"{dice:.3f}" in row
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == changed


def test_edited_metric_of_the_users_own_is_another_run(
    results: Path, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    command = ["metric=mse", "metric.name=own", "metric._target_=edited.Own", *DEMO, at(results)]

    def write(power: int) -> None:
        (tmp_path / "edited.py").write_text(
            "class Own:\n"
            "    def __call__(self, pair):\n"
            f"        return (pair.warped - pair.fixed).abs().pow({power}).mean()\n"
        )
        importlib.invalidate_caches()
        sys.modules.pop("edited", None)

    write(1)
    assert run(*command).code == 0
    first = only_run(results)
    assert "has finished before" in run(*command).out
    write(2)
    assert "has finished before" not in run(*command).out
    (second,) = set(run_folders(results)) - {first}
    assert read_summary(first)["validation"] != read_summary(second)["validation"]


def test_metric_with_a_random_network_is_the_same_each_time(
    tmp_path: Path, demo_cache: Path, run: Command
) -> None:
    own = ["metric=mse", "metric.name=own", "metric._target_=custom_parts.RandomFeatures"]
    found = []
    for name in ("first", "second"):
        results = with_cache(tmp_path / name, demo_cache)
        assert run(*own, "+metric.weights=here.pt", *DEMO, at(results)).code == 0
        found.append(numbers(read_summary(only_run(results))))
    assert found[0] == found[1]


def test_forced_run_is_done_anew(results: Path, run: Command) -> None:
    command = ["metric=mse", *DEMO, at(results)]
    run(*command)
    folder = only_run(results)
    before, written = read_summary(folder), (folder / "summary.json").stat().st_mtime_ns
    outcome = run(*command, "force=true")
    assert outcome.code == 0, outcome.err
    assert "has finished before" not in outcome.out
    assert only_run(results) == folder
    assert (folder / "summary.json").stat().st_mtime_ns > written
    assert numbers(read_summary(folder)) == numbers(before)


def test_old_result_is_kept_until_the_forced_run_has_finished(
    results: Path, run: Command, bench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*DISTURBED, *DEMO, at(results)]
    assert run(*command).code == 0
    old = read_summary(only_run(results))

    def kept() -> list[dict]:
        return [json.loads(path.read_text()) for path in results.rglob("summary.json")]

    monkeypatch.setenv("TEST_DISTURBANCE", "error:4")
    assert run(*command, "force=true").line.startswith("RuntimeError: the metric broke")
    assert kept() == [old]
    monkeypatch.delenv("TEST_DISTURBANCE")
    assert "has finished before" in run(*command).out
    (row,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert (row["status"], row["dice"]) == ("finished", old["scores"]["dice"]["mean"])
    assert run(*command, "force=true").code == 0
    (new,) = kept()
    assert new["training_seconds"] != old["training_seconds"]
    assert numbers(new) == numbers(old)
    assert {path.name for path in (results / "runs").iterdir()} == {
        only_run(results).name,
        ".locks",
    }


def test_one_seed_gives_identical_scores_and_another_seed_others(
    tmp_path: Path, demo_cache: Path, run: Command
) -> None:
    found = {}
    for name, seed in (("first", 0), ("second", 0), ("other", 1)):
        results = with_cache(tmp_path / name, demo_cache)
        assert run("metric=ncc", f"seed={seed}", *DEMO, at(results)).code == 0
        found[name] = only_run(results)
    summaries = {name: numbers(read_summary(folder)) for name, folder in found.items()}
    assert summaries["first"] == summaries["second"]
    assert summaries["other"]["validation"] != summaries["first"]["validation"]
    assert summaries["other"]["scores"]["sdlogj"] != summaries["first"]["scores"]["sdlogj"]
    assert summaries["other"]["scores_before"] == summaries["first"]["scores_before"]
    weights = {name: (folder / "best.safetensors").read_bytes() for name, folder in found.items()}
    assert weights["first"] == weights["second"]
    assert found["first"].name == found["second"].name != found["other"].name


@pytest.mark.parametrize(
    "override",
    [
        "trainer.progress=true",
        "trainer.checkpoint_every=3",
        "trainer.accelerator=cpu",
        "regularizer.scale=1.0",
        "dataset.recommended.short.surrogate_steps=3",
    ],
)
def test_what_cannot_change_the_numbers_does_not_make_another_run(
    override: str, results: Path, run: Command
) -> None:
    command = ["metric=mse", *DEMO, at(results)]
    run(*command)
    again = run(*command, override)
    assert "has finished before" in again.out
    assert len(run_folders(results)) == 1


def test_extractor_is_trained_once_for_two_weights(results: Path, run: Command) -> None:
    command = [
        "metric=deepsim_ae",
        "metric.levels=[1,2]",
        "dataset.recommended.short.surrogate_steps=6",
        *DEMO,
        at(results),
    ]
    first = run(*command, "regularizer.weight=0.1")
    assert "autoencoder on demo: best at step" in first.out
    (extractor,) = [path for path in results.glob("extractors/*") if path.name[0] != "."]
    assert read_summary(extractor)["steps"] == 6
    assert not (extractor / "last.pt").exists()
    changed = {path: path.stat().st_mtime_ns for path in extractor.iterdir()}

    second = run(*command, "regularizer.weight=0.2")
    assert second.code == 0, second.err
    assert "autoencoder on demo: best at step" not in second.out
    assert len(run_folders(results)) == 2
    assert [path for path in results.glob("extractors/*") if path.name[0] != "."] == [extractor]
    assert {path: path.stat().st_mtime_ns for path in extractor.iterdir()} == changed

    weights = (extractor / "best.safetensors").read_bytes()
    for name, weight in (("best.safetensors", 0.3), ("history.csv", 0.4)):
        file = extractor / name
        content = file.read_bytes()
        file.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        again = run(*command, f"regularizer.weight={weight}")
        assert again.code == 0, again.err
        assert (
            f"{extractor}: is damaged ({name} has changed since it was written); the" in again.out
        )
        assert (extractor / "best.safetensors").read_bytes() == weights


def test_a_run_held_by_another_process_is_left_alone(results: Path, run: Command) -> None:
    from filelock import FileLock

    command = ["metric=mse", *DEMO, at(results)]
    run(*command)
    folder = only_run(results)
    written = (folder / "summary.json").stat().st_mtime_ns
    with FileLock(results / "runs" / ".locks" / f"{folder.name}.lock"):
        line = run(*command, "force=true").line
    assert line == (
        f"Another process is running {folder.name}. Wait for it; `python -m bench runs --results "
        f"{results}` shows when it has finished."
    )
    assert (folder / "summary.json").stat().st_mtime_ns == written
