"""Whole commands over damaged files: nothing damaged is used, and what can be is made again."""

import json
import re
from pathlib import Path

import pytest

from .conftest import (
    DEMO,
    SUBJECTS,
    Command,
    at,
    numbers,
    only_run,
    read_summary,
    run_folders,
    with_cache,
)

RUN = ["metric=mse", *DEMO]


def flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def row(results: Path, bench: Command) -> dict:
    (found,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    return found


def test_cache_found_damaged_in_a_training_is_made_again_and_the_run_goes_on(
    tmp_path: Path, run: Command
) -> None:
    found = []
    (tmp_path / "cache").mkdir()
    for name in ("undisturbed", "damaged"):
        results = with_cache(tmp_path / name, tmp_path / "cache")
        outcome = run(*RUN, at(results))
        assert outcome.code == 0, outcome.err
        found.append(numbers(read_summary(only_run(results))))
        (cache,) = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
        if name == "undisturbed":
            whole = (cache / "images.npy").read_bytes()
            flip(cache / "images.npy", -3)
    assert f"{results / 'cache' / cache.name}: is damaged (images.npy: subject test" in outcome.out
    assert found[0] == found[1]
    assert (cache / "images.npy").read_bytes() == whole


def test_finished_run_with_damaged_weights_is_shown_so_and_its_network_not_used(
    results: Path, run: Command, bench: Command
) -> None:
    assert run(*RUN, at(results)).code == 0
    folder = only_run(results)
    before = read_summary(folder)
    flip(folder / "best.safetensors")
    what = "best.safetensors has changed since it was written. Pass force=true to rerun it."
    found = row(results, bench)
    assert (found["status"], found["error"]) == ("damaged", what)
    shown = bench("runs", "--results", str(results)).out
    assert f"{before['id']} damaged: {what}" in shown
    outcome = run(*RUN, at(results))
    assert outcome.code == 0
    assert outcome.err == f"{folder.name} is damaged: {what}\n"
    assert "has finished before" not in outcome.out
    assert outcome.out.endswith(f"figure: {folder / 'figure.png'}\n")
    for command in (["robustness"], ["panel"], ["landscape"]):
        line = bench(*command, before["id"], "--results", str(results)).line
        assert line == f"{folder.name}: is damaged: {what}"
    elsewhere = ["dataset.shape=[40,48]", SUBJECTS, "tracker=none"]
    line = run(f"model.trained={before['id']}", *elsewhere, at(results)).line
    assert line == f"{folder.name}: is damaged: {what}"
    assert bench("runs", "rm", "--failed", "--results", str(results)).code == 0
    plan = run("-m", *RUN, at(results), "plan=true")
    assert "1 damaged" in plan.out
    assert run(*RUN, at(results), "force=true").code == 0
    assert row(results, bench)["status"] == "finished"
    assert numbers(read_summary(folder)) == numbers(before)


def test_finished_run_without_its_header_is_named_by_every_command(
    results: Path, run: Command, bench: Command
) -> None:
    command = [*DEMO[:3], "model=identity", "tracker=none", at(results)]
    assert run(*command).code == 0
    folder = only_run(results)
    (folder / "run.json").unlink()
    what = "run.json cannot be read (No such file or directory). Pass force=true to rerun it."
    found = row(results, bench)
    assert (found["status"], found["error"]) == ("damaged", what)
    assert (found["dataset"], found["model"], found["seed"]) == ("demo", "identity", 0)
    told = bench("report", "--results", str(results), "--out", str(results.parent / "report")).out
    assert f"missing: demo identity, seed 0, damaged: run {found['id']}: {what}" in told
    tables = results.parent / "tables"
    line = bench("export", "--results", str(results), "--out", str(tables)).line
    assert line.startswith(f"{results}: nothing to export, but 1 damaged. `python -m bench export`")
    assert run(*command, "force=true").code == 0
    assert row(results, bench)["status"] == "finished"


@pytest.mark.parametrize("name", ["summary.json", "last.pt", "best.safetensors", "progress.json"])
def test_folder_in_the_place_of_a_file_is_named(name: str, results: Path, run: Command) -> None:
    command = [*RUN, at(results)]
    assert run(*command).code == 0
    folder = only_run(results)
    numbers_before = numbers(read_summary(folder))
    (folder / "summary.json").unlink()
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    words = "is a folder where a file belongs. Move it away, then run the same command again."
    assert run(*command).err.splitlines()[-1] == f"{folder / name}: {words}"
    (folder / name).rmdir()
    assert run(*command).code == 0
    assert numbers(read_summary(folder)) == numbers_before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("summary.json", "{"),
        ("summary.json", '{"schema": "new", "status": "finished"}'),
        ("summary.json", '{"status": "finished", "schema": 1, "scores": {"dice": 1}}'),
        ("config.yaml", "dataset: {name"),
        ("history.csv", "step\nx\n"),
        ("run.json", ""),
    ],
)
def test_bad_folder_beside_a_sweep_does_not_stop_its_plan_or_its_end(
    name: str, content: str, results: Path, run: Command
) -> None:
    bad = results / "runs" / "demo-ncc-0.2-seed0-01234567"
    bad.mkdir(parents=True)
    (bad / "run.json").write_text("{}")
    (bad / name).write_text(content)
    sweep = ["-m", "metric=mse", "model=identity", *DEMO[:3], "tracker=none", at(results)]
    plan = run(*sweep, "plan=true")
    assert (plan.code, plan.err) == (0, "")
    assert plan.out.splitlines()[0].startswith("1 run")
    done = run(*sweep)
    assert (done.code, done.err) == (0, "")
    assert "1 finished" in done.out.splitlines()
    assert (bad / name).read_text() == content


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (EOFError("no more\nbytes"), "EOFError: no more bytes"),
        (KeyError("dataset"), "KeyError: 'dataset'"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "odd"), "UnicodeDecodeError: 'utf-8' codec "),
        (RecursionError("too deep"), "RecursionError: too deep"),
    ],
)
def test_whatever_ends_a_command_is_one_line(
    error: Exception,
    line: str,
    results: Path,
    bench: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("bench.cli.run_commands.list_folders", fail)
    found = bench("runs", "--results", str(results)).line
    assert found.startswith(line)
    assert found.endswith("; HYDRA_FULL_ERROR=1 shows the traceback)")


def test_sweep_ends_with_the_run_that_is_damaged_and_does_not_count_it(
    results: Path, run: Command
) -> None:
    sweep = ["-m", "metric=mse,ncc", "seed=0,1", *DEMO, at(results)]
    assert run(*sweep).code == 0
    whole = read_summary(run_folders(results)[0])["scores"]["dice"]
    (bad,) = [path for path in run_folders(results) if path.name.startswith("demo-mse-0.02-seed1")]
    flip(bad / "best.safetensors")
    outcome = run(*sweep)
    assert outcome.code == 0
    assert "3 finished, 1 damaged" in outcome.out.splitlines()
    words = "best.safetensors has changed since it was written. Pass force=true to rerun it."
    assert outcome.err.splitlines()[-1] == f"damaged: metric=mse seed=1: {words}"
    assert "The same command runs only these" not in outcome.err
    rows = [re.split(r"\s*│\s*", line)[2:6] for line in outcome.out.splitlines() if "│" in line]
    # one seed of mse, whose scores are those of the run that is whole; two of ncc
    assert ["mse", "0.02", "1", f"{whole['mean']:.3f} ± {whole['std']:.3f}"] in rows
    assert [row[2] for row in rows if row[0] == "ncc"] == ["2"]
