"""The trainer's settings: each is checked, in words."""

import pytest

from bench.config.overrides import quoted
from bench.config.settings import TrainerSettings
from bench.errors import ConfigError
from bench.training.devices import accelerator

VALID = {"steps": 10, "batch_size": 4, "lr": 1e-3, "validate_every": 5}
COUNT = "must be a whole number of at least 1."
OPTIONAL = "must be null or a whole number of at least 1."


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *[(name, 0, COUNT) for name in ("steps", "batch_size", "accumulate", "validate_every")],
        ("steps", 2.5, COUNT),
        ("steps", True, COUNT),
        ("steps", "many", COUNT),
        ("devices", 0, COUNT),
        ("validation_pairs", 0, OPTIONAL),
        ("checkpoint_every", -1, OPTIONAL),
        ("early_stopping", 1.5, OPTIONAL),
        ("lr", 0, "must be a finite number above 0."),
        ("lr", -1e-3, "must be a finite number above 0."),
        ("lr", "1e-3x", "must be a finite number above 0."),
        ("lr", float("inf"), "must be a finite number above 0."),
        ("clip_norm", float("inf"), "must be null or a finite number above 0."),
        ("lr", float("nan"), "must be a finite number above 0."),
        ("schedule", "linear", "must be one of plateau, cosine."),
        ("warmup", -1, "must be a whole number of at least 0."),
        ("warmup", 0.5, "must be a whole number of at least 0."),
        ("plateau_factor", 1, "must be a number between 0 and 1."),
        ("plateau_factor", 0, "must be a number between 0 and 1."),
        ("plateau_patience", -1, "must be a whole number of at least 0."),
        ("plateau_patience", 0.5, "must be a whole number of at least 0."),
        ("precision", "float16", "must be one of auto, float32, bfloat16."),
        ("compile", "yes", "must be true, false or graphs."),
        ("recompute", "no", "must be true or false."),
        ("accelerator", "gpu", "must be one of auto, cpu, cuda."),
    ],
)
def test_value_that_is_not_allowed_is_named_with_what_is(name, value, words):
    with pytest.raises(ConfigError) as raised:
        TrainerSettings(**{**VALID, name: value})
    assert str(raised.value) == f"trainer.{name}={quoted(value)}: {words}"


def test_batch_must_divide_among_the_devices():
    with pytest.raises(ConfigError, match=r"batch_size=4: must be a multiple of trainer.devices=3"):
        TrainerSettings(**VALID, devices=3)


def test_graphs_need_a_cuda_device():
    with pytest.raises(ConfigError, match=r"compile=graphs: needs a CUDA device, but this .* cpu"):
        accelerator(TrainerSettings(**VALID, compile="graphs", accelerator="cpu"))


def test_section_may_hold_further_keys_and_be_overridden():
    section = {**VALID, "name": "short", "budget": "short", "early_stopping": 3}
    settings = TrainerSettings.from_config(section, {"steps": 7})
    assert (settings.steps, settings.batch_size, settings.early_stopping) == (7, 4, 3)
    assert settings.accumulate == 1


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(AttributeError):
        TrainerSettings(**VALID).steps = 3


def test_setting_that_was_taken_away_is_named():
    with pytest.raises(ConfigError, match=r"^trainer\.lr is missing\. Set it\.$"):
        TrainerSettings.from_config({key: VALID[key] for key in VALID if key != "lr"})
