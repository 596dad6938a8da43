"""MIND-SSC against shifted patches, all channels at a time."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from similarity_pairs import images, kept_for_backward, unmoved, value_and_gradient, warped_to

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.similarity import MIND
from bench.similarity.mind import channel_offsets

SIZES = [((17, 22), 1, 1), ((12, 9), 2, 2), ((10, 7, 8), 2, 1), ((5, 6, 7), 1, 2)]


def neighbours_at_right_angles(ndim, dilation):
    """Pairs of the neighbours along the axes whose directions are orthogonal."""
    directions = [
        sign * dilation * direction for direction in np.eye(ndim, dtype=int) for sign in (1, -1)
    ]
    return [(a, b) for a, b in itertools.combinations(directions, 2) if a @ b == 0]


def plain_descriptor(image, radius, dilation):
    """(N, channels, *S) of (N, 1, *S): shift, square, average, divide by the variance."""
    shape = image.shape[2:]
    reach = radius + dilation
    padded = F.pad(image, [reach] * (2 * len(shape)), mode="replicate")
    pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[len(shape)]

    def seen_from(offset):
        window = [
            slice(dilation + by, dilation + by + size + 2 * radius)
            for by, size in zip(offset, shape, strict=True)
        ]
        return padded[(..., *window)]

    distances = torch.cat(
        [
            pool((seen_from(a) - seen_from(b)).square(), 2 * radius + 1, stride=1)
            for a, b in neighbours_at_right_angles(len(shape), dilation)
        ],
        dim=1,
    )
    above = distances - distances.amin(1, keepdim=True)
    variance = above.mean(1, keepdim=True)
    mean = variance.detach().flatten(1).mean(1).view(-1, *[1] * (len(shape) + 1))
    return torch.exp(-above / variance.clamp(1e-3 * mean, 1e3 * mean))


def plain_mind(warped, fixed, radius, dilation):
    first, second = (
        plain_descriptor(image.flatten(0, 1)[:, None], radius, dilation)
        for image in (warped, fixed)
    )
    return (first - second).square().mean()


def assert_agrees_with_the_formula(warped, fixed, radius, dilation):
    metric = MIND(radius, dilation)
    ours = value_and_gradient(lambda i: metric(warped_to(i, fixed)), warped)
    plain = value_and_gradient(lambda i: plain_mind(i, fixed, radius, dilation), warped)
    assert plain[0] > 1e-3
    torch.testing.assert_close(ours[0], plain[0], rtol=1e-9, atol=0)
    scale = plain[1].abs().max().item()
    torch.testing.assert_close(ours[1], plain[1], rtol=1e-8, atol=1e-9 * scale)


@pytest.mark.parametrize(("ndim", "count"), [(2, 4), (3, 12)])
@pytest.mark.parametrize("dilation", [1, 3])
def test_each_channel_compares_two_neighbours_at_right_angles(ndim, count, dilation):
    expected = {
        frozenset((tuple(a.tolist()), tuple(b.tolist())))
        for a, b in neighbours_at_right_angles(ndim, dilation)
    }
    found = [frozenset(pair) for pair in channel_offsets(ndim, dilation)]
    assert len(found) == len(set(found)) == len(expected) == count
    assert set(found) == expected


@pytest.mark.parametrize(("shape", "batch", "channels"), SIZES)
@pytest.mark.parametrize(("radius", "dilation"), [(1, 1), (2, 2), (1, 3), (3, 1)])
def test_value_and_gradient_agree_with_the_formula(shape, batch, channels, radius, dilation):
    warped, fixed = images(shape, batch, channels, dtype=torch.float64)
    assert_agrees_with_the_formula(warped, fixed, radius, dilation)


@pytest.mark.parametrize("shape", [(40, 50), (17, 18, 16)])
def test_small_variances_are_clamped(shape):
    """Half of the image is so faint that its variance is below a thousandth of the mean."""
    warped, fixed = images(shape, dtype=torch.float64)
    for image in (warped, fixed):
        image[:, :, : shape[0] // 2] *= 1e-3
    assert_agrees_with_the_formula(warped, fixed, 1, 1)


def test_large_variances_are_clamped():
    """A single bright voxel among more than a thousand times as many as it is seen from."""
    warped, fixed = images((200, 200), batch=1, dtype=torch.float64)
    warped *= 1e-4
    warped[..., 100, 100] = 1
    assert_agrees_with_the_formula(warped, fixed, 1, 1)


@pytest.mark.parametrize("shape", [(5, 6), (4, 3, 5)])
@pytest.mark.parametrize("channels", [1, 2])
def test_gradient_of_mind(shape, channels):
    warped, fixed = images(shape, batch=1, channels=channels, dtype=torch.float64)

    def metric(warped):
        return MIND(1, 1)(warped_to(warped, fixed))

    assert torch.autograd.gradcheck(metric, warped.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize(("gain", "bias"), [(3.5, 0.0), (1.0, 4.0), (-2.0, 0.3)])
def test_mind_sees_neither_gain_nor_bias_of_an_image(shape, gain, bias):
    warped, fixed = images(shape, dtype=torch.float64)
    plain = MIND()(warped_to(warped, fixed))
    torch.testing.assert_close(MIND()(warped_to(gain * warped + bias, fixed)), plain)
    torch.testing.assert_close(MIND()(warped_to(warped, gain * fixed + bias)), plain)


def test_each_image_of_a_batch_has_its_own_mean_variance():
    warped, fixed = images((17, 22), batch=2, dtype=torch.float64)
    warped[0, :, :8] *= 1e-3
    scaled = warped * torch.tensor([1.0, 1e3]).view(2, 1, 1, 1)
    plain = MIND()(warped_to(warped, fixed))
    torch.testing.assert_close(MIND()(warped_to(scaled, fixed)), plain)


@pytest.mark.parametrize("shape", [(17, 22), (6, 7, 8)])
@pytest.mark.parametrize("level", [0.0, 0.3, 200.0])
def test_constant_images_are_finite(shape, level):
    constant = torch.full((2, 1, *shape), level)
    varied, _ = images(shape)
    for both in ((constant, varied), (varied, constant), (constant, constant)):
        value, gradient = value_and_gradient(lambda i, j: MIND()(warped_to(i, j)), *both)
        assert 0 <= value <= 1
        assert torch.isfinite(gradient).all()
    assert value == 0


@pytest.mark.parametrize("shape", [(17, 22), (6, 7, 8)])
def test_float32_agrees_with_float64(shape):
    warped, fixed = images(shape)
    value = MIND()(warped_to(warped, fixed))
    precise = MIND()(warped_to(warped.double(), fixed.double()))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(precise.item(), rel=1e-4)


def test_no_descriptor_is_kept_for_the_backward_pass():
    warped, fixed = images((100, 100))
    kept = kept_for_backward(lambda i: MIND()(warped_to(i, fixed)), warped)
    assert kept < 3 * warped.numel()


def test_patches_may_be_larger_than_the_image():
    assert torch.isfinite(MIND(4, 3)(unmoved(*images((3, 2, 4)))))


@pytest.mark.parametrize("name", ["radius", "dilation"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2"])
def test_a_radius_or_dilation_below_one_is_refused(name, value):
    words = f"metric.{name}={quoted(value)}: must be a whole number of at least 1."
    with pytest.raises(ConfigError, match=words):
        MIND(**{name: value})
