"""The task synthesis: trained, resumed, swept and reported."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest

from .conftest import (
    DEMO,
    DEMO3D,
    Command,
    at,
    numbers,
    only_run,
    read_rows,
    read_summary,
    run_folders,
    run_process,
    write_volume,
)

TASK = [
    *(option for option in DEMO if not option.startswith("model.")),
    "task=synthesis",
    "task.patch=16",
    "dataset.recommended.short.surrogate_steps=4",
]
CONTRAST = ["dataset.contrast=[t1,t2]", "dataset.moving=t1", "dataset.fixed=t2"]


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(path: Path, *_: object) -> None:
        path.write_bytes(b"no figure")

    monkeypatch.setattr("bench.tasks.synthesis.synthesis.draw_synthesized", draw)


def test_losses_are_swept_chosen_and_reported_apart_from_registrations(
    results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    sweep = [*TASK, "metric=mse,ssim", "task.factor=0.1,1", at(results)]
    plan = run("-m", *sweep, "plan=true")
    assert "3 runs" in plan.out  # the error alone has no c
    first = r"extractors to train first: demo Autoencoder( \w{8})?, demo Segmenter"
    assert re.search(first, plan.out)
    assert run_folders(results) == []

    outcome = run("-m", *sweep)
    assert outcome.code == 0, outcome.err
    assert "3 finished" in outcome.out
    assert "over images; c chosen by val_dice" in outcome.out
    assert "denoise: input" in outcome.out
    registration = [option for option in DEMO if not option.startswith("model.")]
    assert run(*registration, "model=identity", at(results)).code == 0

    by_name = {folder.name: read_summary(folder) for folder in run_folders(results)}
    made = {name: s for name, s in by_name.items() if s["task"] == "synthesis"}
    assert {(s["metric"], s["weight"]) for s in made.values()} == {
        ("mse", None),
        ("ssim", 0.1),
        ("ssim", 1),
    }
    assert len({s["variant"] for s in made.values() if s["metric"] == "ssim"}) == 1
    assert len(list((results / "extractors").glob("demo-*-seed1-*"))) == 2
    for name, summary in made.items():
        folder = results / "runs" / name
        rows = read_rows(folder / "images.csv")
        assert [row["subject"] for row in rows] == ["test000", "test001"]
        assert set(summary["validation"]) >= {"loss", "mse", "psnr", "ssim", "distance", "dice"}
        for score in ("psnr", "ssim", "distance", "dice"):
            for suffix, kept in (("", "scores"), ("_before", "scores_before")):
                mean = sum(float(row[score + suffix]) for row in rows) / 2
                assert summary[kept][score]["mean"] == pytest.approx(mean), score
        with np.load(folder / "shown.npz") as shown:
            assert shown["input"].shape == shown["output"].shape == shown["truth"].shape

    alone = next(name for name, s in made.items() if s["metric"] == "mse")
    before = (results / "runs" / alone / "summary.json").stat().st_mtime_ns
    again = run(*TASK, "metric=mse", "task.factor=7", "regularizer.weight=3", at(results))
    assert "has finished before" in again.out  # neither c nor λ has a part in it
    assert (results / "runs" / alone / "summary.json").stat().st_mtime_ns == before

    rows = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert sorted(row["task"] for row in rows) == ["registration", *["synthesis"] * 3]
    assert [row.get("settings") for row in rows if row["task"] == "synthesis"] == ["denoise"] * 3
    listed = bench("runs", "--results", str(results)).out
    assert "PSNR" in listed
    assert "Distance [deepsim_ae] ↓" in listed
    line = bench("register", next(iter(made)), "--results", str(results), *_files(tmp_path)).line
    assert "is a run of task=synthesis" in line

    report = tmp_path / "report"
    assert bench("report", "--results", str(results), "--out", str(report)).code == 0
    page = (report / "index.html").read_text()
    assert "λ and c were chosen on validation pairs and images, by largest validation Dice" in page
    assert "demo, denoise: against MSE alone ssim (c = " in page
    assert (report / "figures" / "synthesis-demo-denoise.png").stat().st_size > 1000
    table = (report / "tables" / "synthesis.md").read_text()
    assert "| demo, denoise | input | – | – | 2 |" in table
    assert "| demo, denoise | ssim | " in table
    (row,) = (r for r in read_rows(report / "tables" / "synthesis.csv") if r["label"] == "ssim")
    ours, theirs = (
        read_rows(results / "runs" / name / "images.csv") for name in (row["run"], alone)
    )
    gains = [float(a["psnr"]) - float(b["psnr"]) for a, b in zip(ours, theirs, strict=True)]
    assert float(row["psnr_gain"]) == pytest.approx(sum(gains) / 2, abs=1e-9)
    assert min(gains) <= float(row["psnr_gain_low"]) <= float(row["psnr_gain_high"]) <= max(gains)
    assert "ssim" not in (report / "tables" / "results.md").read_text()
    assert "synthesis" not in (report / "tables" / "results.csv").read_text()


def _files(folder: Path) -> list[str]:
    for name in ("a.png", "b.png"):
        (folder / name).touch()
    given = {"--moving": "a.png", "--fixed": "b.png", "--out": "warped"}
    return [word for option, name in given.items() for word in (option, str(folder / name))]


def test_same_seed_gives_same_numbers_and_a_killed_run_too(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = ["metric=custom", "metric.name=counted", "metric._target_=custom_parts.Counted"]
    command = [*TASK, *metric, "trainer.validate_every=2", "trainer.steps=8", at(results)]
    monkeypatch.setenv("TEST_DISTURBANCE", "SIGKILL:9")  # one is tried, and four are of validations
    assert run_process(*command).code == -signal.SIGKILL
    folder = only_run(results)
    assert (folder / "last.pt").exists()
    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert "continuing from step" in outcome.out
    resumed = numbers(read_summary(folder)), (folder / "images.csv").read_text()
    assert run(*command, "force=true").code == 0
    assert (numbers(read_summary(folder)), (folder / "images.csv").read_text()) == resumed
    other = run(*command, "seed=1")
    assert other.code == 0, other.err
    assert len(run_folders(results)) == 2
    assert len(list((results / "extractors").glob("demo-*"))) == 2  # all seeds have the same judges


def test_altered_panel_is_damage_and_is_not_shown(
    results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    assert run(*TASK, "metric=mse", at(results)).code == 0
    file = only_run(results) / "shown.npz"
    file.write_bytes(file.read_bytes()[:-9])
    (row,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert row["status"] == "damaged"
    assert "shown.npz has changed since it was written" in row["error"]


def test_contrast_is_made_from_another_without_labels_too(results: Path, run: Command) -> None:
    options = [*TASK, *CONTRAST, "task.problem=contrast", "metric=mse"]
    outcome = run(*options, at(results))
    assert outcome.code == 0, outcome.err
    assert "mse synthesis on demo, contrast, seed 0, 6 steps" in outcome.out
    assert read_summary(only_run(results))["scores"]["dice"]["n"] == 2


def test_volumes_are_made_and_drawn(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    volumes = [option for option in TASK if option not in DEMO]
    options = [*DEMO3D, *volumes, "metric=mse", "task.problem=upsample", "task.coarsening=2"]
    outcome = run(*(o for o in options if not o.startswith("model.")), at(results))
    assert outcome.code == 0, outcome.err
    folder = only_run(results)
    assert read_summary(folder)["scores"]["psnr"]["n"] == 2
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_without_labels_there_is_no_dice_and_a_line_says_so(
    tmp_path: Path, empty_results: Path, run: Command
) -> None:
    root = tmp_path / "volumes"
    random = np.random.default_rng(0)
    lines = ["image,split"]
    for number, split in enumerate(("train", "val", "test")):
        write_volume(root / f"{number}.nii.gz", random.random((12, 14, 10), np.float32))
        lines.append(f"{number}.nii.gz,{split}")
    (root / "subjects.csv").write_text("\n".join(lines))
    options = [option for option in TASK if not option.startswith("dataset")]
    options += ["dataset=nifti", f"dataset.root={root}", "metric=mse", "trainer.batch_size=1"]
    channels = "dataset.recommended.short.channels={autoencoder:[4,8],segmenter:[4,8]}"
    outcome = run(*options, channels, "metric=mse", at(empty_results))
    assert outcome.code == 0, outcome.err
    assert "denoise on nifti: without labels nothing says whether anatomy survives" in outcome.out
    assert "dice" not in read_summary(only_run(empty_results))["scores"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["task.problem=deblur"],
            "task.problem=deblur: must be one of denoise, upsample, contrast.",
        ),
        (
            ["metric=ncc", "task.factor=-1"],
            "task.factor=-1: c, the factor of the metric in the loss, must be a number from",
        ),
        (
            ["task.problem=contrast"],
            "task.problem=contrast: moving and fixed images of dataset=demo show the same 1",
        ),
        (["metric=dice"], "metric=dice cannot be used with task=synthesis: it looks at labels or"),
        (
            ["metric=custom", "metric.name=sly", "metric._target_=custom_parts.AsksForLabels"],
            "metric=sly cannot be used with task=synthesis: it looks at labels or landmarks,",
        ),
        (
            ["metric@task.judges.distance=dice"],
            "metric@task.judges.distance=dice cannot be used with task=synthesis: it looks at",
        ),
        (["metric@task.judges.distance=nothing"], "Unknown metric 'nothing'. Known: "),
        (
            ["task.judges.segmenter=null"],
            "task.judges.segmenter=null: must be a metric, such as metric@task.judges.segmenter=",
        ),
    ],
)
def test_what_cannot_be_made_is_refused_in_a_line(
    overrides: list[str], words: str, results: Path, run: Command
) -> None:
    assert run(*TASK, "metric=mse", *overrides, at(results)).line.startswith(words)


def test_runs_with_and_without_judges_are_reported_apart(
    results: Path, run: Command, bench: Command
) -> None:
    for judges in ([], ["~task.judges.distance"], ["task.judges=null"]):
        outcome = run(*TASK, "metric=mse", *judges, at(results))
        assert outcome.code == 0, outcome.err
    found = sorted(sorted(read_summary(folder)["scores"]) for folder in run_folders(results))
    assert found == [
        ["dice", "dice_truth", "distance", "psnr", "ssim"],
        ["dice", "dice_truth", "psnr", "ssim"],
        ["psnr", "ssim"],
    ]
    report = bench("report", "--results", str(results))
    assert report.code == 0, report.err


def test_loss_that_is_the_judge_is_said_and_judged_by_the_rest(results: Path, run: Command) -> None:
    outcome = run(*TASK, "metric=deepsim_ae", at(results))
    assert outcome.code == 0, outcome.err
    said = "task.judges.distance looks at what the loss looks at, and is left out. Choose another"
    assert said in outcome.out
    scores = read_summary(only_run(results))["scores"]
    assert "distance" not in scores
    assert {"psnr", "ssim", "dice"} <= set(scores)
