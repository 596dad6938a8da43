"""Metrics: the contract over all of conf/metric, and each against an independent formula."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conf_options import names, tiny_experiment

from bench.assembly import build_parts, build_similarity, load_pretrained
from bench.errors import ConfigError, DataError, Unsupported
from bench.extractors.autoencoder import Autoencoder
from bench.extractors.frozen import Extractor
from bench.registration import extractors_of
from bench.similarity import MSE, NCC, DeepSim, LabelMSE, Pair, WeightedSum
from bench.similarity.box import box_sum
from bench.similarity.deepsim import mean_cosine
from bench.similarity.pair import one_hot

SHAPES = {2: (17, 22), 3: (10, 13, 15)}
SYMMETRIC = (
    "deepsim_ae", "deepsim_csr", "deepsim_seg", "dice", "mind", "mse", "ncc", "ncc_sup", "nmi",
    "sum", "vgg",
)  # fmt: skip
BLURRED = ("nmi",)  # metrics whose least value is above 0


def images(shape, batch=2, channels=1, seed=0, dtype=torch.float32):
    """Two random images in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    size = (2, batch, channels, *shape)
    return torch.rand(size, generator=generator, dtype=dtype).unbind()


def displacement(shape, batch=2, size=0.7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(batch, len(shape), *shape, generator=generator)


class Counted:
    """Label maps that know how often they were asked for."""

    def __init__(self, shape, batch=2, classes=4):
        generator = torch.Generator().manual_seed(5)
        size = (2, batch, 1, *shape)
        self.maps = torch.randint(classes, size, generator=generator, dtype=torch.uint8)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.maps[0], self.maps[1]


def unmoved(moving, fixed, labels=None, classes=4):
    u = torch.zeros(len(moving), moving.ndim - 2, *moving.shape[2:], dtype=moving.dtype)
    return Pair(moving, fixed, u, labels, classes)


def build_metric(name, ndim, dataset, weights):
    """The metric on the demo, its extractor untrained, and why it is not supported, if so."""
    experiment = tiny_experiment(ndim, f"metric={name}")
    if "weights" in experiment["metric"]:
        experiment = tiny_experiment(ndim, f"metric={name}", f"metric.weights={weights}")
    similarity = build_similarity(experiment["metric"], experiment, dataset, [], {})
    reason = similarity.supports(ndim, dataset.channels, dataset.has_labels)
    if reason is None:
        load_pretrained(similarity, experiment)
    return similarity, reason


CASES = [(name, ndim) for name in names("metric") for ndim in (2, 3)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{case[1]}D")
def case(request, tiny_datasets, vgg_weights):
    """Name of a metric of conf/metric, the metric, and an odd shape that it supports."""
    name, ndim = request.param
    similarity, reason = build_metric(name, ndim, tiny_datasets[ndim], vgg_weights)
    if reason is not None:
        pytest.skip(f"{name} in {ndim}D: {reason}")
    return name, similarity, SHAPES[ndim]


class TestEveryMetric:
    def test_is_a_finite_float32_scalar_with_a_gradient_in_u(self, case):
        _, metric, shape = case
        u = displacement(shape).requires_grad_()
        value = metric(Pair(*images(shape), u, Counted(shape), 4))
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        value.backward()
        assert u.grad.shape == u.shape
        assert torch.isfinite(u.grad).all()
        assert u.grad.abs().max() > 0

    def test_is_least_where_the_images_agree(self, case):
        name, metric, shape = case
        image, _ = images(shape)
        labels = Counted(shape)
        labels.maps[1] = labels.maps[0]
        u = torch.zeros(2, len(shape), *shape)
        at_identity = metric(Pair(image, image, u, labels, 4)).item()
        assert at_identity == pytest.approx(0, abs=0.5 if name in BLURRED else 2e-3)
        for seed in range(3):
            moved = Pair(image, image, displacement(shape, size=1.5, seed=seed), labels, 4)
            assert metric(moved).item() > at_identity + 1e-6

    def test_does_not_change_its_inputs(self, case):
        _, metric, shape = case
        tensors = [*images(shape), displacement(shape)]
        copies = [tensor.clone() for tensor in tensors]
        metric(Pair(*tensors, Counted(shape), 4))
        assert all(torch.equal(*both) for both in zip(tensors, copies, strict=True))

    def test_gives_the_same_value_twice(self, case):
        _, metric, shape = case
        values = [
            metric(Pair(*images(shape), displacement(shape), Counted(shape), 4)).item()
            for _ in range(2)
        ]
        assert values[0] == values[1]

    def test_averages_over_the_batch(self, case):
        _, metric, shape = case
        moving, fixed = images(shape)
        u, labels = displacement(shape), Counted(shape)
        apart = []
        for i in range(2):
            one = slice(i, i + 1)
            maps = labels.maps[:, one]
            apart.append(metric(Pair(moving[one], fixed[one], u[one], maps.unbind, 4)).item())
        whole = metric(Pair(moving, fixed, u, labels, 4)).item()
        assert whole == pytest.approx(sum(apart) / 2, rel=1e-4, abs=1e-6)

    def test_reads_labels_once_if_it_needs_them_and_never_otherwise(self, case):
        _, metric, shape = case
        labels = Counted(shape)
        metric(Pair(*images(shape), displacement(shape), labels, 4))
        needs_labels = metric.supports(len(shape), 1, labels=False) is not None
        assert labels.calls == needs_labels

    def test_is_symmetric_where_it_claims_to_be(self, case):
        name, metric, shape = case
        if name not in SYMMETRIC:
            pytest.skip(f"{name} does not claim to be symmetric")
        first, second = images(shape)
        labels = Counted(shape)
        there = metric(unmoved(first, second, labels)).item()
        labels.maps = labels.maps.flip(0)
        back = metric(unmoved(second, first, labels)).item()
        assert there == pytest.approx(back, rel=1e-5)
        assert there > 1e-4

    def test_is_finite_for_empty_images(self, case):
        _, metric, shape = case
        empty = torch.zeros(1, 1, *shape)
        u = displacement(shape, batch=1).requires_grad_()
        value = metric(Pair(empty, empty, u, Counted(shape, batch=1), 4))
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(u.grad).all()


@pytest.mark.parametrize(("name", "ndim"), CASES)
def test_every_metric_builds_a_whole_run_or_says_why_not(name, ndim, tiny_datasets, vgg_weights):
    dataset = tiny_datasets[ndim]
    experiment = tiny_experiment(ndim, f"metric={name}")
    if "weights" in experiment["metric"]:
        experiment = tiny_experiment(ndim, f"metric={name}", f"metric.weights={vgg_weights}")
    _, reason = build_metric(name, ndim, dataset, vgg_weights)
    if reason is None:
        parts = build_parts(experiment, dataset)
        assert [network.levels for network, *_ in parts.surrogates] == [
            extractor.levels
            for extractor in extractors_of(parts.similarity)
            if hasattr(extractor.network, "task")
        ]
        return
    with pytest.raises(Unsupported) as raised:
        build_parts(experiment, dataset)
    assert str(raised.value) == (
        f"metric={name} cannot be used on dataset={dataset.name}: {reason}. Choose another "
        "metric or data set."
    )


def test_vgg_says_that_it_is_two_dimensional(tiny_datasets, vgg_weights):
    _, reason = build_metric("vgg", 3, tiny_datasets[3], vgg_weights)
    assert reason == "VGG-16 is a 2D network and the data set has 3D images"


class TestPair:
    def test_derives_once_and_only_on_demand(self):
        labels = Counted((17, 22))
        pair = Pair(*images((17, 22)), displacement((17, 22)), labels, 4)
        assert pair.warped is pair.warped
        assert labels.calls == 0
        assert pair.warped_labels is pair.warped_labels
        assert pair.fixed_labels.shape == (2, 4, 17, 22)
        assert labels.calls == 1

    def test_warped_labels_are_shares_of_classes(self):
        pair = Pair(*images((10, 13, 15)), displacement((10, 13, 15)), Counted((10, 13, 15)), 4)
        total = pair.warped_labels.sum(dim=1)
        torch.testing.assert_close(total, torch.ones_like(total))
        assert pair.warped_labels.min() >= 0

    def test_without_labels_says_so(self):
        with pytest.raises(DataError, match="the metric asks for labels, but the data set has"):
            _ = unmoved(*images((4, 5))).fixed_labels

    def test_one_hot(self):
        found = one_hot(torch.tensor([[[[0, 2], [1, 0]]]], dtype=torch.uint8), 3)
        assert found.dtype == torch.float32
        assert found[0].tolist() == [[[1, 0], [0, 1]], [[0, 0], [1, 0]], [[0, 1], [0, 0]]]


def dense_ncc(warped, fixed, window):
    """The metric by a dense convolution with a box of ones, in the images' precision."""

    ndim = warped.ndim - 2
    convolve = {2: F.conv2d, 3: F.conv3d}[ndim]
    voxels = window**ndim

    def box(image):
        ones = torch.ones(1, 1, *[window] * ndim, dtype=image.dtype)
        flat = image.reshape(-1, 1, *image.shape[2:])
        return convolve(flat, ones, padding=window // 2).reshape(image.shape)

    i, j = box(warped), box(fixed)
    cross = box(warped * fixed) - i * j / voxels
    variance_i = box(warped**2) - i**2 / voxels
    variance_j = box(fixed**2) - j**2 / voxels
    return 1 - (cross**2 / (variance_i * variance_j + 1e-5)).mean()


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15), (5, 6)])
@pytest.mark.parametrize("window", [1, 3, 5, 9])
@pytest.mark.parametrize("channels", [1, 2])
def test_ncc_and_its_gradient_agree_with_a_dense_convolution(shape, window, channels):
    results = []
    for formula in (lambda a, b: NCC(window)(unmoved(a, b)), lambda a, b: dense_ncc(a, b, window)):
        moving, fixed = images(shape, channels=channels, dtype=torch.float64)
        moving.requires_grad_()
        fixed.requires_grad_()
        value = formula(moving, fixed)
        value.backward()
        results.append((value.detach(), moving.grad, fixed.grad))
    for ours, dense in zip(*results, strict=True):
        torch.testing.assert_close(ours, dense, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 3)])
