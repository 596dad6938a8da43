"""Weighted sums of metrics."""

import math
import re

import pytest
import torch
from similarity_pairs import Counted, displacement, images
from torch import nn

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.similarity import MSE, NCC, LabelMSE, Pair, WeightedSum
from bench.similarity.building import move_metric


def pair_of(u, labels=None):
    return Pair(*images((17, 22)), u, labels or Counted((17, 22)), 4)


def test_weighted_sum_multiplies_by_its_factors_and_sums_their_reasons():
    metric = WeightedSum({"a": MSE(), "b": LabelMSE()}, {"a": 2.0, "b": 0.5})
    pair = Pair(*images((17, 22)), displacement((17, 22)), Counted((17, 22)), 4)
    torch.testing.assert_close(metric(pair), 2 * MSE()(pair) + 0.5 * LabelMSE()(pair))
    assert metric.supports(2, 1, True) is None
    assert metric.supports(2, 1, False) == "b: needs labels, but the data set has none"


def test_weighted_sum_needs_a_factor_for_each_term():
    with pytest.raises(ConfigError, match=r"factors has \['b'\] but metric.terms has \['a'\]"):
        WeightedSum({"a": MSE()}, {"b": 1.0})


@pytest.mark.parametrize(
    ("terms", "factors"),
    [
        ({}, {}),
        ({"a": MSE()}, {}),
        ({}, {"a": 1.0}),
        ({"a": MSE(), "b": NCC()}, {"a": 1.0}),
        ({"a": MSE()}, {"a": 1.0, "b": 1.0}),
    ],
)
def test_terms_and_factors_must_have_the_same_names(terms, factors):
    with pytest.raises(ConfigError, match="give each term one factor, under the same name"):
        WeightedSum(terms, factors)


@pytest.mark.parametrize("factors", [{"mse": 1, "ncc": 1}, {"mse": 3.0, "ncc": 0.0}])
def test_gradient_is_the_sum_of_the_terms_gradients(factors):
    u = displacement((17, 22)).requires_grad_()
    terms = {"mse": MSE(), "ncc": NCC(5)}
    (gradient,) = torch.autograd.grad(WeightedSum(terms, factors)(pair_of(u)), u)
    expected = sum(
        factors[name] * torch.autograd.grad(term(pair_of(u)), u)[0] for name, term in terms.items()
    )
    torch.testing.assert_close(gradient, expected)


def test_one_term_and_sums_of_sums_are_allowed():
    pair = pair_of(displacement((17, 22)))
    inner = WeightedSum({"mse": MSE()}, {"mse": 2.0})
    outer = WeightedSum({"inner": inner, "ncc": NCC()}, {"inner": 3.0, "ncc": 1.0})
    torch.testing.assert_close(outer(pair), 6 * MSE()(pair) + NCC()(pair))


def test_every_term_that_is_not_supported_gives_its_reason():
    inner = WeightedSum({"labels": LabelMSE(), "mse": MSE()}, {"labels": 1.0, "mse": 1.0})
    outer = WeightedSum({"inner": inner, "masked": NCC(mask="labels")}, {"inner": 1, "masked": 1})
    assert outer.supports(2, 1, labels=True) is None
    assert outer.supports(2, 1, labels=False) == (
        "inner: labels: needs labels, but the data set has none; masked: needs labels, but the "
        "data set has none"
    )


def test_terms_share_the_labels_they_read():
    labels = Counted((17, 22))
    terms = {"labels": LabelMSE(), "masked": MSE("labels")}
    WeightedSum(terms, {"labels": 1, "masked": 1})(pair_of(displacement((17, 22)), labels))
    assert labels.calls == 1


class Weighted(nn.Module):
    """A metric of the user's own: a network, and no `supports`."""

    def __init__(self):
        super().__init__()
        self.channels = nn.Conv2d(1, 2, 1)

    def forward(self, pair):
        return (self.channels(pair.warped) - self.channels(pair.fixed)).abs().mean()


def test_terms_need_no_supports():
    metric = WeightedSum({"own": Weighted(), "labels": LabelMSE()}, {"own": 1.0, "labels": 1.0})
    assert metric.supports(2, 1, True) is None
    assert metric.supports(2, 1, False) == "labels: needs labels, but the data set has none"
    assert metric(pair_of(displacement((17, 22)))) > 0


def test_a_network_of_the_users_own_learns_nothing():
    own = Weighted()
    metric = WeightedSum({"own": own, "mse": MSE()}, {"own": 1.0, "mse": 1.0})
    move_metric(metric, torch.device("cpu"))
    assert not own.training
    pair = pair_of(displacement((17, 22)).requires_grad_())
    metric(pair).backward()
    assert pair.u.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in own.parameters())


def test_weights_of_terms_are_moved_too():
    alone, term = Weighted(), Weighted()
    inner = WeightedSum({"own": term, "mse": MSE()}, {"own": 1.0, "mse": 1.0})
    outer = WeightedSum({"inner": inner, "ncc": NCC()}, {"inner": 1.0, "ncc": 1.0})
    for metric in (alone, outer):
        move_metric(metric, torch.device("meta"))
    assert alone.channels.weight.is_meta
    assert term.channels.weight.is_meta


@pytest.mark.parametrize("factor", [-0.1, math.inf, math.nan, True, "much"])
def test_factors_that_reward_a_loss_or_are_no_numbers_are_refused(factor):
    words = f"metric.factors.a={quoted(factor)}: must be a finite number of at least 0."
    with pytest.raises(ConfigError, match=re.escape(words)):
        WeightedSum({"a": MSE()}, {"a": factor})
