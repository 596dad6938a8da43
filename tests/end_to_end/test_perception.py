"""The task perception: run, resumed, swept and reported."""

import json
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from image_files import write_tiff

from bench.analysis.numbers.perception import perceived, perception_rows
from bench.analysis.reading.results import read_results
from bench.scores.of_images import DISTORTIONS

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

    monkeypatch.setattr("bench.tasks.perception.job.draw_perceived", draw)


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
    assert "Geometry ↑" in listed
    assert "2afc_noise" not in listed

    report = tmp_path / "report"
    assert bench("report", "--results", str(results), "--out", str(report)).code == 0
    page = (report / "index.html").read_text()
    assert "demo, 2 test images: share of pairs in which the less deformed of two images" in page
    assert "mse (0.500). So few images cannot show a difference from chance, 0.5." in page
    assert (report / "figures" / "perception-demo.png").stat().st_size > 1000
    table = (report / "tables" / "perception.md").read_text()
    assert "| demo | mse | 2 | 2 |" in table  # seeds and images
    assert "geometry under gamma" in table

    tables, page = tmp_path / "tables", tmp_path / "perception.md"
    exported = bench("export", "--results", str(results), "--out", str(tables))
    assert exported.code == 0, exported.err
    assert "4 finished runs, 2 skipped" in exported.out
    kept, known = (perception_rows(perceived(read_results(folder))) for folder in (tables, results))
    known = known[[name for name in known if name in kept]]  # others are of one distortion
    pd.testing.assert_frame_equal(kept, known, check_dtype=False, atol=1e-5)
    written = bench("perception", "--results", str(tables), "--out", str(page))
    assert "4 finished runs of perception" in written.out
    assert written.out.count("skipped: demo dice: metric=dice cannot be used") == 1
    text = page.read_text()
    assert "the less deformed of two images with the same MSE is nearer: ncc" in text
    assert "images/perception-demo.png" in text
    assert (tmp_path / "images" / "perception-demo.png").stat().st_size > 1000
    (tables / "images.csv").unlink()
    assert (
        "images.csv: is missing"
        in bench("perception", "--results", str(tables), "--out", str(page)).line
    )


def test_first_run_names_a_sweep_of_the_same_task(results: Path, run: Command) -> None:
    outcome = run(*TASK, "metric=mse", "task.images=1", at(results))
    assert outcome.code == 0, outcome.err
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("next: python run.py")]
    assert " task=perception " in line
    assert " task.images=1 " in line
    assert " metric=mse,ncc,mind seed=0,1 " in line


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


def test_judgements_of_people_are_judged_by_the_same_command(
    results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    reference = random.integers(60, 200, (32, 40))
    for name, amount in (("r", 0), ("near", 5), ("far", 40)):
        image = reference + amount * random.standard_normal((32, 40))
        write_tiff(tmp_path / f"{name}.tif", image.clip(0, 255).astype(np.uint8))
    table = tmp_path / "judged.csv"
    head = "reference,a,b,preferring_b\n"
    table.write_text(head + "r.tif,near.tif,far.tif,0.1\nr.tif,far.tif,near.tif,0.6\n")
    command = [*TASK, "metric=mse", "task.images=1", at(results), f"task.judgements={table}"]
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    (folder,) = run_folders(results)
    (warning,) = read_summary(folder)["warnings"]
    assert "judged.csv: line 2: normalized intensities of r.tif run from 60 to 199" in warning
    assert warning in outcome.out.replace("\n", " ")
    rows = read_rows(folder / "judgements.csv")
    assert [float(row["agreement"]) for row in rows] == [0.9, 0.6]
    assert float(rows[0]["distance_a"]) < float(rows[0]["distance_b"])
    judged = next(r for r in read_rows(folder / "images.csv") if r["subject"] == "judged/r.tif")
    assert float(judged["judged"]) == 0.75
    assert read_summary(folder)["scores"]["judged"]["mean"] == 0.75
    assert "has finished before" in run(*command).out
    table.write_text(head + "r.tif,near.tif,far.tif,0.1\n")
    assert "has finished before" not in run(*command).out  # its content counts
    assert len(run_folders(results)) == 2
    tables = tmp_path / "tables"
    assert bench("export", "--results", str(results), "--out", str(tables)).code == 0
    # runs of the changed table are not compared with others
    for place, file in ((results, "judged.csv"), (tables, "table")):
        first, second = perceived(read_results(place))
        assert first.reading["task.judgements"] != second.reading["task.judgements"]
        assert f"(task judgements {file} " in first.name
    table.write_text(head + "r.tif,near.tif,far.tif,10\n")
    assert "line 2 has 10 for preferring_b: must be the share of people" in run(*command).line
    table.write_text(head + "r.tif,near.tif,gone.tif,1\n")
    assert "gone.tif: no such file. Paths are relative to the table." in run(*command).line
    missing = "task.persons=persons.csv"
    assert "persons.csv: no such file." in run(*TASK, "metric=mse", missing, at(results)).line


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
        (["task.levels=[20,30]"], "task.levels=[20,30]: must be at least two PSNR in dB that"),
        (
            ["task.distortions=[fog]"],
            "task.distortions=[fog]: fog is none; must be a list of some of "
            f"{', '.join(DISTORTIONS)}.",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused_in_a_line(
    overrides: list[str], words: str, results: Path, run: Command
) -> None:
    assert run(*TASK, *overrides, at(results)).line.startswith(words)


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("UndefinedForNoise", "is nan {}; it must return a finite number."),
        ("PerVoxelLater", "returns a tensor of shape (1, 1, 32, 40) {}; it must return a scalar"),
        ("InPlaceLater", "changes pair.fixed in place {}, and whatever reads it next is wrong."),
        ("FailsLater", "fails {}: IndexError: no such window ("),
        ("NotANumber", "is nan on test000 beside itself, where both images are the same; it must"),
    ],
)
def test_metric_that_fails_for_an_image_is_named_with_image_and_test(
    metric: str, words: str, results: Path, run: Command
) -> None:
    named = ["metric=custom", "metric.name=odd", f"metric._target_=custom_parts.{metric}"]
    line = run(*TASK, *named, at(results)).line
    where = "on test000 in the test graded (noise, level 1)"
    assert line.startswith(f"metric=odd {words.format(where)}")


def test_metric_that_ignores_the_deformation_is_told(
    results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    named = ["metric=custom", "metric.name=odd", "metric._target_=custom_parts.Unmoved"]
    outcome = run(*TASK, *named, "task.images=1", at(results))
    assert outcome.code == 0, outcome.err
    (warning,) = read_summary(only_run(results))["warnings"]
    assert warning.startswith("D is the same all along the true path, in all images")
    assert f"warning: {warning}" in outcome.out
    assert "warning" not in run(*TASK, "metric=mse", "task.images=1", at(results)).out
    tables, page = tmp_path / "tables", tmp_path / "page.md"
    assert bench("export", "--results", str(results), "--out", str(tables)).code == 0
    for place in (results, tables):
        written = bench("perception", "--results", str(place), "--out", str(page))
        assert f"note: demo odd: {warning}" in written.out
        assert "demo: odd is left out of these sentences, of bold marks" in page.read_text()


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