def test_gradient_of_ncc(shape):
    tensors = [i.requires_grad_() for i in images(shape, batch=1, dtype=torch.float64)]
    assert torch.autograd.gradcheck(lambda a, b: NCC(3)(unmoved(a, b)), tensors)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize("window", [1, 3, 7, 9, 11])
def test_box_sum_agrees_with_a_dense_convolution(shape, window):
    image, _ = images(shape, channels=2, dtype=torch.float64)
    convolve = {2: F.conv2d, 3: F.conv3d}[len(shape)]
    ones = torch.ones(2, 1, *[window] * len(shape), dtype=torch.float64)
    expected = convolve(image, ones, padding=window // 2, groups=2)
    torch.testing.assert_close(box_sum(image, window), expected)


@pytest.mark.parametrize("shape", [(31, 34), (19, 20, 21)])
@pytest.mark.parametrize("gain", [3.5, -2.0])
def test_ncc_does_not_see_gain(shape, gain):
    moving, fixed = images(shape)
    plain = NCC()(unmoved(moving, fixed)).item()
    assert plain > 0.5
    assert NCC()(unmoved(moving, gain * fixed)).item() == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("shape", [(31, 34), (19, 20, 21)])
def test_ncc_does_not_see_bias_where_windows_lie_inside_the_image(shape):
    """The gradient at the centre depends on the bias only through windows that hold zeros."""
    gradients = []
    for bias in (0.0, 0.7):
        moving, fixed = images(shape, dtype=torch.float64)
        moving.requires_grad_()
        NCC(5)(unmoved(moving, fixed + bias)).backward()
        gradients.append(moving.grad[(..., *[slice(4, -4)] * len(shape))])
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-12)
    assert gradients[0].abs().max() > 1e-6


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 200.0])
def test_ncc_of_constant_images_is_one_without_nan(level):
    constant = torch.full((1, 1, 30, 31), level)
    u = torch.zeros(1, 2, 30, 31, requires_grad=True)
    value = NCC()(Pair(constant, constant, u))
    value.backward()
    assert torch.isfinite(value)
    assert 0 <= value.item() <= 1
    assert torch.isfinite(u.grad).all()


