"""Normalized cross-correlation: local and global, in a mask, above a floor."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from similarity_pairs import (
    Counted,
    images,
    kept_for_backward,
    unmoved,
    value_and_gradient,
    warped_to,
)

from bench.config.overrides import quoted
from bench.errors import ConfigError, Unsupported
from bench.similarity import NCC, Pair

OPTIONS = [
    {"window": 3},
    {"window": 3, "floor": 0.02},
    {"window": 3, "mask": "foreground"},
    {"window": 5, "mask": "labels", "floor": 0.1},
    {"window": "whole"},
    {"window": "whole", "mask": "foreground"},
    {"window": "whole", "mask": "labels"},
]
SMALL = [(5, 7), (5, 6, 7)]


def padded_images(shape, channels=1, dtype=torch.float64):
    """Two random images, the fixed one zero in half of the voxels."""
    moving, fixed = images(shape, channels=channels, dtype=dtype)
    return moving, (fixed - 0.5).clamp(min=0)


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


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15), (9, 10)])
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
    assert torch.autograd.gradcheck(lambda a, b: NCC(3)(unmoved(a, b)), tensors, fast_mode=True)


def inside_of(mask, fixed, labels):
    """(B, *S) of zeros and ones."""
    if mask is None:
        return np.ones(fixed[:, 0].shape)
    if mask == "labels":
        return 1.0 * (labels[:, 0] > 0)
    return 1.0 * (fixed > 0).any(1)


def looped_ncc(warped, fixed, inside, window, floor=0.0):
    """The local metric voxel by voxel, in NumPy."""
    shape = warped.shape[2:]
    widths = [(0, 0), (0, 0), *[(window // 2, window // 2)] * len(shape)]
    warped, fixed = np.pad(warped, widths), np.pad(fixed, widths)
    losses = []
    for n in range(len(warped)):
        total = 0.0
        for p in itertools.product(*map(range, shape)):
            box = tuple(slice(start, start + window) for start in p)
            for c in range(warped.shape[1]):
                i, j = warped[(n, c, *box)], fixed[(n, c, *box)]
                i, j = i - i.mean(), j - j.mean()
                variances = [(x**2).sum() + floor * x.size for x in (i, j)]
                cc = (i * j).sum() ** 2 / (variances[0] * variances[1] + 1e-5)
                total += inside[n][p] * (1 - cc) / warped.shape[1]
        losses.append(total / inside[n].sum())
    return np.mean(losses)


def plain_global_ncc(warped, fixed, inside):
    """The global metric by NumPy's correlation coefficients."""
    losses = []
    for i, j, where in zip(warped, fixed, inside, strict=True):
        for a, b in zip(i, j, strict=True):
            losses.append(1 - np.corrcoef(a[where > 0], b[where > 0])[0, 1] ** 2)
    return np.mean(losses)


@pytest.mark.parametrize("shape", SMALL)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_agree_with_loops(shape, channels, options):
    warped, fixed = padded_images(shape, channels)
    labels = Counted(shape)
    value = NCC(**options)(warped_to(warped, fixed, labels)).item()
    inside = inside_of(options.get("mask"), fixed.numpy(), labels.maps[1].numpy())
    if options["window"] == "whole":
        expected = plain_global_ncc(warped.numpy(), fixed.numpy(), inside)
    else:
        floor = options.get("floor", 0)
        expected = looped_ncc(warped.numpy(), fixed.numpy(), inside, options["window"], floor)
    assert 0.1 < value < 1
    assert value == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", SMALL)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradient_of_every_option(shape, options):
    """In both images, but for a mask that the fixed one makes."""
    warped, fixed = padded_images(shape)
    labels = Counted(shape)

    def metric(warped, fixed):
        return NCC(**options)(warped_to(warped, fixed, labels))

    fixed.requires_grad_(options.get("mask") != "foreground")
    assert torch.autograd.gradcheck(metric, (warped.requires_grad_(), fixed), fast_mode=True)


@pytest.mark.parametrize("options", [*OPTIONS, {"window": 1}], ids=str)
def test_images_stay_as_they_are(options):
    tensors = [image.requires_grad_() for image in images((17, 22), channels=2)]
    copies = [tensor.detach().clone() for tensor in tensors]
    NCC(**options)(warped_to(*tensors, Counted((17, 22)))).backward()
    assert all(torch.equal(*both) for both in zip(tensors, copies, strict=True))


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


@pytest.mark.parametrize("mask", [None, "foreground", "labels"])
@pytest.mark.parametrize(("gain", "bias"), [(3.5, 0.4), (-2.0, -1.0), (0.02, 0.5)])
def test_global_ncc_sees_neither_gain_nor_bias(mask, gain, bias):
    warped, fixed = padded_images((17, 22))
    labels = Counted((17, 22))
    metric = NCC("whole", mask)
    plain = metric(warped_to(warped, fixed, labels))
    changed = metric(warped_to(gain * warped + bias, fixed, labels))
    torch.testing.assert_close(plain, changed)
    same = metric(warped_to(gain * fixed + bias, fixed, labels))
    assert same.item() == pytest.approx(0, abs=1e-6)


def test_floor_takes_faint_noise_out_of_the_gradient_and_leaves_edges():
    """Ten times the noise in variance, a tenth of the edge."""
    generator = torch.Generator().manual_seed(0)
    warped, fixed = 0.05 * torch.randn(2, 1, 1, 40, 20, generator=generator)
    warped[..., 30:, :] += 1
    fixed[..., 31:, :] += 1
    noise, edge = [], []
    for floor in (0.0, 0.025):
        _, gradient = value_and_gradient(
            lambda i, floor=floor: NCC(5, floor=floor)(warped_to(i, fixed)), warped
        )
        noise.append(gradient[..., 5:20, :].abs().mean().item())
        edge.append(gradient[..., 28:33, :].abs().mean().item())
    assert noise[1] < 0.05 * noise[0]
    assert edge[1] > 0.3 * edge[0]


