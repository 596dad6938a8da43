"""Where the tracker logs: as configured, else as the environment says, and never unasked."""

import pytest

from bench.errors import ConfigError
from bench.store.tracker import Tracked, Tracker
from bench.store.tracking import open_tracker
from bench.store.weights_and_biases import chosen_mode


@pytest.fixture(autouse=True)
def _key_and_nothing_else(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_DISABLED", "WANDB_SWEEP_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)


@pytest.mark.parametrize(
    ("mode", "environment", "chosen"),
    [
        ("auto", {}, "offline"),
        ("auto", {"WANDB_MODE": "online"}, "online"),
        ("auto", {"WANDB_MODE": "offline"}, "offline"),
        ("auto", {"WANDB_MODE": "dryrun"}, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, "disabled"),
        ("auto", {"WANDB_MODE": "online", "WANDB_DISABLED": "true"}, "disabled"),
        ("auto", {"WANDB_SWEEP_ID": "x"}, "online"),
        ("auto", {"WANDB_SWEEP_ID": "x", "WANDB_MODE": "offline"}, "offline"),
        ("online", {"WANDB_MODE": "offline"}, "online"),
        ("offline", {"WANDB_MODE": "online"}, "offline"),
        ("disabled", {}, "disabled"),
    ],
)
def test_mode(mode, environment, chosen, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert chosen_mode(mode) == chosen


@pytest.mark.parametrize("mode", ["off", False, None, "sometimes"])
def test_other_modes_are_refused(mode, monkeypatch):
    with pytest.raises(
        ConfigError, match=r"tracker.mode=.*: must be one of auto, online, offline, d"
    ):
        chosen_mode(mode)
    monkeypatch.setenv("WANDB_MODE", str(mode))
    with pytest.raises(ConfigError, match=r"WANDB_MODE=.*: must be one of online, off"):
        chosen_mode("auto")


def test_disabled_tracker_keeps_nothing(tmp_path):
    settings = {"name": "wandb", "mode": "disabled", "group": None}
    assert type(open_tracker(settings, tmp_path, Tracked("i", "n", "j", {}))) is Tracker
    assert list(tmp_path.iterdir()) == []