@pytest.mark.parametrize("window", [0, 4, -3, 2.5])
def test_ncc_refuses_a_window_that_has_no_centre(window):
    with pytest.raises(ConfigError, match=f"metric.window={window}: must be an odd whole number"):
        NCC(window)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_mse_is_the_mean_squared_difference_after_warping(shape):
    moving, fixed = images(shape, channels=2)
    pair = Pair(moving, fixed, displacement(shape))
    expected = np.mean((pair.warped.numpy().astype(float) - fixed.numpy()) ** 2)
    assert MSE()(pair).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_mean_cosine_agrees_with_numpy(shape):
    a, b = (image - 0.5 for image in images(shape, channels=5))
    a[0, :, 3] = 0  # without features: cosine 0
    dot = (a * b).sum(1).numpy()
    squares = [(x.numpy().astype(float) ** 2).sum(1).clip(1e-6) for x in (a, b)]
    expected = np.mean(dot / np.sqrt(squares[0] * squares[1]))
    assert mean_cosine(a, b).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("levels", [(1,), (3,), (1, 3), (1, 2, 3)])
def test_deepsim_averages_one_minus_cosine_over_the_levels_chosen(levels):
    torch.manual_seed(0)
    extractor = Extractor(Autoencoder(2, 1, 0, [4, 6, 8], norm=False, dropout=False))
    pair = Pair(*images((17, 22)), displacement((17, 22)))
    features = zip(extractor(pair.warped), extractor(pair.fixed), strict=True)
    cosines = []
    for a, b in features:
        a, b = a.double().numpy(), b.double().numpy()
        norms = np.sqrt((a**2).sum(1).clip(1e-6) * (b**2).sum(1).clip(1e-6))
        cosines.append(((a * b).sum(1) / norms).mean())
    expected = 1 - np.mean([cosines[level - 1] for level in levels])
    assert DeepSim(extractor, levels)(pair).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("levels", [(), (0,), (1, 4)])
