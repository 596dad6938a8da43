"""What users add from a folder of theirs: a module, a YAML, and the suite runs it."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from .conftest import DEMO, Command, at, read_summary, run_folders

MODULE = """
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from bench.data import Demo


class L1:
    def __call__(self, pair):
        return (pair.warped - pair.fixed).abs().mean()


class Net(nn.Module):
    def __init__(self, ndim, image_channels, width=4):
        super().__init__()
        kind = nn.Conv2d if ndim == 2 else nn.Conv3d
        self.layer = kind(2 * image_channels, ndim, 3, padding=1)

    def forward(self, moving, fixed):
        return self.layer(torch.cat([moving, fixed], dim=1))


@dataclass(kw_only=True)
class Darker(Demo):
    gamma: float = 1.0


class Pyramid(nn.Module):
    levels, factors = 1, (1,)

    def __init__(self, ndim, image_channels, classes, width=4, state_dict=None):
        super().__init__()
        self.layer = nn.Conv2d(image_channels, width, 3, padding=1)
        self.file = state_dict

    def supports(self, ndim, channels):
        return None if ndim == 2 else "it reads 2D images"

    def features(self, image):
        return [self.layer(image)]


class Brightness(Pyramid):
    task, needs_labels = "brightness", False

    def forward(self, image):
        return self.layer(image).mean(dim=1, keepdim=True)

    def loss(self, output, image, segmentation):
        return (output - image).square().mean()

    def score(self, output, image, segmentation):
        return {"error": float((output - image).abs().mean())}


class Tiny(Pyramid):
    def load(self, folder):
        self.load_state_dict(torch.load(Path(self.file), weights_only=True))
"""
METRIC = """# Mean absolute difference.
name: l1
_target_: contributed.L1
"""
MODEL = """# One convolution.
name: net
_target_: contributed.Net
width: 4
"""
DATASET = """name: darker
_target_: contributed.Darker
ndim: 2
subjects_per_split: {train: 4, val: 2, test: 2}
pairs: {train: cross, val: mirrored, test: mirrored}
"""
SURROGATE = """# DeepSim over a network that learned brightness.
name: deepsim_brightness
_target_: bench.similarity.DeepSim
levels: [1]
extractor: {_target_: contributed.Brightness, steps: 4, dataset: null, root: null}
"""
PRETRAINED = """# DeepSim over a network that others trained.
name: tiny
_target_: bench.similarity.DeepSim
levels: [1]
extractor: {_target_: contributed.Tiny, state_dict: null}
"""
FILES = {
    "metric/l1": METRIC,
    "metric/deepsim_brightness": SURROGATE,
    "metric/tiny": PRETRAINED,
    "model/net": MODEL,
    "dataset/darker": DATASET,
}
TRAINING = [each for each in DEMO if not each.startswith(("dataset", "model"))]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder outside the repository with a module and YAMLs; the argument that names it."""
    for name, text in FILES.items():
        path = tmp_path / "mine" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "contributed.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield f"hydra.searchpath=[file://{tmp_path}/mine]"
    sys.modules.pop("contributed", None)


@pytest.mark.parametrize(
    ("chosen", "column", "name"),
    [
        ([*DEMO, "metric=l1"], "metric", "l1"),
        ([*TRAINING, "dataset=demo", "dataset.shape=[32,40]", "model=net"], "model", "net"),
        (["dataset=darker", *TRAINING, "+dataset.resolution=4"], "dataset", "darker"),
        ([*DEMO, "metric=deepsim_brightness"], "metric", "deepsim_brightness"),
    ],
    ids=["metric", "network", "data set", "surrogate task"],
)
def test_contribution_is_a_class_and_a_yaml(
    chosen: list[str], column: str, name: str, folder: str, results: Path, run: Command
) -> None:
    outcome = run(folder, *chosen, at(results))
    assert outcome.code == 0, outcome.err
    (path,) = run_folders(results)
    assert read_summary(path)[column] == name
    assert 0 < read_summary(path)["scores"]["dice"]["mean"] < 1
    extractors = [path.name for path in results.glob("extractors/demo-*")]
    assert len(extractors) == (name == "deepsim_brightness")


def test_pretrained_network_is_a_class_with_load(
    folder: str, tmp_path: Path, results: Path, run: Command
) -> None:
    import torch

    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        layer = torch.nn.Conv2d(1, 4, 3)
        files.append(tmp_path / f"{seed}.pth")
        torch.save({"layer.weight": layer.weight, "layer.bias": layer.bias}, files[-1])
    for file in files:
        command = [folder, "metric=tiny", f"metric.extractor.state_dict={file}", *DEMO]
        assert run(*command, at(results)).code == 0
    first, second = run_folders(results)
    assert json.loads((first / "run.json").read_text())["id"] != second.name  # by content


def test_metric_of_ones_own_names_its_class(folder: str, results: Path, run: Command) -> None:
    line = run("metric=custom", *DEMO, at(results)).line
    assert "metric._target_" in line
    chosen = ["metric=custom", "metric._target_=contributed.L1", "metric.name=mine"]
    assert run(*chosen, *DEMO, at(results)).code == 0
    (path,) = run_folders(results)
    assert read_summary(path)["metric"] == "mine"
