"""What test images are disturbed with."""

import itertools
import math

import pytest
import torch

from bench.errors import ConfigError
from bench.inspection.corruptions import CORRUPTIONS, LEVELS, check_corruption, corrupt


def smooth_image(shape):
    axes = torch.meshgrid(*[torch.linspace(0, 3, size) for size in shape], indexing="ij")
    return (0.5 + 0.4 * torch.stack([axis.sin() for axis in axes]).prod(0))[None, None]


@pytest.mark.parametrize("shape", [(21, 30), (12, 14, 11)])
@pytest.mark.parametrize("name", list(CORRUPTIONS))
def test_the_same_again_and_more_with_the_level(name, shape):
    image = smooth_image(shape)
    before = image.clone()
    assert corrupt(name, 0, image, 3, 0) is image
    changes = [
        (corrupt(name, level, image, 3, 0) - image).square().mean() for level in LEVELS[name]
    ]
    assert all(one < other for one, other in itertools.pairwise(changes))
    level = LEVELS[name][-1]
    again = corrupt(name, level, image, 3, 0)
    assert torch.equal(again, corrupt(name, level, image, 3, 0))
    assert again.shape == image.shape
    assert torch.equal(image, before)


@pytest.mark.parametrize("name", ["noise", "bias"])
def test_pairs_and_sides_draw_their_own(name):
    image = smooth_image((21, 30))
    drawn = [corrupt(name, 0.2, image, pair, side) for pair in (0, 1) for side in (0, 1)]
    for i, one in enumerate(drawn):
        assert not any(torch.allclose(one, other) for other in drawn[i + 1 :])


def test_noise_has_its_standard_deviation_and_grows_in_proportion():
    image = torch.zeros(1, 1, 200, 200)
    weak, strong = (corrupt("noise", level, image, 0, 0) for level in (0.05, 0.2))
    assert weak.std().item() == pytest.approx(0.05, rel=0.02)
    torch.testing.assert_close(4 * weak, strong)


def test_blur_keeps_the_mean_of_a_point_and_spreads_it():
    image = torch.zeros(1, 1, 31, 31)
    image[..., 15, 15] = 1
    blurred = corrupt("blur", 2.0, image, 0, 0)[0, 0]
    assert blurred.sum().item() == pytest.approx(1, abs=1e-3)
    line = blurred.sum(0)
    place = torch.arange(31.0)
    assert ((line * (place - 15) ** 2).sum()).sqrt().item() == pytest.approx(2, rel=0.05)


def test_bias_multiplies_within_its_range():
    image = torch.full((1, 1, 40, 40), 0.5)
    factor = corrupt("bias", 0.3, image, 0, 1) / 0.5
    assert factor.log().abs().max().item() <= 0.3 + 1e-6
    assert factor.std() > 0


def test_contrast_is_opposite_in_both_images_and_keeps_their_range():
    image = torch.linspace(-1, 3, 50).view(1, 1, 5, 10)
    moving, fixed = (corrupt("contrast", 0.5, image, 0, side) for side in (0, 1))
    for changed in (moving, fixed):
        assert (changed.min().item(), changed.max().item()) == pytest.approx((-1, 3))
        assert (changed.flatten().diff() > 0).all()
    expected = ((image + 1) / 4) ** math.exp(0.5)
    torch.testing.assert_close((moving + 1) / 4, expected)
    assert (moving <= image + 1e-6).all()
    assert (fixed >= image - 1e-6).all()


@pytest.mark.parametrize(
    ("name", "levels", "words"),
    [
        ("fog", (0.1,), "--corruption fog: must be one of noise, blur, bias, contrast."),
        ("noise", (0.1, -0.2), "--levels -0.2: must be numbers of at least 0."),
        ("noise", (math.inf,), "--levels inf: must be numbers of at least 0."),
        ("noise", (math.nan,), "--levels nan: must be numbers of at least 0."),
    ],
)
def test_what_is_no_corruption_is_refused(name, levels, words):
    with pytest.raises(ConfigError) as caught:
        check_corruption(name, levels)
    assert str(caught.value) == words
