"""The task perception: run, resumed, swept and reported."""

import json
import signal
from pathlib import Path

import pytest

from bench.scores.registry import DISTORTIONS

from .conftest import DEMO, Command, at, only_run, read_rows, read_summary, run_folders, run_process

TASK = [
    *(option for option in DEMO if not option.startswith("model.")),
    "task=perception",
    "task.levels=[34,28]",
    "task.distortions=[noise,gamma]",
    "task.deformations=[1,2]",
]
PER_IMAGE = 2 * 2 + 3 * 2 + (5 + 1) + 21  # graded, geometry, jnd, path


@pytest.fixture(autouse=True)
def _no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(path: Path, *_: object) -> None:
        path.write_bytes(b"no figure")

    monkeypatch.setattr("bench.tasks.perception.perception.draw_perceived", draw)


def test_metric_is_judged_recorded_and_reported(
    results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    outcome = run("-m", *TASK, "metric=ncc,mse,dice", "seed=0,1", at(results))
    assert outcome.code == 0, outcome.err
    assert "4 finished, 2 skipped" in outcome.out
    assert "images" in outcome.out
    assert "2AFC" in outcome.out
    assert "λ chosen" not in outcome.out
    reason = "metric=dice cannot be used with task=perception: it looks at labels or landmarks"
    assert reason in outcome.out + outcome.err

    folder = next(f for f in run_folders(results) if f.name.startswith("demo-mse-perception-seed0"))
    summary = read_summary(folder)
    assert (summary["task"], summary["metric"], summary["weight"]) == ("perception", "mse", None)
    assert summary["tables"] == ["images.csv", "distances.csv"]
    images, distances = read_rows(folder / "images.csv"), read_rows(folder / "distances.csv")
    assert [row["subject"] for row in images] == ["test000", "test001"]
    assert len(distances) == 2 * PER_IMAGE
    for name, score in summary["scores"].items():
        known = [float(row[name]) for row in images if row[name] != "nan"]
        assert score["mean"] == pytest.approx(sum(known) / len(known)), name
    assert summary["scores"]["geometry"] == {"mean": 0.5, "std": 0, "n": 2}
    graded = [row for row in distances if row["test"] == "graded"]
    for row in graded:  # D of MSE is the error, of intensities that range over the image's
        assert float(row["psnr"]) == pytest.approx([34, 28][int(float(row["order"])) - 1], abs=0.1)

    (before,) = {path.stat().st_mtime_ns for path in [folder / "summary.json"]}
    outcome = run(*TASK, "metric=mse", "model=direct", "regularizer.weight=3", at(results))
    assert "has finished before" in outcome.out  # model and λ have no part in it
    assert (folder / "summary.json").stat().st_mtime_ns == before

    rows = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert {row["status"] for row in rows} == {"finished", "skipped"}
    listed = bench("runs", "--results", str(results)).out
    assert "geometry" in listed
    assert "2afc_noise" not in listed

    report = tmp_path / "report"
    assert bench("report", "--results", str(results), "--out", str(report)).code == 0
    page = (report / "index.html").read_text()
    assert "demo: of two deformed images of one MSE the less deformed is nearer by ncc" in page
    assert "leave open which is nearer by mse (0.500, 0.500 to 0.500)" in page
    assert (report / "figures" / "perception-demo.png").stat().st_size > 1000
    table = (report / "tables" / "perception.md").read_text()
    assert "| demo | mse | 2 | 2 |" in table  # seeds and images
    assert "geometry under gamma" in table


def test_killed_run_goes_on_with_the_images_that_are_left(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = ["metric=custom", "metric.name=counted", "metric._target_=custom_parts.Counted"]
    command = [*TASK, *metric, at(results)]
    monkeypatch.setenv("TEST_DISTURBANCE", f"SIGKILL:{1 + PER_IMAGE + 5}")
    assert run_process(*command).code == -signal.SIGKILL
    folder = only_run(results)
    assert "test000" in (folder / "progress.json").read_text()
    monkeypatch.delenv("TEST_DISTURBANCE")
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert "counted on demo: continuing after 1 of 2 images" in outcome.out
    resumed = (folder / "distances.csv").read_text()
    assert run(*command, "force=true").code == 0
    assert (folder / "distances.csv").read_text() == resumed


def test_extractor_is_trained_once_or_random(results: Path, run: Command) -> None:
    for steps in (0, 4):
        command = [*TASK, "metric=deepsim_ae", f"metric.extractor.steps={steps}"]
        outcome = run(*command, "task.images=1", at(results))
        assert outcome.code == 0, outcome.err
    assert len(list((results / "extractors").glob("demo-*"))) == 1
    (trained, drawn) = sorted(
        (read_summary(folder) for folder in run_folders(results)),
        key=lambda summary: -summary["extractors"][0]["steps"],
    )
    assert drawn["extractors"] == [{"task": "autoencoder", "steps": 0}]
    assert trained["scores"]["geometry"]["n"] == drawn["scores"]["geometry"]["n"] == 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["metric=dice"], "metric=dice cannot be used with task=perception: it looks at labels or"),
        (["metric=keypoints"], "metric=keypoints cannot be used with task=perception: it looks at"),
        (
            ["metric=custom", "metric.name=sly", "metric._target_=custom_parts.AsksForLabels"],
            "metric=sly cannot be used with task=perception: it looks at labels or landmarks,",
        ),
        (["task.levels=[20,30]"], "task.levels=[20, 30]: must be at least two PSNR in dB that"),
        (
            ["task.distortions=[fog]"],
            f"task.distortions=['fog']: must be a list of some of {', '.join(DISTORTIONS)}.",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_line(
    overrides: list[str], words: str, results: Path, run: Command
) -> None:
    assert run(*TASK, *overrides, at(results)).line.startswith(words)


def test_volumes_are_distorted_and_drawn(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    volumes = [option for option in TASK if option not in DEMO]
    from .conftest import DEMO3D

    outcome = run(*DEMO3D, *volumes, "metric=ssim", "task.images=1", at(results))
    assert outcome.code == 0, outcome.err
    folder = only_run(results)
    assert read_summary(folder)["scores"]["2afc"]["n"] == 1
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")