def test_deepsim_refuses_levels_that_the_extractor_lacks(levels):
    extractor = Extractor(Autoencoder(2, 1, 0, [4, 6, 8]))
    with pytest.raises(ConfigError, match=r"the extractor has levels \[1, 2, 3\]; name one or"):
        DeepSim(extractor, levels)


def test_deepsim_leaves_its_extractor_alone():
    torch.manual_seed(0)
    network = Autoencoder(2, 1, 0, [4, 6, 8], norm=True, dropout=True)
    metric = DeepSim(Extractor(network))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    u = displacement((17, 22)).requires_grad_()
    metric(Pair(*images((17, 22)), u)).backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_label_mse_is_the_mean_over_voxels_and_classes(shape):
    labels = Counted(shape)
    value = LabelMSE()(unmoved(*images(shape), labels)).item()
    differing = (labels.maps[0] != labels.maps[1]).double().mean().item()
    assert value == pytest.approx(2 * differing / 4, rel=1e-5)


def test_label_mse_needs_labels():
    assert LabelMSE().supports(2, 1, labels=True) is None
    assert LabelMSE().supports(2, 1, labels=False) == "needs labels, and the data set has none"


@pytest.mark.parametrize("ndim", [2, 3])
def test_ncc_sup_is_ncc_plus_the_label_term(ndim, tiny_datasets):
    shape = SHAPES[ndim]
    ncc_sup, _ = build_metric("ncc_sup", ndim, tiny_datasets[ndim], None)
    pair = Pair(*images(shape), displacement(shape), Counted(shape), 4)
    expected = NCC(9)(pair) + LabelMSE()(pair)
    torch.testing.assert_close(ncc_sup(pair), expected)


def test_weighted_sum_multiplies_by_its_factors_and_sums_their_reasons():
    metric = WeightedSum({"a": MSE(), "b": LabelMSE()}, {"a": 2.0, "b": 0.5})
    pair = Pair(*images((17, 22)), displacement((17, 22)), Counted((17, 22)), 4)
    torch.testing.assert_close(metric(pair), 2 * MSE()(pair) + 0.5 * LabelMSE()(pair))
    assert metric.supports(2, 1, True) is None
    assert metric.supports(2, 1, False) == "b: needs labels, and the data set has none"


def test_weighted_sum_needs_a_factor_for_each_term():
    with pytest.raises(ConfigError, match=r"factors has \['b'\] but metric.terms has \['a'\]"):
        WeightedSum({"a": MSE()}, {"b": 1.0})
