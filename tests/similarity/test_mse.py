"""Mean squared error, plain and in a mask."""

import numpy as np
import pytest
import torch
from similarity_pairs import Counted, displacement, images, value_and_gradient, warped_to

from bench.similarity import MSE, Pair


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_mse_is_the_mean_squared_difference_after_warping(shape):
    moving, fixed = images(shape, channels=2)
    pair = Pair(moving, fixed, displacement(shape))
    expected = np.mean((pair.warped.numpy().astype(float) - fixed.numpy()) ** 2)
    assert MSE()(pair).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize("mask", ["foreground", "labels"])
@pytest.mark.parametrize("channels", [1, 2])
def test_masked_mse_is_the_mean_over_the_voxels_inside(shape, mask, channels):
    moving, fixed = images(shape, channels=channels)
    fixed = (fixed - 0.5).clamp(min=0)
    labels = Counted(shape)
    pair = Pair(moving, fixed, displacement(shape), labels, 4)
    squares = (pair.warped.numpy().astype(float) - fixed.numpy()) ** 2
    inside = (labels.maps[1].numpy() > 0)[:, 0]
    if mask == "foreground":
        inside = (fixed.numpy() > 0).any(1)
    assert 0 < inside.mean() < 1
    expected = np.mean([s[:, where].mean() for s, where in zip(squares, inside, strict=True)])
    assert MSE(mask)(pair).item() == pytest.approx(expected, rel=1e-5)


def test_masked_mse_leaves_pairs_without_foreground_out():
    moving, fixed = images((17, 22))
    fixed[1] = 0.5
    inside = fixed[0] > fixed[0].min()
    expected = ((moving - fixed)[0][inside] ** 2).mean().item() / 2
    assert MSE("foreground")(warped_to(moving, fixed)).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 3)])
@pytest.mark.parametrize("mask", [None, "foreground", "labels"])
def test_gradient_of_mse(shape, mask):
    warped, fixed = images(shape, channels=2, dtype=torch.float64)
    fixed = (fixed - 0.5).clamp(min=0)
    labels = Counted(shape)

    def metric(warped):
        return MSE(mask)(warped_to(warped, fixed, labels))

    assert torch.autograd.gradcheck(metric, warped.requires_grad_())


def test_masked_mse_has_no_gradient_outside():
    labels = Counted((17, 22))
    warped, fixed = images((17, 22))
    _, gradient = value_and_gradient(lambda i: MSE("labels")(warped_to(i, fixed, labels)), warped)
    assert torch.equal(gradient != 0, labels.maps[1] > 0)
