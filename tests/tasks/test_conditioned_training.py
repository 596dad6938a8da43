"""Training under many λ: which are drawn, and what is minimized."""

import numpy as np
import pytest
import torch
from conf_options import setup_of, tiny_experiment

from bench.models.flow import displacement_of
from bench.tasks.registration.assembly import build_parts
from bench.tasks.registration.conditioned import ConditionedTraining
from bench.tasks.registration.registration import RegistrationJob

CPU = torch.device("cpu")
RANGE = "model.lambda_range=[0.01,1]"


def training(dataset, *overrides):
    experiment = tiny_experiment(
        2, "metric=mse", "model.conditioned=lambda", RANGE, "model.flow_std=0.1", *overrides
    )
    setup = setup_of(experiment, dataset)
    found = RegistrationJob(setup, build_parts(setup)).trainable
    assert isinstance(found, ConditionedTraining)
    return found


def test_a_few_samples_in_turn_see_the_whole_range(tiny_datasets):
    found = training(tiny_datasets[2])
    drawn = np.log10([found.weight_of(n) for n in range(1000)])
    for first in range(0, 1000, 7):
        counts = np.histogram(drawn[first : first + 8], bins=[-2.01, -1.5, -1, -0.5, 0.01])[0]
        assert counts.min() >= 1
        assert counts.max() <= 4


def test_weights_are_log_uniform_with_a_fifth_of_them_at_the_ends(tiny_datasets):
    found = training(tiny_datasets[2])
    drawn = np.log10([found.weight_of(n) for n in range(4000)])
    low, high = np.isclose(drawn, -2), np.isclose(drawn, 0)
    assert low.mean() == pytest.approx(0.1, abs=0.015)
    assert high.mean() == pytest.approx(0.1, abs=0.015)
    within = drawn[~low & ~high]
    assert -2 < within.min() < -1.99
    assert -0.01 < within.max() < 0
    assert np.histogram(within, bins=4)[0] / len(within) == pytest.approx([0.25] * 4, abs=0.03)


def test_a_sample_has_its_weight_whatever_came_before(tiny_datasets):
    first, again = training(tiny_datasets[2]), training(tiny_datasets[2])
    expected = [first.weight_of(n) for n in range(20)]
    assert [again.weight_of(n) for n in range(10, 20)] == expected[10:]
    assert len(set(expected)) > 10
    assert [training(tiny_datasets[2], "seed=1").weight_of(n) for n in range(20)] != expected
    metric = training(tiny_datasets[2], "metric=ncc", "model.channels=[4]")
    assert [metric.weight_of(n) for n in range(20)] == expected


def test_loss_is_that_of_each_pair_under_its_weight(tiny_datasets):
    found = training(tiny_datasets[2])
    positions = range(3, 6)
    losses = found.loss(found.network, positions, CPU)
    terms = []
    for position in positions:
        pair = found.training.batch([position], CPU)
        weight = found.weight_of(position)
        network = found.network.train()
        u, _ = displacement_of(network(pair.moving, pair.fixed, torch.tensor([weight])))
        value = found.objective.similarity(pair.at(u)) + weight * found.objective.regularizer(u)
        terms.append(float(value.detach()))
    assert losses["loss"].item() == pytest.approx(np.mean(terms), rel=1e-4)
    losses["loss"].backward()


def test_validation_is_under_weights_from_end_to_end(tiny_datasets):
    found, settings = training(tiny_datasets[2]), tiny_experiment(2).settings
    seen = []

    def network(moving, fixed, weight):
        seen.extend(weight.tolist())
        return found.network(moving, fixed, weight)

    with torch.no_grad():
        scores = found.validate(network, settings, CPU)
    assert seen == pytest.approx([0.01, 0.01 * 100**0.25])
    assert {"loss", "similarity", "regularization", "dice", "folding"} <= set(scores)
