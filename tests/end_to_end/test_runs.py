"""Whole runs: every metric on the demo, in 2D and in 3D, and what they leave on disk."""

import json
import math
from pathlib import Path

import pytest
import yaml

from .conftest import (
    DEMO,
    DEMO3D,
    ROOT,
    TRAINING,
    Command,
    at,
    only_run,
    read_rows,
    read_summary,
    run_folders,
)

METRICS = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted(ROOT.glob("conf/metric/*.yaml"))
    if path.stem != "custom"
}
SMALL_EXTRACTORS = ["dataset.recommended.short.surrogate_steps=6"]
WITHOUT_DOWNLOAD = [
    name for name, metric in METRICS.items() if "state_dict" not in metric.get("extractor", {})
]
FILES = {
    "run.json",
    "config.yaml",
    "environment.json",
    "data.json",
    "history.csv",
    "pairs.csv",
    "classes.csv",
    "landmarks.csv",
    "figure.png",
    "best.safetensors",
    "summary.json",
}
SCORES = [
    *("dice", "dice_published", "hd95", "hd95_left_out", "folding"),
    *("sdlogj", "sdlogj_positive", "ndv", "logj_var_published"),
    *("similarity", "seconds", "tre", "tre_median", "rtre", "nearer"),
]
TEST_PAIRS = 2


def overrides(metric: str) -> list[str]:
    levels = {"sum": ["metric.terms.deepsim_ae.levels=[1,2]"]}
    if "extractor" in METRICS[metric]:
        levels[metric] = ["metric.levels=[1,2]"]
    return [f"metric={metric}", *SMALL_EXTRACTORS, *levels.get(metric, [])]


def assert_recorded(folder: Path, dataset: str, metric: str) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    summary = read_summary(folder)
    assert summary["status"] == "finished"
    assert summary["id"] == folder.name.rsplit("-", 1)[1]
    expected = {
        "dataset": dataset,
        "metric": metric,
        "model": "pyramid",
        "regularizer": "diffusion",
        "seed": 0,
        "steps": 6,
    }
    assert {key: summary[key] for key in expected} == expected
    tuned = yaml.safe_load((ROOT / "conf/tuned_weights.yaml").read_text())
    assert summary["weight"] == tuned[dataset].get(metric, 1)
    for scores in (summary["scores"], summary["scores_before"]):
        assert sorted(scores) == sorted(SCORES)
        for name, score in scores.items():
            assert set(score) == {"mean", "std", "n", *(("p70",) if name == "tre" else ())}, name
            assert score["n"] == TEST_PAIRS, name
            assert math.isfinite(score["mean"]), name
            assert score["std"] >= 0, name
    assert 0 < summary["scores_before"]["dice"]["mean"] < 1
    assert summary["scores_before"]["folding"]["mean"] == 0
    assert summary["scores_before"]["sdlogj"]["mean"] == 0

    pairs = read_rows(folder / "pairs.csv")
    assert [(row["moving"], row["fixed"]) for row in pairs] == [
        ("test000", "test001"),
        ("test001", "test000"),
    ]
    for name in SCORES:
        values = [float(row[name]) for row in pairs]
        assert sum(values) / len(values) == pytest.approx(summary["scores"][name]["mean"])
    classes = read_rows(folder / "classes.csv")
    assert [row["class"] for row in classes] == ["CSF", "grey matter", "white matter"] * TEST_PAIRS
    by_pair = [float(row["dice"]) for row in classes[:3]]
    assert sum(by_pair) / 3 == pytest.approx(float(pairs[0]["dice"]))

    landmarks = read_rows(folder / "landmarks.csv")
    first = [row for row in landmarks if row["moving"] == "test000" and row["outside"] == "0"]
    mean = sum(float(row["tre"]) for row in first) / len(first)
    assert mean == pytest.approx(float(pairs[0]["tre"]))

    history = read_rows(folder / "history.csv")
    assert [int(row["step"]) for row in history] == [5, 6]
    for row in history:
        total = float(row["train_similarity"]) + summary["weight"] * float(
            row["train_regularization"]
        )
        assert float(row["train_loss"]) == pytest.approx(total, rel=1e-4)
    best = min(history, key=lambda row: float(row["val_loss"]))
    assert int(best["step"]) == summary["best_step"]

    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["metric"]["name"] == metric
    assert config["regularizer"]["weight"] == summary["weight"]
    assert json.loads((folder / "environment.json").read_text())["packages"]["torch"]
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("dataset", ["demo", "demo3d"])
@pytest.mark.parametrize("metric", WITHOUT_DOWNLOAD)
def test_metric_runs_and_is_recorded(
    metric: str, dataset: str, results: Path, run: Command
) -> None:
    tiny = {"demo": DEMO, "demo3d": DEMO3D}[dataset]
    outcome = run(*overrides(metric), *tiny, at(results))
    assert outcome.code == 0, outcome.err
    assert "λ = " in outcome.out
    assert str(only_run(results) / "figure.png") in outcome.out
    assert_recorded(only_run(results), dataset, metric)


