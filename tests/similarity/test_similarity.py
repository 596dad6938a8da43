"""Metrics: the contract over all of conf/metric."""

import pytest
import torch
from conf_options import names, setup_of, tiny_experiment
from similarity_pairs import (
    SHAPES,
    Counted,
    build_metric,
    displacement,
    images,
    same_landmarks,
    unmoved,
)

from bench.errors import Unsupported
from bench.models.method import reason_against
from bench.similarity import NCC, LabelMSE, Pair
from bench.tasks.registration.assembly import build_parts

SYMMETRIC = (
    "deepsim_ae", "deepsim_csr", "deepsim_seg", "dice", "mind", "mse", "ncc", "ncc_sup", "nmi",
    "sum", "vgg",
)  # fmt: skip
TRAINED = ("deepsim_ae", "deepsim_csr", "deepsim_seg", "sum")  # with a network to be trained
BLURRED = ("nmi",)  # metrics whose least value is above 0


SIZES = [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2)]  # axes and channels
CASES = [(name, *size) for name in names("metric") for size in SIZES]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "{}-{}D-{}".format(*case))
def case(request, datasets_of_channels, vgg_weights):
    """Name of a metric of conf/metric, the metric, and a shape and channels that it supports."""
    name, ndim, channels = request.param
    dataset = datasets_of_channels[ndim, channels]
    similarity, reason = build_metric(name, ndim, dataset, vgg_weights)
    if reason is not None:
        pytest.skip(f"{name} in {ndim}D: {reason}")
    return name, similarity, SHAPES[ndim], channels


def pair_of(moving, fixed, u, labels, classes):
    """A pair that has labels and landmarks, the same in both images."""
    return Pair(moving, fixed, u, labels, classes, landmarks=same_landmarks(u))


class TestEveryMetric:
    def test_is_a_finite_float32_scalar_with_a_gradient_in_u(self, case):
        _, metric, shape, channels = case
        u = displacement(shape).requires_grad_()
        value = metric(pair_of(*images(shape, channels=channels), u, Counted(shape), 4))
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        value.backward()
        assert u.grad.shape == u.shape
        assert torch.isfinite(u.grad).all()
        assert u.grad.abs().max() > 0

    def test_is_least_where_the_images_agree(self, case):
        name, metric, shape, channels = case
        image, _ = images(shape, channels=channels)
        labels = Counted(shape)
        labels.maps[1] = labels.maps[0]
        u = torch.zeros(2, len(shape), *shape)
        at_identity = metric(pair_of(image, image, u, labels, 4)).item()
        assert at_identity == pytest.approx(0, abs=0.5 if name in BLURRED else 2e-3)
        for seed in range(3):
            moved = pair_of(image, image, displacement(shape, size=1.5, seed=seed), labels, 4)
            assert metric(moved).item() > at_identity + 1e-6

    def test_does_not_change_its_inputs(self, case):
        _, metric, shape, channels = case
        tensors = [*images(shape, channels=channels), displacement(shape)]
        copies = [tensor.clone() for tensor in tensors]
        metric(pair_of(*tensors, Counted(shape), 4))
        assert all(torch.equal(*both) for both in zip(tensors, copies, strict=True))

    def test_gives_the_same_value_twice(self, case):
        _, metric, shape, channels = case
        values = [
            metric(
                pair_of(*images(shape, channels=channels), displacement(shape), Counted(shape), 4)
            ).item()
            for _ in range(2)
        ]
        assert values[0] == values[1]

    def test_averages_over_the_batch(self, case):
        _, metric, shape, channels = case
        moving, fixed = images(shape, channels=channels)
        u, labels = displacement(shape), Counted(shape)
        apart = []
        for i in range(2):
            one = slice(i, i + 1)
            maps = labels.maps[:, one]
            apart.append(metric(pair_of(moving[one], fixed[one], u[one], maps.unbind, 4)).item())
        whole = metric(pair_of(moving, fixed, u, labels, 4)).item()
        assert whole == pytest.approx(sum(apart) / 2, rel=1e-4, abs=1e-6)

    def test_reads_labels_once_if_it_needs_them_and_never_otherwise(self, case):
        _, metric, shape, channels = case
        labels = Counted(shape)
        metric(pair_of(*images(shape, channels=channels), displacement(shape), labels, 4))
        needs_labels = reason_against(metric, len(shape), channels, labels=False) is not None
        assert labels.calls == needs_labels

    @pytest.mark.parametrize(
        "case", [case for case in CASES if case[0] in SYMMETRIC], indirect=True, ids=str
    )
    def test_is_symmetric_where_it_claims_to_be(self, case):
        _, metric, shape, channels = case
        first, second = images(shape, channels=channels)
        labels = Counted(shape)
        there = metric(unmoved(first, second, labels)).item()
        labels.maps = labels.maps.flip(0)
        back = metric(unmoved(second, first, labels)).item()
        assert there == pytest.approx(back, rel=1e-5)
        assert there > 1e-4

    def test_is_finite_for_empty_images(self, case):
        _, metric, shape, channels = case
        empty = torch.zeros(1, channels, *shape)
        u = displacement(shape, batch=1).requires_grad_()
        value = metric(pair_of(empty, empty, u, Counted(shape, batch=1), 4))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(u.grad).all()


@pytest.mark.parametrize(("name", "ndim", "channels"), CASES)
def test_every_metric_builds_a_whole_run_or_says_why_not(
    name, ndim, channels, datasets_of_channels, vgg_weights
):
    dataset = datasets_of_channels[ndim, channels]
    experiment = tiny_experiment(ndim, f"metric={name}")
    if "state_dict" in experiment["metric"].get("extractor", {}):
        experiment = tiny_experiment(
            ndim, f"metric={name}", f"metric.extractor.state_dict={vgg_weights}"
        )
    _, reason = build_metric(name, ndim, dataset, vgg_weights)
    if reason is None:
        parts = build_parts(setup_of(experiment, dataset))
        assert [learner.network.levels for learner in parts.learners] == [3] * (name in TRAINED)
        return
    with pytest.raises(Unsupported) as raised:
        build_parts(setup_of(experiment, dataset))
    assert str(raised.value) == (
        f"metric={name} cannot be used on dataset={dataset.name}: {reason}. Choose another "
        "metric or data set."
    )


def test_vgg_says_that_it_is_two_dimensional(tiny_datasets, vgg_weights):
    _, reason = build_metric("vgg", 3, tiny_datasets[3], vgg_weights)
    assert reason == "VGG-16 is a 2D network, but the data set has 3D images"


@pytest.mark.parametrize("ndim", [2, 3])
def test_ncc_sup_is_ncc_plus_the_label_term(ndim, tiny_datasets):
    shape = SHAPES[ndim]
    ncc_sup, _ = build_metric("ncc_sup", ndim, tiny_datasets[ndim], None)
    pair = Pair(*images(shape), displacement(shape), Counted(shape), 4)
    expected = NCC(9)(pair) + LabelMSE()(pair)
    torch.testing.assert_close(ncc_sup(pair), expected)
