"""Sums, means and covariances over box windows."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.lib.stride_tricks import sliding_window_view
from similarity_pairs import images

from bench.similarity.box import box_moments, box_sum


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize("window", [1, 3, 7, 9, 11])
def test_box_sum_agrees_with_a_dense_convolution(shape, window):
    image, _ = images(shape, channels=2, dtype=torch.float64)
    convolve = {2: F.conv2d, 3: F.conv3d}[len(shape)]
    ones = torch.ones(2, 1, *[window] * len(shape), dtype=torch.float64)
    expected = convolve(image, ones, padding=window // 2, groups=2)
    torch.testing.assert_close(box_sum(image, window), expected)


@pytest.mark.parametrize("shape", [(3, 4), (2, 5, 1)])
@pytest.mark.parametrize("window", [5, 9, 15])
def test_box_may_be_larger_than_the_image(shape, window):
    image, _ = images(shape, dtype=torch.float64)
    convolve = {2: F.conv2d, 3: F.conv3d}[len(shape)]
    ones = torch.ones(1, 1, *[window] * len(shape), dtype=torch.float64)
    torch.testing.assert_close(box_sum(image, window), convolve(image, ones, padding=window // 2))


@pytest.mark.parametrize("window", [1, 5])
def test_box_sum_keeps_the_type_and_takes_memory_of_its_own(window):
    image, _ = images((17, 22))
    before = image.clone()
    sums = box_sum(image, window)
    assert sums.dtype == torch.float32
    sums.zero_()
    assert torch.equal(image, before)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15), (3, 4), (2, 5, 1)])
@pytest.mark.parametrize("window", [1, 3, 7, 9])
@pytest.mark.parametrize("level", [0, 1e6])
def test_moments_agree_with_numpy_over_every_window(shape, window, level):
    first, second = (level + x for x in images(shape, 2, channels=2, dtype=torch.float64))
    margin = [(0, 0), (0, 0), *[(window // 2, window // 2)] * len(shape)]
    padded = [np.pad(x.numpy(), margin) for x in (first, second)]
    axes = tuple(range(2, first.ndim))
    i, j = (
        sliding_window_view(x, [window] * len(shape), axis=axes).reshape(*first.shape, -1)
        for x in padded
    )
    means = i.mean(-1), j.mean(-1)
    i, j = (x - mean[..., None] for x, mean in zip((i, j), means, strict=True))
    expected = (*means, (i * i).sum(-1), (j * j).sum(-1), (i * j).sum(-1))
    for ours, theirs in zip(box_moments(first, second, window), expected, strict=True):
        torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=1e-9, atol=1e-8)


def test_moments_leave_the_images_as_they_are():
    first, second = images((17, 22))
    before = first.clone(), second.clone()
    for moment in box_moments(first, second, 5):
        assert moment.dtype == torch.float32
        moment.zero_()
    assert torch.equal(first, before[0])
    assert torch.equal(second, before[1])
