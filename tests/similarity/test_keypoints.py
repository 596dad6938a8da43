"""Metric of landmarks."""

import math

import pytest
import torch

from bench.models.levels import pooled_displacement, pooled_pair
from bench.models.method import Objective
from bench.pair import Pair, each
from bench.similarity import MSE, Keypoints, WeightedSum
from bench.similarity.keypoints import reason_without_landmarks

SHAPES = [(17, 22), (10, 13, 15)]


def pair_of(shape, moving, fixed, u=None):
    points = tuple(torch.tensor(points) for points in (moving, fixed))
    image = torch.zeros(len(points[0]), 1, *shape)
    u = torch.zeros(len(image), len(shape), *shape) if u is None else u
    return Pair(image, image, u, landmarks=lambda: points)


def random_pair(shape, u=None):
    generator = torch.Generator().manual_seed(3)
    size = (2, 2, 20, len(shape))
    points = torch.rand(size, generator=generator) * (torch.tensor(shape) - 1)
    return pair_of(shape, *points.tolist(), u)


def test_it_is_the_mean_squared_distance_of_mapped_points():
    u = torch.zeros(2, 2, 9, 9)
    u[:, 0] = 1
    moving = [[[3.0, 4], [2, 2]], [[5, 5], [5, 5]]]
    fixed = [[[2.0, 4], [1, 4]], [[4, 5], [4, 6]]]
    pair = pair_of((9, 9), moving, fixed, u)
    assert Keypoints().each(pair).tolist() == [(0 + 4) / 2, (0 + 1) / 2]
    assert Keypoints()(pair).item() == 1.25


def test_points_that_are_missing_or_outside_do_not_count():
    moving = [[[3.0, 4], [math.nan, 1], [1, 1], [9, 1]]]
    fixed = [[[5.0, 4], [1, 1], [1, math.nan], [1, 1]]]
    u = torch.zeros(1, 2, 9, 9, requires_grad=True)
    value = Keypoints()(pair_of((9, 9), moving, fixed, u))
    value.backward()
    assert value.item() == 4
    assert u.grad.isfinite().all()
    assert u.grad.abs().sum() == 4


def test_a_pair_without_points_is_worth_nothing():
    u = torch.zeros(1, 2, 9, 9, requires_grad=True)
    value = Keypoints()(pair_of((9, 9), [[[math.nan] * 2]], [[[1.0, 1]]], u))
    value.backward()
    assert (value.item(), u.grad.abs().sum().item()) == (0, 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_is_that_of_the_pair_alone(shape):
    pair = random_pair(shape)
    expected = torch.stack([Keypoints()(pair.one(i)) for i in range(2)])
    torch.testing.assert_close(Keypoints().each(pair), expected)
    torch.testing.assert_close(Keypoints()(pair), expected.mean())


@pytest.mark.parametrize("shape", SHAPES)
def test_descent_along_its_gradient_brings_points_together(shape):
    u = torch.zeros(2, len(shape), *shape, requires_grad=True)
    pair = random_pair(shape, u)
    first = Keypoints()(pair)
    first.backward()
    nearer = pair.at(u.detach() - 0.5 * u.grad)
    assert Keypoints()(nearer) < first


@pytest.mark.parametrize(("shape", "factors"), [((16, 24), [4, 4]), ((16, 12, 8), [2, 2, 2])])
@pytest.mark.parametrize("summed", [False, True])
def test_coarser_images_have_the_same_distances(shape, factors, summed):
    u = torch.zeros(2, len(shape), *shape)
    u[:, 0], u[:, 1] = 1.5, -0.5
    pair = random_pair(shape, u)
    metric = WeightedSum({"a": Keypoints()}, {"a": 1}) if summed else Keypoints()
    coarse = pooled_pair(pair, factors).at(pooled_displacement(u, factors))
    objective = Objective(metric, None, 1.0).coarser(factors[0])
    torch.testing.assert_close(objective.similarity(coarse), metric(pair))


def test_alone_and_in_a_sum_it_needs_landmarks():
    total = WeightedSum({"a": MSE(), "b": Keypoints()}, {"a": 1, "b": 0.5})
    for metric in (Keypoints(), total):
        line = "needs landmarks, but the data set has none"
        assert reason_without_landmarks(metric, landmarks=False) == line
        assert reason_without_landmarks(metric, landmarks=True) is None
    for metric in (MSE(), lambda pair: pair.u.sum(), WeightedSum({"a": MSE()}, {"a": 1})):
        assert reason_without_landmarks(metric, landmarks=False) is None
    pair = random_pair((17, 22))
    torch.testing.assert_close(each(total, pair), each(Keypoints(), pair) / 2)
