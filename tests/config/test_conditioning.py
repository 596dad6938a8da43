"""The range of λ that one network learns, and what a run's configuration says of it."""

import math

import pytest
from conf_options import experiment, setup_of, tiny_experiment

from bench.config.conditioning import WeightRange
from bench.errors import ConfigError
from bench.inspection.panel import run_label
from bench.runs.run import Run

CONDITIONED = "model.conditioned=lambda"


def test_places_lie_evenly_on_a_logarithmic_scale():
    weights = WeightRange(0.25, 4)
    assert [weights.at(place) for place in (-1, -0.5, 0, 0.5, 1)] == [0.25, 0.5, 1, 2, 4]


def test_range_is_an_eighth_to_eight_times_the_tuned_weight():
    found = experiment(["metric=ncc", CONDITIONED, "regularizer.scale=2"])
    assert found.weight == 0.4
    assert found["model"]["lambda_range"] == [0.025, 1.6]
    assert found.conditioned == WeightRange(0.025, 1.6)
    assert found.with_config(found.config).conditioned == found.conditioned


def test_without_a_tuned_weight_it_is_about_1():
    found = experiment(["metric=ncc", "metric.name=mine", CONDITIONED])
    assert found.conditioned == WeightRange(1 / 8, 8)


def test_label_of_a_panel_tells_what_the_network_learned():
    given = ["metric=mse", "model=voxelmorph", "regularizer.weight=0.5"]
    ranged = ["model.conditioned=lambda", "model.lambda_range=[0.1,2]"]
    assert run_label(experiment(given)) == "mse voxelmorph\nλ = 0.5"
    assert run_label(experiment([*given, *ranged])) == "mse voxelmorph\nλ = 0.5 of 0.1 to 2"


def test_a_network_of_one_weight_has_no_range():
    found = experiment(["metric=ncc"])
    assert found.conditioned is None
    assert found["model"]["lambda_range"] is None


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["regularizer.scale=16"],
            "regularizer.scale=16 (λ = 3.2): is outside 0.025 to 1.6, the λ that "
            "model.conditioned=lambda learns. Choose one in this range, or set "
            "model.lambda_range, such as [0.4,25.6].",
        ),
        (
            ["regularizer.weight=0.01", "dataset.name=mine"],
            "regularizer.weight=0.01: is outside 0.125 to 8, the λ that model.conditioned=lambda "
            "learns. Choose one in this range, or set model.lambda_range, such as [0.00125,0.08].",
        ),
        (
            ["regularizer.weight=0"],
            "regularizer.weight=0: is outside 0.025 to 1.6, the λ that model.conditioned=lambda "
            "learns. Choose one in this range, or leave model.conditioned out, since a range lies "
            "above 0.",
        ),
        (
            ["model.lambda_range=[0,1]"],
            "model.lambda_range=[0,1]: must ascend and be above 0, since the network learns λ on "
            "a logarithmic scale. Give the smallest and the largest λ, such as [0.02,1.6].",
        ),
        (["model.lambda_range=[-1,1]"], "model.lambda_range=[-1,1]: must ascend"),
        (["model.lambda_range=[1,0.1]"], "model.lambda_range=[1,0.1]: must ascend"),
        (["model.lambda_range=[1,1]"], "model.lambda_range=[1,1]: must ascend"),
        (
            ["model.lambda_range=[0.1,0.1000000001]"],
            "model.lambda_range=[0.1,0.1000000001]: its largest λ must be at least 1.1 times",
        ),
        (["model.lambda_range=[1,inf]"], "model.lambda_range=[1,inf]: must be two numbers"),
        (["model.lambda_range=[1,nan]"], "model.lambda_range=[1,nan]: must be two numbers"),
        (
            ["model.lambda_range=[1e-320,1]"],
            "model.lambda_range=[1e-320,1]: must lie between 1e-30",
        ),
        (["model.lambda_range=[1,1e300]"], "model.lambda_range=[1,1e+300]: must lie between"),
        (
            ["model.lambda_range=[1]"],
            "model.lambda_range=[1]: must be two numbers, the smallest and the largest λ, such",
        ),
        (["model.lambda_range=[a,b]"], "model.lambda_range=[a,b]: must be two numbers"),
        (["model.lambda_range=3"], "model.lambda_range=3: must be two numbers, the smallest"),
        (["model.conditioned=metric"], "model.conditioned=metric: must be lambda or null."),
        (["model.conditioned=true"], "model.conditioned=true: must be lambda or null."),
    ],
)
def test_what_cannot_be_learned_is_refused(overrides, line):
    with pytest.raises(ConfigError) as refused:
        experiment(["metric=ncc", CONDITIONED, *overrides])
    assert str(refused.value).startswith(line)


def test_ends_of_the_range_are_in_it_whatever_their_rounding():
    weights = WeightRange(0.1, 0.8)
    assert 0.1 * (1 - 1e-6) in weights
    assert math.nextafter(0.8, 1) in weights
    assert 0.09 not in weights
    assert 0.81 not in weights


def runs(dataset, *overrides):
    setup = setup_of(tiny_experiment(2, "metric=mse", *overrides), dataset)
    return Run.of(setup)


def test_runs_of_all_weights_share_a_network_and_are_runs_of_their_own(tiny_datasets, tmp_path):
    def made(*overrides):
        return runs(tiny_datasets[2], CONDITIONED, f"results_dir={tmp_path}", *overrides)

    first, second = made(), made("regularizer.scale=2")
    assert first.folder.path != second.folder.path
    assert first.header["variant"] == second.header["variant"]
    assert first.network()[1].path == second.network()[1].path
    assert first.network()[1].path.parent == tmp_path / "networks"
    assert first.network()[1].name.startswith("demo-mse-lambda-seed0-")
    assert made("model.refine=3").network()[1].path == first.network()[1].path
    for override in (
        *("seed=1", "model.lambda_range=[0.01,1]", "trainer.lr=2e-3", "model.integrate=5"),
        *("regularizer=bending", "metric=ncc"),
    ):
        assert made(override).network()[1].path != first.network()[1].path


def test_network_of_one_weight_has_no_range(tiny_datasets):
    plain = runs(tiny_datasets[2])
    assert plain.network() is None
    with pytest.raises(ConfigError, match=r"range=\[0.01,1\]: has an effect only with model.cond"):
        runs(tiny_datasets[2], "model.lambda_range=[0.01,1]")
    assert runs(tiny_datasets[2], CONDITIONED).header["id"] != plain.header["id"]
