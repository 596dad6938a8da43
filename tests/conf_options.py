"""Composed configurations for the contract tests: every option in conf/ is found by itself."""

import functools
from typing import Any

import hydra
from omegaconf import OmegaConf

from bench.config.composition import register_resolvers
from bench.config.experiment import Experiment
from bench.config.groups import CONF, option_files
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup

TINY = {
    2: ["dataset=demo", "dataset.shape=[17,22]", "dataset.resolution=4"],
    3: ["dataset=demo3d", "dataset.shape=[10,13,15]"],
}
CONTRASTS = ["t1", "t2", "flair"]
SMALL = [
    "dataset.subjects_per_split={train:3,val:2,test:2}",
    "model.channels=[4,6,8]",
    "trainer.precision=float32",
    "trainer.accelerator=cpu",
    "trainer.progress=false",
    "tracker=none",
]


def names(group: str) -> list[str]:
    """Every option of a configuration group but the one for classes of the user."""
    return [path.stem for path in option_files(group) if path.stem != "custom"]


def compose_raw(overrides: list[str]) -> Any:
    """The configuration as run.py gets it."""
    return _compose(tuple(overrides))


@functools.cache
def _compose(overrides: tuple[str, ...]) -> Any:
    register_resolvers()
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose("config", list(overrides))


def compose(overrides: list[str]) -> dict[str, Any]:
    """The configuration, resolved to plain dicts."""
    config = OmegaConf.to_container(compose_raw(overrides), resolve=True)
    assert isinstance(config, dict)
    return config


def experiment(overrides: list[str]) -> Experiment:
    """The configuration, resolved and checked."""
    return Experiment.from_config(compose_raw(overrides))


def tiny_experiment(ndim: int, *overrides: str) -> Experiment:
    """An experiment on a few small subjects of the demo."""
    return experiment([*TINY[ndim], *SMALL, *overrides])


def in_contrasts(channels: int) -> list[str]:
    """Overrides that make the demo one of several channels, each a contrast."""
    return [f"dataset.contrast=[{','.join(CONTRASTS[:channels])}]"]


def section(content: dict[str, Any], *without: str) -> dict[str, Any]:
    """A section without the keys that belong to the suite."""
    return {key: value for key, value in content.items() if key not in without}


def setup_of(experiment: Experiment, dataset: PreparedDataset) -> Setup:
    """An experiment on a data set that is open already, whatever it says about its data."""
    return Setup(experiment, dataset, {})
