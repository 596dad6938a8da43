import shlex

import pytest

from bench.analysis.reading.expected import expected_runs, identity
from bench.analysis.report.reproduce import commands
from bench.config.composition import compose
from bench.config.experiment import Experiment


def made_again(config):
    """The configuration that the command for one composes."""
    (line,) = commands([config])
    program, script, *overrides = shlex.split(line)
    assert (program, script) == ("python", "run.py")
    return Experiment.from_config(compose(overrides)).config


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["metric=deepsim_seg", "dataset=hippocampus", "seed=3", "regularizer.scale=2"],
        ["metric=ncc", "metric.window=5", "model.channels=[4,8]", "trainer.lr=1e-05"],
        ["dataset=nifti", "dataset.name=mine", r"dataset.root='/my data/it\'s'", "dataset.ndim=3"],
        ["metric=mse", "metric.name=l1", "metric._target_=my_metric.L1", "+metric.power=1.5"],
        ["metric=sum", "metric.factors.ncc=2", "model=segresnet", "trainer=paper"],
        ["model=fields", "model.name=demons", "model.folder=/fields"],
        ["metric=custom", "metric.name=ncc", "metric._target_=my_metric.NCC"],
        ["regularizer=bending", "regularizer.weight=0", "~dataset.augmentation.rotation"],
    ],
)
def test_command_makes_the_same_configuration(overrides):
    config = Experiment.from_config(compose(overrides)).config
    assert identity(made_again(config)) == identity(config)
    assert made_again(config)["dataset"].get("root") == config["dataset"].get("root")


def test_commands_of_many_are_those_of_each_and_known_options_are_not_composed_again(monkeypatch):
    composed = []

    def counted(overrides):
        composed.append(overrides)
        return compose(overrides)

    monkeypatch.setattr("bench.analysis.report.reproduce.compose", counted)
    choices = [
        ["dataset=demo", "metric=mse"],
        ["dataset=demo3d", "metric=ncc"],
        ["task=changes", "dataset=demo", "metric=mse", "model=variational"],
        ["dataset=demo", "metric=ncc", "metric.window=5"],
        ["dataset=demo3d", "metric=mse", "trainer.lr=0.1"],
    ]
    configs = [Experiment.from_config(compose(overrides)).config for overrides in choices]
    together = commands(configs)
    assert len(composed) == 3
    assert together == [line for config in configs for line in commands([config])]


def test_fields_of_a_tool_called_like_a_model_of_the_suite_are_scored_again_as_fields():
    given = ["model=fields", "model.name=demons", "model.folder=/fields"]
    (line,) = commands([Experiment.from_config(compose(given)).config])
    assert set(given) < set(shlex.split(line))
    assert "~" not in line


def test_command_says_no_more_than_it_must():
    config = Experiment.from_config(compose(["dataset=hippocampus", "trainer.lr=0.1"])).config
    (line,) = commands([config])
    assert line == (
        "python run.py dataset=hippocampus metric=ncc regularizer=diffusion model=pyramid "
        "trainer=short regularizer.weight=1 seed=0 trainer.lr=0.1"
    )


def test_runs_of_an_experiment_can_each_be_made_again():
    for config in expected_runs("demo"):
        assert identity(made_again(config)) == identity(config)