@pytest.fixture(scope="session")
def vgg_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict with the keys and shapes of the official one's convolutions."""
    import torch

    random = torch.Generator().manual_seed(0)
    widths = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    places = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
    state = {}
    for place, inputs, outputs in zip(places, [3, *widths], widths, strict=False):
        scale = (2 / (9 * inputs)) ** 0.5
        state[f"features.{place}.weight"] = scale * torch.randn(
            outputs, inputs, 3, 3, generator=random
        )
        state[f"features.{place}.bias"] = torch.zeros(outputs)
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_vgg_runs_in_2d_with_weights_from_a_file(
    vgg_weights: Path, results: Path, run: Command
) -> None:
    outcome = run("metric=vgg", f"metric.extractor.state_dict={vgg_weights}", *DEMO, at(results))
    assert outcome.code == 0, outcome.err
    assert_recorded(only_run(results), "demo", "vgg")
    assert not (results / "extractors").exists()


def test_vgg_in_3d_is_refused_in_one_line_before_anything_is_trained(
    results: Path, run: Command
) -> None:
    outcome = run("metric=vgg", *DEMO3D, at(results))
    assert outcome.line == (
        "metric=vgg cannot be used on dataset=demo3d: VGG-16 is a 2D network, but the data set has "
        "3D images. Choose another metric or data set."
    )
    assert run_folders(results) == []
    assert not (results / "extractors").exists()
    assert not (results / "weights").exists()


def extractors(results: Path) -> list[Path]:
    return [path for path in results.glob("extractors/*") if path.name[0] != "."]


def test_extractor_of_another_data_set_is_trained_there_and_shared(
    cells: Path, results: Path, run: Command
) -> None:
    command = ["metric=deepsim_ae", "metric.levels=[1,2]", "metric.extractor.steps=6"]
    command += ["metric.extractor.channels=[4,8]"]
    transfer = ["metric.extractor.dataset=phc_u373", f"metric.extractor.root={cells}"]
    outcome = run(*command, *transfer, *DEMO, at(results))
    assert outcome.code == 0, outcome.err
    assert "autoencoder on phc_u373: best at step" in outcome.out
    assert_recorded(only_run(results), "demo", "deepsim_ae")
    (extractor,) = extractors(results)
    assert extractor.name.startswith("phc_u373-autoencoder-seed0-")

    outcome = run(*command, "dataset=phc_u373", f"dataset.root={cells}", *TRAINING, at(results))
    assert outcome.code == 0, outcome.err
    assert "autoencoder on phc_u373: best at step" not in outcome.out
    assert extractors(results) == [extractor]
    assert len(run_folders(results)) == 2


def test_random_features_are_compared_without_training_them(results: Path, run: Command) -> None:
    command = [*overrides("deepsim_csr"), "metric.extractor.steps=0", *DEMO, at(results)]
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert_recorded(only_run(results), "demo", "deepsim_csr")
    assert not (results / "extractors").exists()


def test_training_raises_dice(results: Path, run: Command) -> None:
    outcome = run(
        *DEMO,
        at(results),
        "metric=mse",
        "dataset.shape=[64,80]",
        "dataset.subjects_per_split={train:12,val:4,test:6}",
        "model.channels=[8,16]",
        "trainer.steps=150",
        "trainer.validate_every=75",
        "trainer.batch_size=4",
        "trainer.lr=3e-3",
        "regularizer.weight=0.1",
    )
    assert outcome.code == 0, outcome.err
    before, after = (
        [float(row[name]) for row in read_rows(only_run(results) / "pairs.csv")]
        for name in ("dice_before", "dice")
    )
    assert all(gained > had for had, gained in zip(before, after, strict=True))
    assert sum(after) / len(after) > sum(before) / len(before) + 0.03
    assert read_summary(only_run(results))["scores"]["folding"]["mean"] < 0.01
