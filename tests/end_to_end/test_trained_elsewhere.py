"""A network that was trained on one data set is tested on another: `model.trained=RUN`."""

import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from image_files import write_tiff

from bench.analysis.report.reproduce import commands
from bench.runs.trained import load_run
from bench.store.folder import Folder

from .conftest import DEMO, DEMO3D, Command, at, read_rows, read_summary, run_folders

SHAPE = (32, 40)


@pytest.fixture
def stack(tmp_path: Path) -> list[str]:
    """A set of six pages of another kind, which are all tested on."""
    draw = np.random.default_rng(0)
    smooth = draw.normal(size=(6, 4, 5)).repeat(8, 1).repeat(8, 2)
    pages = np.clip(100 + 40 * smooth, 0, 255).astype(np.uint8)
    write_tiff(tmp_path / "stack" / "pages.tif", pages)
    write_tiff(tmp_path / "stack" / "labels.tif", (pages > 100).astype(np.uint8))
    section = "{images:pages.tif,labels:labels.tif,slices:null}"
    return [
        *("dataset=tiff_stack", "dataset.name=cells", f"dataset.root={tmp_path / 'stack'}"),
        *("dataset.splits.train=null", "dataset.splits.val=null", f"dataset.splits.test={section}"),
        *("tracker=none", "trainer.accelerator=cpu"),
    ]


@pytest.fixture
def trained(results: Path, run: Command) -> Path:
    """A network that was trained on the demo."""
    outcome = run(*DEMO, "metric=mse", "seed=2", "regularizer.weight=0.3", at(results))
    assert outcome.code == 0, outcome.err
    (folder,) = run_folders(results)
    return folder


def run_on_cells(results: Path) -> Path:
    (folder,) = (path for path in run_folders(results) if path.name.startswith("cells"))
    return folder


def test_network_is_tested_on_another_data_set(
    results: Path, trained: Path, stack: list[str], run: Command, bench: Command
) -> None:
    outcome = run(*stack, f"model.trained={trained.name}", at(results))
    assert outcome.code == 0, outcome.err
    assert "mse on cells, λ = 0.3, seed 2" in outcome.out
    folder = run_on_cells(results)
    assert folder.name.startswith("cells-mse-0.3-seed2-")
    assert f"uses the network of {trained.name}" in outcome.out
    summary, before = read_summary(folder), read_summary(trained)
    for name in ("metric", "regularizer", "weight", "seed", "model", "validation"):
        assert summary[name] == before[name], name
    assert summary["steps"] is None
    assert summary["data"] != before["data"]
    rows = read_rows(folder / "pairs.csv")
    assert [row["moving"] for row in rows] == [f"pages.tif/{page:03d}" for page in range(5)]

    original, other = load_run(Folder(trained)), load_run(Folder(folder))
    weights = original.model.state_dict()
    copied = other.model.state_dict()
    assert all(torch.equal(weights[name], copied[name]) for name in weights)
    pair = other.dataset.pairs("test")[0]
    assert pair == (0, 1)
    expected = original.method.register(_pair(other), original.objective)
    assert expected.abs().max() > 1e-4
    assert torch.equal(other.method.register(_pair(other), other.objective), expected)

    again = folder.joinpath("summary.json").stat().st_mtime_ns
    run_id = trained.name.rpartition("-")[2]
    for name in (str(trained), f"'{run_id}'"):
        assert run(*stack, f"model.trained={name}", at(results)).code == 0
    assert folder.joinpath("summary.json").stat().st_mtime_ns == again
    listed = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert {row["dataset"]: row["metric"] for row in listed} == {"demo": "mse", "cells": "mse"}


def _pair(job):
    from bench.data.batches.loading import read_pairs

    return read_pairs(job.dataset, job.dataset.pairs("test")[:1], torch.device("cpu"))


def test_record_stands_without_the_run_that_it_is_from(
    results: Path,
    trained: Path,
    stack: list[str],
    run: Command,
    bench: Command,
    tmp_path: Path,
) -> None:
    assert run(*stack, f"model.trained={trained.name}", at(results)).code == 0
    folder = run_on_cells(results)
    (line,) = commands([yaml.safe_load((folder / "config.yaml").read_text())])
    assert run(*shlex.split(line)[2:], "tracker=none", at(results)).code == 0
    assert run_on_cells(results) == folder  # the same run
    outcome = bench("report", "--results", str(results), "--out", str(tmp_path / "report"))
    assert outcome.code == 0, outcome.err

    shutil.rmtree(trained)
    draw = np.random.default_rng(1)
    for name in "ab":
        image = draw.integers(0, 255, SHAPE, np.uint8)
        write_tiff(tmp_path / f"{name}.tif", image)
    files = ["--moving", str(tmp_path / "a.tif"), "--fixed", str(tmp_path / "b.tif")]
    out = ["--out", str(tmp_path / "out")]
    assert bench("register", str(folder), *files, *out).code == 0
    assert (tmp_path / "out" / "warped.tif").exists()


