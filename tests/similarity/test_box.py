"""Sums over box windows."""

import pytest
import torch
import torch.nn.functional as F
from similarity_pairs import images

from bench.similarity.box import box_sum


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
