"""GPUs of a local sweep are dealt round-robin."""

import sys

import pytest

from bench.sweeps.gpus import deal_gpu


@pytest.fixture(autouse=True)
def _before_torch(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")


@pytest.mark.parametrize(
    ("visible", "dealt"),
    [("0,1", ["0", "1", "0", "1"]), ("3", ["3"] * 4), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"] * 2)],
)
def test_visible_gpus_are_dealt_in_turn(visible, dealt):
    environments = [{"CUDA_VISIBLE_DEVICES": visible} for _ in range(4)]
    for number, environment in enumerate(environments):
        deal_gpu(number, environment)
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == dealt


def test_all_gpus_are_dealt_where_none_are_named(tmp_path):
    for name in ("0000:01:00.0", "0000:02:00.0", "0000:03:00.0"):
        (tmp_path / name).mkdir()
    environment = {}
    deal_gpu(4, environment, tmp_path)
    assert environment == {"CUDA_VISIBLE_DEVICES": "1"}


@pytest.mark.parametrize("environment", [{}, {"CUDA_VISIBLE_DEVICES": ""}])
def test_nothing_changes_without_a_gpu(environment, tmp_path):
    before = dict(environment)
    deal_gpu(1, environment, tmp_path / "none")
    assert environment == before


def test_process_that_has_torch_keeps_its_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", object())
    environment = {"CUDA_VISIBLE_DEVICES": "0,1"}
    deal_gpu(1, environment)
    assert environment == {"CUDA_VISIBLE_DEVICES": "0,1"}
