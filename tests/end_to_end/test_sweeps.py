"""Sweeps by the command: planned, refused, divided, gone on with, and summed up."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from .conftest import (
    DEMO,
    DEMO3D,
    ROOT,
    Command,
    Outcome,
    assert_nothing_written,
    at,
    read_summary,
    run_folders,
    with_cache,
    write_summary,
)

SWEEP = ["metric=mse", "regularizer.scale=1,2,4", *DEMO]
NAMED = ["metric=mse", "metric.name=named", "metric._target_=custom_parts.Named"]
NAMES = "+metric.label=first,second,third"
BORDER = "at the border of the weights tried"
RESUMES = "The same command runs only these."
SMALL_EXTRACTOR = ["metric.levels=[1,2]", "dataset.recommended.short.surrogate_steps=6"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> Path:
    """The results of SWEEP, which the first test that needs them runs."""
    return with_cache(tmp_path_factory.mktemp("finished") / "results", demo_cache)


@pytest.fixture
def swept(finished: Path, tmp_path: Path, run: Command) -> Path:
    """A copy of the results of SWEEP."""
    if not run_folders(finished):
        outcome = run("-m", *SWEEP, at(finished))
        assert (outcome.code, outcome.err) == (0, "")
    return shutil.copytree(finished, tmp_path / "swept", symlinks=True)


def rows(out: str) -> list[list[str]]:
    """The lines of tables, without their headings."""
    lines = [line for line in out.splitlines() if line.startswith("│")]
    return [[part.strip() for part in line.split("│")[1:-1]] for line in lines]


def plan(outcome: Outcome) -> list[list[str]]:
    """Status, data set, metric, model, weight and seed of each run of a plan."""
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    return [row[:6] for row in rows(outcome.out)]


def named(results: Path, part: str) -> Path:
    """The folder of the only run with this in its name."""
    (folder,) = [path for path in run_folders(results) if part in path.name]
    return folder


def written(results: Path) -> dict[Path, int]:
    """When each summary was written."""
    return {path: path.stat().st_mtime_ns for path in results.glob("runs/*/summary.json")}


def test_plan_prints_every_run_and_does_none(empty_results: Path, run: Command) -> None:
    sweep = ["metric=mse,ncc", "regularizer.scale=1,2", "seed=0,1"]
    outcome = run("-m", *sweep, *DEMO, at(empty_results), "plan=true")
    assert plan(outcome) == [
        ["missing", "demo", metric, "pyramid", weight, seed]
        for metric, weights in (("mse", ["0.02", "0.04"]), ("ncc", ["0.2", "0.4"]))
        for weight in weights
        for seed in "01"
    ]
    assert "8 missing" in outcome.out.splitlines()
    assert_nothing_written(empty_results)


def test_plan_says_once_what_all_runs_of_a_metric_have(empty_results: Path, run: Command) -> None:
    sweep = [
        "metric=mse,deepsim_ae,deepsim_csr",
        "metric.extractor.steps=5",
        "trainer.lr=1e-3,1e-4",
    ]
    planned = run("-m", *sweep, *DEMO, at(empty_results), "plan=true")
    assert {row[6] for row in rows(planned.out)} == {"trainer.lr=0.001", "trainer.lr=0.0001"}
    (said,) = [line for line in planned.out.splitlines() if line.startswith("all runs of")]
    assert said == "all runs of deepsim_ae, deepsim_csr: metric.extractor.steps=5"


def test_plan_of_a_single_run(empty_results: Path, run: Command) -> None:
    outcome = run("metric=deepsim_ae", "seed=3", *DEMO, at(empty_results), "plan=true")
    assert plan(outcome) == [["missing", "demo", "deepsim_ae", "pyramid", "0.03", "3"]]
    assert "extractors to train first: demo Autoencoder" in outcome.out
    assert "no such run on these data has finished" in outcome.out
    assert_nothing_written(empty_results)


def test_plan_tells_what_is_done_and_what_the_rest_takes(swept: Path, run: Command) -> None:
    before = written(swept)
    sweep = ["metric=mse,deepsim_ae", "metric.mask=null,foreground", *DEMO, at(swept)]
    outcome = run("-m", *sweep, "plan=true")
    found = rows(outcome.out)
    assert [(row[0], row[2], row[6]) for row in found] == [
        ("finished", "mse", "metric.mask=null"),
        ("missing", "mse", "metric.mask=foreground"),
        ("missing", "deepsim_ae", "metric.mask=null"),
        ("missing", "deepsim_ae", "metric.mask=foreground"),
    ]
    assert [bool(re.fullmatch(r"\d+ s", row[7])) for row in found] == [False, True, True, True]
    assert "1 finished, 3 missing" in outcome.out.splitlines()
    assert re.search(r"^extractors to train first: demo Autoencoder \w{8}$", outcome.out, re.M)
    assert re.search(r"^time: about \d+ s on one device", outcome.out, re.M)
    most = max(read_summary(folder)["training_memory"] for folder in run_folders(swept))
    assert most > 50e6
    assert f"memory: up to {most / 1e9:.1f} GB, judging by earlier runs" in outcome.out.splitlines()
    assert re.search(r"^disk: about \d+ MB", outcome.out, re.M)
    assert written(swept) == before


def test_plan_without_the_data_says_how_to_get_them(
    tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where datasets/ is not
    outcome = run("-m", "+experiment=midl2021", "plan=true")
    found = plan(outcome)
    assert len(found) == len({tuple(row) for row in found}) == 90
    for dataset in ("brain", "platelet_em", "phc_u373"):
        (line,) = [
            line for line in outcome.out.splitlines() if line.startswith(f"dataset {dataset}")
        ]
        assert f"`python -m bench data prepare {dataset}`" in line
    assert {tuple(row[1:3]) for row in found if row[0] == "skipped"} == {("brain", "vgg")}
    assert "85 missing, 5 skipped" in outcome.out.splitlines()
    assert_nothing_written(tmp_path / "results")


def test_combination_that_cannot_work_is_planned_and_ends_as_skipped(
    results: Path, run: Command
) -> None:
    reason = "VGG-16 is a 2D network, but the data set has 3D images"
    planned = rows(run("-m", "metric=vgg,mse", *DEMO3D, at(results), "plan=true").out)
    assert [(row[0], row[2], row[-1] == reason) for row in planned] == [
        ("skipped", "vgg", True),
        ("missing", "mse", False),
    ]
    outcome = run("-m", "metric=vgg", "seed=0,1", *DEMO3D, at(results))
    assert outcome.code == 0
    assert "2 skipped" in outcome.out.splitlines()
    assert outcome.err.count(reason) == 2
    assert RESUMES not in outcome.err


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["metric=mse,msee,ncc"], "Unknown metric 'msee'. Known: "),
        (["dataset=demo,dmeo,demo3d"], "Unknown dataset 'dmeo'. Known: "),
        (
            ["+experiment=midl2020"],
            "Unknown experiment 'midl2020'. Known: answer, answer_networks, ",
        ),
        (["trainer.steps=6,0,7"], "trainer.steps=0: must be a whole number of at least 1."),
        (["trainer.precision=auto,half,float32"], "must be one of auto, float32, bfloat16."),
        (
            ["regularizer.scale=1,-1,2"],
            "regularizer.scale=-1: must be a number from 0 to ",
        ),
        (["seed=0,one,1"], "seed=one: must be a whole number of at least 0."),
        (["trainer.stepz=6,7"], "Unknown trainer.stepz. Known in trainer: accelerator, "),
        (["seed=0,1", "trainer.stepz=6"], "Unknown trainer.stepz. Known in trainer: accelerator, "),
        (
            ["metric=deepsim_ae", "metric.extractor.steps=5,-1"],
            "metric.extractor.steps=-1: must be",
        ),
        (["seed=0,1", "on_failure=halt"], "on_failure=halt: must be continue or stop."),
        (
            ["seed=0,1", "select=dice"],
            "select=dice: must be one of val_dice, val_loss, val_dice_bounded.",
        ),
    ],
)
def test_sweep_with_one_bad_run_is_refused_before_the_first(
    overrides: list[str], words: str, empty_results: Path, run: Command
) -> None:
    assert words in run("-m", *DEMO, at(empty_results), *overrides).line
    assert_nothing_written(empty_results)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("on_failure=halt", "on_failure=halt: must be continue or stop."),
        ("refine=-1", "refine=-1: must be a whole number of at least 0."),
        ("select=dice", "select=dice: must be one of val_dice, val_loss, val_dice_bounded."),
    ],
)
def test_single_run_refuses_bad_options_of_sweeps_too(
    override: str, words: str, empty_results: Path, run: Command
) -> None:
    assert run("metric=mse", *DEMO, at(empty_results), override).line == words
    assert_nothing_written(empty_results)


def test_sweep_goes_on_after_a_failure_and_the_same_command_runs_what_is_missing(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ["-m", *NAMED, NAMES, *DEMO, at(results)]
    monkeypatch.setenv("TEST_BROKEN", "second")
    outcome = run(*sweep)
    assert outcome.code == 1
    assert "2 finished, 1 failed" in outcome.out.splitlines()
    last = outcome.err.splitlines()[-3:]
    assert "failed: +metric.label=second: the metric second broke" in last
    assert RESUMES in last
    assert "first" not in outcome.err
    assert "third" not in outcome.err
    before = written(results)
    assert len(before) == 2

    planned = rows(run(*sweep, "plan=true").out)
    assert [row[0] for row in planned] == ["finished", "failed", "finished"]
    assert planned[1][-1] == "the metric second broke"

    monkeypatch.delenv("TEST_BROKEN")
    again = run(*sweep)
    assert again.code == 0, again.err
    assert again.err == ""
    assert again.out.count("has finished before") == 2
    assert "3 finished" in again.out.splitlines()
    after = written(results)
    assert len(after) == 3
    assert before.items() <= after.items()


def test_sweep_may_stop_at_the_first_failure(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = ["-m", *NAMED, NAMES, *DEMO, at(results), "on_failure=stop"]
    monkeypatch.setenv("TEST_BROKEN", "second third")
    outcome = run(*sweep)
    assert outcome.code == 1
    assert "1 finished, 1 failed, 1 missing" in outcome.out.splitlines()
    lines = outcome.err.splitlines()
    assert "failed: +metric.label=second: the metric second broke" in lines
    assert "missing: +metric.label=third" in lines
    assert "the metric third broke" not in outcome.err
    assert len(run_folders(results)) == 2


def final_table(outcome: Outcome) -> str:
    """What a sweep printed from its last table on."""
    return outcome.out[outcome.out.index("test scores, mean ± standard deviation") :]


def edit(folder: Path, test: float, **validation: float) -> None:
    summary = read_summary(folder)
    summary["validation"] |= validation
    summary["scores"]["dice"]["mean"] = test
    write_summary(folder, **summary)


@pytest.mark.parametrize(
    ("criterion", "weight", "dice", "note"),
    [
        ([], "0.04", "0.420", ""),
        (["select=val_loss"], "0.08", "0.430", BORDER),
        (["select=val_dice_bounded"], "0.08", "0.430", BORDER),
    ],
)
def test_table_shows_the_weight_that_validation_chose_and_not_the_best_in_the_test(
    criterion: list[str], weight: str, dice: str, note: str, swept: Path, run: Command
) -> None:
    edit(named(swept, "mse-0.02-"), 0.91, dice=0.5, similarity=0.4, folding=0.0)
    edit(named(swept, "mse-0.04-"), 0.42, dice=0.9, similarity=0.3, folding=0.2)
    edit(named(swept, "mse-0.08-"), 0.43, dice=0.6, similarity=0.1, folding=0.0)
    outcome = run("-m", *SWEEP, at(swept), *criterion)
    assert outcome.code == 0, outcome.err
    assert outcome.out.count("has finished before") == 3
    title, *table = final_table(outcome).splitlines()
    assert title.rstrip().endswith("".join(criterion).removeprefix("select=") or "val_dice")
    (head,) = [line.split("┃")[1:-1] for line in table if line.startswith("┃")]
    assert [cell.strip() for cell in head[8:]] == ["SD log J ↓", *["note"] * bool(note)]
    unregistered, chosen = rows("\n".join(table))
    assert len(head) == len(unregistered) == len(chosen)
    assert unregistered[:2] == ["demo", "unregistered"]
    assert chosen[:4] == ["demo", "mse", weight, "1"]
    assert chosen[4].startswith(dice)
    assert chosen[9:] == [note] * bool(note)


@pytest.mark.parametrize(
    ("best", "further", "rest"),
    [("0.08", "0.16", ["mse", "0.08", "1"]), ("0.02", "0.01", ["mse", "0.02", "1"])],
)
def test_refining_adds_a_weight_beyond_the_border_until_the_best_is_inside(
    best: str, further: str, rest: list[str], swept: Path, tmp_path: Path, run: Command
) -> None:
    edit(named(swept, f"mse-{best}-"), 0.5, dice=0.9, similarity=0.1, folding=0.0)
    before = written(swept)
    grid = tmp_path / "conf" / "experiment" / "grid.yaml"
    grid.parent.mkdir(parents=True)
    params = {"metric": "mse", "regularizer.scale": "1,2,4"}
    content = {"hydra": {"mode": "MULTIRUN", "sweeper": {"params": params}}}
    grid.write_text("# @package _global_\n" + json.dumps(content))
    folder = f"--config-dir={grid.parents[1]}"
    outcome = run(folder, "+experiment=grid", *DEMO, at(swept), "refine=3")
    assert (outcome.code, outcome.err) == (0, "")
    assert set(written(swept)) - set(before) == {named(swept, f"mse-{further}-") / "summary.json"}
    assert len(run_folders(swept)) == 4
    headings, chosen = rows(final_table(outcome))
    assert chosen[1:4] == rest
    assert "note" not in headings
    assert "4 finished" in outcome.out.splitlines()


def test_refining_ends_with_its_rounds(swept: Path, run: Command) -> None:
    edit(named(swept, "mse-0.08-"), 0.5, dice=0.449, similarity=0.1, folding=0.0)
    for name in ("mse-0.02-", "mse-0.04-"):
        edit(named(swept, name), 0.5, dice=0.1, similarity=0.1, folding=0.0)
    sweep = ["-m", *SWEEP, at(swept)]
    assert BORDER in run(*sweep).out
    assert len(run_folders(swept)) == 3
    assert run(*sweep, "refine=1").code == 0
    assert len(run_folders(swept)) == 4
    assert run(*sweep, "refine=0").code == 0
    assert len(run_folders(swept)) == 4


def test_table_has_a_row_for_each_variant(swept: Path, run: Command) -> None:
    masks = ["metric=mse", "metric.mask=null,foreground", *DEMO, at(swept)]
    _, *chosen = rows(final_table(run("-m", *masks)))
    assert [row[:4] for row in chosen] == [
        ["demo", "mse metric.mask=null", "0.02", "1"],
        ["demo", "mse metric.mask=foreground", "0.02", "1"],
    ]


def test_run_that_another_process_holds_is_left_to_it(swept: Path, run: Command) -> None:
    sweep = ["-m", *SWEEP, at(swept)]
    held, lost = named(swept, "mse-0.02-"), named(swept, "mse-0.08-")
    (held / "summary.json").unlink()
    shutil.rmtree(lost)
    before = written(swept)
    with FileLock(swept / "runs" / ".locks" / f"{held.name}.lock"):
        planned = rows(run(*sweep, "plan=true").out)
        assert [row[0] for row in planned] == ["running", "finished", "missing"]
        outcome = run(*sweep)
    assert outcome.code == 0
    assert f"left to another process: Another process is running {held.name}" in outcome.err
    assert outcome.err.splitlines()[-2:] == ["running: regularizer.scale=1", RESUMES]
    assert "1 running, 2 finished" in outcome.out.splitlines()
    assert set(written(swept)) == {*before, lost / "summary.json"}

    again = run(*sweep)
    assert (again.code, again.err) == (0, "")
    assert again.out.count("has finished before") == 2
    assert "3 finished" in again.out.splitlines()
    assert before.items() <= written(swept).items()


def test_two_processes_divide_a_sweep(tmp_path: Path, demo_cache: Path) -> None:
    results, log = with_cache(tmp_path / "divided", demo_cache), tmp_path / "log"
    log.touch()
    command = [
        *("-m", "metric=deepsim_ae", "regularizer.scale=1,2,4,8", *SMALL_EXTRACTOR, *DEMO),
        "regularizer._target_=custom_parts.Logged",
        at(results),
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "run.py"), *command],
            cwd=ROOT,
            env={**os.environ, "TEST_LOG": str(log)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], printed
    assert {summary["weight"] for summary in map(read_summary, run_folders(results))} == {
        0.03,
        0.06,
        0.12,
        0.24,
    }
    trained = log.read_text().split()
    assert len(trained) == 4
    assert set(trained) == {str(process.pid) for process in processes}
    assert "".join(out for out, _ in printed).count("autoencoder on demo: best at step") == 1
    assert len([path for path in results.glob("extractors/*") if path.name[0] != "."]) == 1
    assert any("4 finished" in out.splitlines() for out, _ in printed)
    assert any("is running demo-deepsim_ae" in err for _, err in printed)