def test_floor_takes_its_share_of_the_correlation():
    image = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    image[..., ::2, :] = 0.5
    pair = warped_to(image, image)
    variance = image.var(unbiased=False).item() * 9
    expected = 1 - variance**2 / ((variance + 9 * 0.1) ** 2 + 1e-5)
    labels = Counted((3, 3), batch=1)
    labels.maps[1] = 0
    labels.maps[1][..., 1, 1] = 1
    pair = warped_to(image, image, labels)
    assert NCC(3, "labels", floor=0.1)(pair).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize("window", [1, 3, 5])
def test_what_lies_beyond_the_windows_of_the_mask_does_not_count(shape, window):
    """Neither for the value nor for the gradient; the voxels that the windows reach do."""
    labels = Counted(shape)
    labels.maps[1] = 0
    labels.maps[1][(..., *[slice(4, 6)] * len(shape))] = 1
    near = torch.zeros(shape, dtype=torch.bool)
    near[tuple(slice(4 - window // 2, 6 + window // 2) for _ in shape)] = True
    warped, fixed = images(shape)

    def metric(warped):
        return NCC(window, "labels")(warped_to(warped, fixed, labels))

    value, gradient = value_and_gradient(metric, warped)
    changed = warped.where(near, 1 - warped)
    assert metric(changed).item() == pytest.approx(value.item(), rel=1e-5)
    assert gradient[..., ~near].abs().max() < 1e-7
    if window > 1:
        assert gradient[..., near].abs().min() > 0


@pytest.mark.parametrize("mask", ["foreground", "labels"])
def test_global_ncc_sees_nothing_but_the_mask(mask):
    warped, fixed = padded_images((17, 22))
    labels = Counted((17, 22))
    inside = inside_of(mask, fixed.numpy(), labels.maps[1].numpy())[:, None] > 0
    inside = torch.from_numpy(inside)

    def metric(warped):
        return NCC("whole", mask)(warped_to(warped, fixed, labels))

    value, gradient = value_and_gradient(metric, warped)
    torch.testing.assert_close(metric(warped.where(inside, 100)), value)
    assert gradient[~inside].abs().max() == 0
    assert gradient[inside].abs().min() > 0


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0, 200.0])
def test_ncc_of_constant_images_is_one_without_nan(level):
    constant = torch.full((1, 1, 30, 31), level)
    u = torch.zeros(1, 2, 30, 31, requires_grad=True)
    value = NCC()(Pair(constant, constant, u))
    value.backward()
    assert torch.isfinite(value)
    assert 0 <= value.item() <= 1
    assert torch.isfinite(u.grad).all()


@pytest.mark.parametrize("shape", [(60, 50), (24, 20, 22)])
@pytest.mark.parametrize("white", [1, 2, 255])
@pytest.mark.parametrize("saturated", ["moving", "fixed", "both"])
def test_bright_plateaus_lose_nothing_to_rounding(shape, white, saturated):
    texture, other = images(shape, batch=1, dtype=torch.float64)
    pair = [white * (0.8 + 0.1 * texture), white * (0.5 + 0.4 * other)]
    for image, name in zip(pair, ("moving", "fixed"), strict=True):
        if saturated in (name, "both"):
            image[:, :, 9:] = white

    def metric(warped, fixed):
        return NCC()(warped_to(warped, fixed))

    exact, direction = value_and_gradient(metric, *pair)
    value, gradient = value_and_gradient(metric, *(image.float() for image in pair))
    assert value.item() == pytest.approx(exact.item(), abs=1e-5)
    scale = direction.abs().max().item()
    torch.testing.assert_close(gradient.double(), direction, rtol=0, atol=1e-4 * scale)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("level", [0.0, 0.3, 200.0])
def test_no_option_makes_constant_images_nan(options, level):
    labels = Counted((17, 22))
    constant = torch.full((2, 1, 17, 22), level)
    varied, _ = images((17, 22))

    def metric(warped, fixed):
        return NCC(**options)(warped_to(warped, fixed, labels))

    for both in ((constant, varied), (varied, constant), (constant, constant)):
        value, gradient = value_and_gradient(metric, *both)
        assert 0 <= value.item() <= 1 + 1e-6
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("window", [0, 4, -3, 2.5, None, True, "all"])
def test_ncc_refuses_a_window_that_has_no_centre(window):
    with pytest.raises(
        ConfigError, match=f"metric.window={quoted(window)}: must be an odd whole number"
    ):
        NCC(window)


@pytest.mark.parametrize(("shape", "most"), [((5, 6), 5), ((4, 3, 5), 3)])
def test_a_window_that_is_larger_than_the_image_is_refused(shape, most):
    pair = unmoved(*images(shape))
    assert torch.isfinite(NCC(most)(pair))
    with pytest.raises(
        Unsupported,
        match=rf"NCC's window={most + 2} is larger than the images, whose shortest axis has "
        rf"{min(shape)} voxels. Choose a smaller metric.window",
    ):
        NCC(most + 2)(pair)


@pytest.mark.parametrize("floor", [-1e-9, -1, float("nan")])
def test_a_floor_below_zero_is_refused(floor):
    with pytest.raises(ConfigError, match=f"metric.floor={floor}: must be a variance of at least"):
        NCC(floor=floor)


def test_one_map_is_kept_for_the_backward_pass():
    warped, fixed = images((40, 50))
    assert kept_for_backward(lambda i: NCC()(warped_to(i, fixed)), warped) == warped.numel()
