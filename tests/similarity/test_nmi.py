"""Normalized mutual information against a dense Parzen histogram."""

import math

import pytest
import torch
from similarity_pairs import Allocations, displacement, images, value_and_gradient, warped_to

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.similarity import NMI, Pair
from bench.similarity import nmi as module

SIZES = [((17, 22), 1, 1), ((17, 22), 2, 2), ((10, 13, 15), 2, 1), ((6, 7, 8), 1, 2)]


def dense_nmi(warped, fixed, moving, bins):
    """The metric with windows over all bins, a (voxels, bins) table for each image."""

    def windows(image, whole):
        low, high = whole.min(), whole.max()
        positions = 2 + (image - low) / (high - low) * (bins - 5)
        variance = 1 / (8 * math.log(2))
        return (-((positions[:, None] - torch.arange(bins)) ** 2) / (2 * variance)).softmax(1)

    def entropy(shares):
        return -torch.xlogy(shares, shares.clamp(min=1e-300)).sum()

    found = []
    for i, j, whole in zip(
        *(x.flatten(0, 1).flatten(1) for x in (warped, fixed, moving)), strict=True
    ):
        ours, theirs = windows(i, whole), windows(j, j)
        joint = ours.T @ theirs / len(i)
        found.append(2 - (entropy(joint.sum(1)) + entropy(joint.sum(0))) / entropy(joint))
    return torch.stack(found).mean()


def related(shape, batch=1, channels=1, noise=0.1):
    """An image and a curve of it with noise, float64."""
    first, second = images(shape, batch, channels, dtype=torch.float64)
    return first, 1 - first**2 + noise * second


def smooth(shape):
    """A wave along each axis."""
    axes = [torch.linspace(0, 4 + i, size).sin() for i, size in enumerate(shape)]
    return sum(torch.meshgrid(*axes, indexing="ij"))[None, None]


@pytest.mark.parametrize(("shape", "batch", "channels"), SIZES)
@pytest.mark.parametrize("bins", [6, 16, 64])
def test_value_and_gradient_agree_with_a_dense_histogram(shape, batch, channels, bins):
    warped, fixed = related(shape, batch, channels)
    ours = value_and_gradient(lambda i: NMI(bins)(warped_to(i, fixed, moving=warped)), warped)
    dense = value_and_gradient(lambda i: dense_nmi(i, fixed, warped, bins), warped)
    torch.testing.assert_close(ours[0], dense[0], rtol=1e-6, atol=1e-7)
    scale = dense[1].abs().max().item()
    torch.testing.assert_close(ours[1], dense[1], rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 3)])
@pytest.mark.parametrize("channels", [1, 2])
def test_gradient_of_nmi(shape, channels):
    warped, fixed = related(shape, 2, channels)
    moving = warped.clone()

    def metric(warped):
        return NMI(8)(warped_to(warped, fixed, moving=moving))

    assert torch.autograd.gradcheck(metric, warped.requires_grad_(), atol=1e-5)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize(("gain", "bias"), [(3.5, 0.0), (1.0, -7.0), (0.01, 5.0), (-2.0, 1.0)])
def test_gain_and_bias_of_either_image_change_nothing(shape, gain, bias):
    warped, fixed = related(shape)
    plain = NMI()(warped_to(warped, fixed)).item()
    assert NMI()(warped_to(gain * warped + bias, fixed)).item() == pytest.approx(plain, abs=1e-9)
    assert NMI()(warped_to(warped, gain * fixed + bias)).item() == pytest.approx(plain, abs=1e-9)


def test_a_monotone_curve_of_the_intensities_changes_little():
    first, second = (smooth((40, 50)).double() + 0.2 * image for image in related((40, 50)))
    plain = NMI()(warped_to(first, first)).item()
    curved = NMI()(warped_to(torch.exp(0.5 * first), first)).item()
    unrelated = NMI()(warped_to(second.flip(2), first)).item()
    assert curved != pytest.approx(plain, abs=1e-6)
    assert abs(curved - plain) < 0.2 * (unrelated - plain)


@pytest.mark.parametrize("shape", [(30, 40), (12, 15, 14)])
def test_nmi_rises_with_the_distance_of_images_whose_contrast_is_inverted(shape):
    image = smooth(shape)
    values = [
        NMI(32)(warped_to(image.roll(by, dims=2), 1 - image.square())).item() for by in (0, 1, 3)
    ]
    assert values == sorted(values)
    assert values[2] > values[0] + 0.01


def test_nmi_lies_between_zero_and_one():
    first, second = images((60, 70))
    assert 0 < NMI()(warped_to(first, first)).item() < 0.5
    assert 0.5 < NMI(8)(warped_to(first, second)).item() <= 1