def test_another_network_or_weight_is_another_run(
    results: Path, trained: Path, stack: list[str], run: Command
) -> None:
    assert run(*DEMO, "metric=mse", "seed=2", "regularizer.weight=0.1", at(results)).code == 0
    names = [path.name for path in run_folders(results)]
    outcome = run("-m", *stack, f"model.trained={','.join(names)}", at(results))
    assert outcome.code == 0, outcome.err
    summaries = [read_summary(p) for p in run_folders(results) if p.name.startswith("cells")]
    assert sorted(summary["weight"] for summary in summaries) == [0.1, 0.3]
    assert len({summary["id"] for summary in summaries}) == 2
    assert len({summary["variant"] for summary in summaries}) == 1  # λ is chosen among them


def test_intensities_are_those_that_the_network_knows(
    results: Path, stack: list[str], run: Command
) -> None:
    """z-scores go with the network; a policy for the scale of the files does not."""
    score = "dataset.intensity={policy: zscore}"
    whole = [*(option for option in stack if ".splits." not in option), *_parts()]
    small = ["model.channels=[4,8]", "trainer.steps=2", "trainer.validate_every=2"]
    outcome = run(*whole, score, *small, "trainer.progress=false", at(results))
    assert outcome.code == 0, outcome.err
    (network,) = (p for p in run_folders(results) if "-ncc-" in p.name)
    outcome = run(*stack, f"model.trained={network.name}", at(results))
    assert outcome.code == 0, outcome.err
    (folder,) = (p for p in run_folders(results) if "-ncc-" in p.name and p != network)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["dataset"]["intensity"] == {"policy": "zscore"}


def _parts() -> list[str]:
    return [
        f"dataset.splits.{split}={{images:pages.tif,labels:labels.tif,slices:[{n},{n + 2}]}}"
        for n, split in ((0, "train"), (2, "val"), (4, "test"))
    ]


def test_what_cannot_be_tested_is_said_in_one_line(
    results: Path, trained: Path, stack: list[str], run: Command
) -> None:
    def line(*overrides: str) -> str:
        return run(*overrides, at(results)).line

    assert line(*stack, "model.trained=nothing").startswith(
        f"model.trained=nothing: no run of this name in {results / 'runs'}. Give the folder of"
    )
    name = f"model.trained={trained.name}"
    assert f"{name}: its network takes 2D images with 1 channel(s), but dataset=demo3d has 3D" in (
        line(*[o for o in DEMO3D if not o.startswith("model")], name)
    )
    assert line(*stack, name, "metric=ncc").startswith(
        "metric=ncc: model.trained takes network, me"
    )
    assert "dataset.intensity.policy=zscore: the network of model.trained=" in line(
        *stack, name, "dataset.intensity={policy: zscore}"
    )
    assert run(*stack, "model=identity", at(results)).code == 0
    identity = run_on_cells(results)
    assert "did not train a network (model=identity). Name a run that" in line(
        *stack, f"model.trained={identity.name}"
    )
    (trained / "summary.json").unlink()
    assert (
        line(*stack, name) == f"{name}: has not finished. Finish it first: run its command again."
    )


@pytest.mark.parametrize(
    "content", ["", "model: 3\n", "model: {}\n", "model: {name: x", "\x00", "half", "less"]
)
def test_broken_configuration_of_the_trained_run_is_one_line(
    content: str, results: Path, trained: Path, stack: list[str], run: Command
) -> None:
    path = trained / "config.yaml"
    whole = path.read_text()
    less = {name: value for name, value in yaml.safe_load(whole).items() if name != "trainer"}
    other = {"half": whole[: len(whole) // 2], "less": yaml.safe_dump(less)}
    path.write_text(other.get(content, content))
    assert run(*stack, f"model.trained={trained.name}", at(results)).line == (
        f"model.trained={trained.name}: its config.yaml is damaged. Rerun it with force=true."
    )
