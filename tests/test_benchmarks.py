"""Benchmarks run: what they measure is what the suite does today."""

import sys
from pathlib import Path

import nibabel
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import checksums
import loading
import overhead
import report
import train
from train import METRICS, make_data, make_steps

from bench.data.cache.prepared import PreparedDataset
from bench.errors import DamagedCache

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(32, 40), (16, 16, 24)])
@pytest.mark.parametrize("metric", METRICS)
def test_steps_of_both_ways_train(metric, shape, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHANNELS", (4, 8, 8))
    steps, batch = make_steps(metric, 2, make_data(tmp_path, shape), "cpu", tmp_path)
    assert set(steps) == set(train.WAYS)
    for step in steps.values():
        step()
        step()
    assert batch().moving.shape == (2, 1, *shape)


def test_both_ways_see_the_same_images(tmp_path):
    data = make_data(tmp_path, (16, 16, 24))
    assert data.dataset.pairs("train")
    images = loading.read_pairs(data.dataset, [(0, 1)], CPU).moving[0, 0]
    content = nibabel.load(data.files[0][0]).get_fdata()
    assert torch.equal(images, torch.from_numpy(content).float())


def test_loop_and_bare_steps_are_timed(monkeypatch):
    monkeypatch.setattr(overhead, "CHANNELS", (4, 8, 8))
    times = overhead.measure(2, (32, 40), steps=1, repeats=1)
    assert all(seconds > 0 for seconds in times)


def test_report_of_made_up_runs_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "DATASETS", ("demo",))
    monkeypatch.setattr(report, "METRICS", ("mse",))
    assert report.write_runs(tmp_path, pairs=3, seeds=1) == 3 * 5
    assert all(seconds > 0 for seconds in report.measure(tmp_path))
    text = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "15 finished runs of 15" in text
    assert "demo (noise 0.2)" in text


def test_random_volumes_are_a_data_set(tmp_path):
    pairs = dict.fromkeys(("train", "val", "test"), "cross")
    noise = loading.Noise(name="noise", ndim=3, classes=2, shape=(8, 9, 10), pairs=pairs)
    dataset = loading.prepare(noise, tmp_path)
    assert dataset.shape == (8, 9, 10)
    assert loading.read_pairs(dataset, dataset.pairs("train")[:1], CPU).fixed.max() > 1


def test_checks_that_are_timed_are_those_of_the_suite(tmp_path):
    checksums.write_cache(tmp_path, 3, (4, 5, 6))
    dataset = PreparedDataset.open(tmp_path, {})
    assert dataset.images_of(range(3)).shape == (3, 1, 4, 5, 6)
    checksums.check(tmp_path, dataset, range(3))
    content = bytearray((tmp_path / "images.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "images.npy").write_bytes(content)
    with pytest.raises(AssertionError):
        checksums.check(tmp_path, dataset, range(3))
    with pytest.raises(DamagedCache):
        PreparedDataset.open(tmp_path, {}).images_of([2])