@pytest.mark.parametrize("level", [0.0, 0.3, 200.0])
def test_constant_images_are_finite(level):
    constant = torch.full((2, 1, 17, 22), level)
    varied, _ = images((17, 22))
    for warped, fixed in ((constant, varied), (varied, constant), (constant, constant)):
        value, gradient = value_and_gradient(
            lambda i, fixed=fixed, warped=warped: NMI()(warped_to(i, fixed, moving=warped)), warped
        )
        assert value.item() == pytest.approx(1, abs=1e-3)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("shape", [(24, 20), (10, 13, 15)])
@pytest.mark.parametrize("fraction", [1, 0.2])
@pytest.mark.parametrize("level", [0.3, 200.0])
def test_a_constant_image_that_is_warped_is_finite(shape, fraction, level):
    moving, fixed = images(shape)
    moving[1] = level  # interpolation leaves this by rounding
    u = displacement(shape).requires_grad_()
    value = NMI(fraction=fraction)(Pair(moving, fixed, u))
    value.backward()
    assert 0 < value.item() < 1 + 1e-6
    assert u.grad[0].abs().max() > 0
    assert u.grad[1].abs().max() == 0


def test_channels_and_pairs_are_averaged():
    warped, fixed = related((17, 22), batch=2, channels=2)
    apart = [
        NMI()(warped_to(warped[i : i + 1, c : c + 1], fixed[i : i + 1, c : c + 1])).item()
        for i in range(2)
        for c in range(2)
    ]
    assert NMI()(warped_to(warped, fixed)).item() == pytest.approx(sum(apart) / 4, rel=1e-9)


def test_a_share_of_the_voxels_is_drawn_by_torchs_random_numbers():
    pair = warped_to(*related((30, 30)))
    metric = NMI(16, fraction=0.3)
    torch.manual_seed(3)
    first, second = metric(pair).item(), metric(pair).item()
    torch.manual_seed(3)
    assert (metric(pair).item(), metric(pair).item()) == (first, second)
    assert first != second


def test_a_share_of_the_voxels_comes_close_to_all_of_them():
    torch.manual_seed(0)
    pair = warped_to(*related((120, 130)))
    full = NMI(16)(pair).item()
    values = [NMI(16, fraction=0.3)(pair).item() for _ in range(5)]
    assert values == pytest.approx([full] * 5, abs=0.02)


@pytest.mark.parametrize("fraction", [0.05, 0.3])
def test_only_voxels_that_were_drawn_have_a_gradient(fraction):
    torch.manual_seed(0)
    warped, fixed = related((30, 30))
    _, gradient = value_and_gradient(lambda i: NMI(16, fraction)(warped_to(i, fixed)), warped)
    assert 0.5 * fraction < (gradient != 0).double().mean() <= fraction


def test_a_fraction_below_one_voxel_looks_at_one():
    value, gradient = value_and_gradient(
        lambda i, j: NMI(16, 1e-6)(warped_to(i, j)), *related((4, 5))
    )
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


def test_chunks_change_nothing(monkeypatch):
    warped, fixed = related((17, 22), batch=2)
    whole = value_and_gradient(lambda i: NMI()(warped_to(i, fixed)), warped)
    monkeypatch.setattr(module, "CHUNK", {"cpu": 50, "cuda": 50})
    parts = value_and_gradient(lambda i: NMI()(warped_to(i, fixed)), warped)
    torch.testing.assert_close(whole, parts, rtol=1e-12, atol=1e-15)


def test_neither_pass_holds_more_than_a_few_values_per_voxel():
    warped, fixed = images((800, 800), batch=1)
    assert warped.numel() > 10 * module.CHUNK["cpu"]
    pair = warped_to(warped.requires_grad_(), fixed)
    with Allocations(warped, fixed) as allocations:
        NMI(64)(pair).backward()
    assert allocations.largest < 4 * warped.nbytes
    assert allocations.peak < 16 * warped.nbytes


@pytest.mark.parametrize("bins", [5, 0, -64, 64.0, "64"])
def test_too_few_bins_are_refused(bins):
    words = f"metric.bins={quoted(bins)}: must be a whole number of at least 6, such as 64."
    with pytest.raises(ConfigError, match=words):
        NMI(bins)


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, float("nan")])
def test_fractions_that_are_none_are_refused(fraction):
    words = f"metric.fraction={fraction}: must be above 0 and at most 1."
    with pytest.raises(ConfigError, match=words):
        NMI(fraction=fraction)
