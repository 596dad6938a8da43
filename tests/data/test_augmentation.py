"""Random affine maps: where points go, and what the strengths mean."""

import itertools
import math

import numpy as np
import pytest
import torch

from bench.data.batches.augmentation import Augmentation, RandomAffine, RandomIntensity
from bench.data.batches.loading import TrainingImages, TrainingPairs, read_images
from bench.errors import ConfigError
from bench.spatial.displacement import warp
from bench.spatial.jacobian import jacobian_determinant

CPU = torch.device("cpu")
SHAPES = [(17, 23), (11, 13, 15)]


class Fixed(RandomAffine):
    """An affine map that is the one given."""

    def draw(self, ndim, seed):
        return np.asarray(self.map, dtype=float)


def fixed_map(matrix, shift):
    affine = Fixed()
    object.__setattr__(affine, "map", np.column_stack([matrix, shift]))
    return affine


def quarter_turn(ndim):
    matrix = np.eye(ndim)
    matrix[:2, :2] = [[0, -1], [1, 0]]
    return matrix


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("matrix", "shift"),
    [("turn", 0), ("identity", 2), ("double", 0), ("mirror", 1)],
)
def test_known_map_moves_a_known_point_where_it_should(shape, matrix, shift):
    ndim = len(shape)
    matrix = {
        "turn": quarter_turn(ndim),
        "identity": np.eye(ndim),
        "double": 2 * np.eye(ndim),
        "mirror": np.diag([-1, *[1] * (ndim - 1)]),
    }[matrix]
    shifts = np.arange(ndim) * shift
    u = fixed_map(matrix, shifts).displacement(shape, [0], CPU)
    centre = (np.array(shape) - 1) / 2
    output = np.array([2, -1, 1])[:ndim]
    source = matrix @ output + shifts + centre  # q = A p + t about the centre
    image = torch.zeros(1, 1, *shape)
    image[(0, 0, *source.astype(int))] = 1
    warped = warp(image, u)
    place = tuple((output + centre).astype(int))
    assert warped[(0, 0, *place)].item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_displacement_is_the_map_minus_the_identity_at_every_point(shape):
    affine = RandomAffine(rotation=40, scale=(0.8, 1.2), shear=0.1, translation=3, flip=True)
    u = affine.displacement(shape, [5, 6], CPU).numpy()
    points = np.indices(shape).reshape(len(shape), -1).T - (np.array(shape) - 1) / 2
    for found, seed in zip(u, (5, 6), strict=True):
        drawn = affine.draw(len(shape), seed)
        moved = points @ drawn[:, :-1].T + drawn[:, -1]
        expected = (moved - points).T.reshape(len(shape), *shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_displacement_is_float32_under_autocast(shape):
    def field():
        return RandomAffine(rotation=15).displacement(shape, [1, 2], CPU)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = field()
    torch.testing.assert_close(inside, field(), rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_zero_strength_is_the_identity_bit_for_bit(shape):
    affine = RandomAffine()
    assert affine.is_identity
    image = torch.rand(2, 1, *shape)
    u = affine.displacement(shape, [1, 2], CPU)
    assert torch.equal(u, torch.zeros_like(u))
    assert torch.equal(warp(image, u), image)


@pytest.mark.parametrize(
    "strength",
    [{"rotation": 1}, {"scale": (0.9, 1)}, {"shear": 0.1}, {"translation": 1}, {"flip": True}],
)
@pytest.mark.parametrize("ndim", [2, 3])
def test_every_strength_has_an_effect(strength, ndim):
    affine = RandomAffine(**strength)
    assert not affine.is_identity
    maps = np.stack([affine.draw(ndim, seed) for seed in range(8)])
    assert np.abs(maps - np.eye(ndim, ndim + 1)).max() > 1e-3


def test_rotation_is_uniform_up_to_its_angle_and_keeps_volume():
    maps = [RandomAffine(rotation=30).draw(2, seed) for seed in range(300)]
    angles = [math.degrees(math.atan2(m[1, 0], m[0, 0])) for m in maps]
    assert 28 < max(angles) <= 30
    assert -30 <= min(angles) < -28
    assert [np.linalg.det(m[:, :2]) for m in maps] == pytest.approx([1] * 300)


@pytest.mark.parametrize("ndim", [2, 3])
def test_scale_is_a_magnification(ndim):
    """An object seen at scale 2 is twice as large: the map reads the input at half the way."""
    drawn = RandomAffine(scale=(2, 2)).draw(ndim, 0)
    np.testing.assert_allclose(drawn, np.eye(ndim, ndim + 1) / 2)
    factors = [RandomAffine(scale=(0.8, 1.25)).draw(ndim, seed)[0, 0] for seed in range(200)]
    assert 0.8 <= min(factors) < 0.83
    assert 1.2 < max(factors) <= 1.25


def test_translation_is_in_voxels_along_each_axis():
    shifts = np.stack([RandomAffine(translation=4).draw(3, seed)[:, 3] for seed in range(100)])
    assert (np.abs(shifts) <= 4).all()
    assert (np.abs(shifts).max(axis=0) > 3.5).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_flips_mirror_each_axis_half_of_the_time(shape):
    affine = RandomAffine(flip=True)
    image = torch.rand(1, 1, *shape)
    seen = set()
    for seed in range(40):
        signs = np.diag(affine.draw(len(shape), seed)[:, :-1])
        axes = [axis + 2 for axis, sign in enumerate(signs) if sign < 0]
        u = affine.displacement(shape, [seed], CPU)
        torch.testing.assert_close(warp(image, u), image.flip(axes), rtol=0, atol=1e-4)
        seen.add(tuple(axes))
    assert len(seen) == 2 ** len(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_depend_on_their_seed_alone(shape):
    affine = RandomAffine(rotation=10, translation=2)
    batch = affine.displacement(shape, [7, 8, 9], CPU)
    alone = affine.displacement(shape, [9], CPU)[0]
    torch.testing.assert_close(alone, batch[2], rtol=0, atol=1e-5)
    assert not torch.equal(batch[0], batch[1])


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_without_flips_keep_the_orientation(shape):
    affine = RandomAffine(rotation=180, scale=(0.8, 1.2), shear=0.03, translation=5)
    determinant = jacobian_determinant(affine.displacement(shape, list(range(20)), CPU))
    assert determinant.min() > 0


@pytest.mark.parametrize("scale", [(0, 1), (1.2, 0.8), (-1, 1)])
def test_scale_that_is_no_range_is_refused(scale):
    words = r"dataset.augmentation.scale=\[.*\]: must be the smallest and largest magnification"
    with pytest.raises(ConfigError, match=words):
        RandomAffine(scale=scale)


def test_unknown_setting_is_named_with_those_known():
    words = (
        r"Unknown dataset.augmentation.elastic. Known: rotation, scale, shear, translation, flip, "
        r"intensity\."
    )
    with pytest.raises(ConfigError, match=words):
        Augmentation.from_config({"rotation": 5, "elastic": 1})


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"scale": 1.2}, r"dataset.augmentation.scale=1.2: must be the smallest and largest magn"),
        ({"scale": [1.2]}, r"dataset.augmentation.scale=\[1.2\]: must be the smallest and largest"),
        (
            {"intensity": {"noise": -0.1}},
            r"dataset.augmentation.intensity.noise=-0.1: must be 0 or",
        ),
        ({"intensity": {"bias": float("nan")}}, r"intensity.bias=nan: must be 0 or more\."),
        ({"intensity": {"gain": -1}}, r"intensity.gain=-1: must be 0 or more and below 1\."),
        ({"intensity": {"gain": 1}}, r"intensity.gain=1: must be 0 or more and below 1\."),
        ({"intensity": {"cells": 0}}, r"dataset.augmentation.intensity.cells=0: must be 1 or more"),
        (
            {"intensity": {"noise": 0.1, "blur": 1}},
            r"Unknown dataset.augmentation.intensity.blur. Known: noise, gain, bias, cells\.",
        ),
    ],
)
def test_impossible_options_are_named(section, words):
    with pytest.raises(ConfigError, match=words):
        Augmentation.from_config(section)


def test_sections_are_read_into_affine_and_intensity():
    found = Augmentation.from_config({"rotation": 5, "intensity": {"noise": 0.1, "cells": 2}})
    assert found == Augmentation(RandomAffine(rotation=5), RandomIntensity(noise=0.1, cells=2))
    assert Augmentation.from_config({"intensity": None}) == Augmentation()


ALL = RandomIntensity(noise=0.2, gain=0.3, bias=0.4)


@pytest.mark.parametrize("shape", SHAPES)
def test_intensity_of_zero_strength_is_the_image_bit_for_bit(shape):
    image = torch.randn(2, 1, *shape)
    for intensity in (RandomIntensity(), RandomIntensity(cells=5)):
        assert intensity.is_identity
        assert torch.equal(intensity(image.clone(), [1, 2]), image)


@pytest.mark.parametrize("strength", [{"noise": 0.1}, {"gain": 0.1}, {"bias": 0.1}])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_strength_of_intensity_has_an_effect(strength, shape):
    intensity = RandomIntensity(**strength)
    assert not intensity.is_identity
    image = torch.rand(2, 1, *shape)
    before = image.clone()
    changed = intensity(image, [1, 2])
    assert torch.equal(image, before)
    assert changed.dtype == torch.float32
    assert 1e-4 < (changed - image).abs().mean() < 0.1


@pytest.mark.parametrize("shape", SHAPES)
def test_intensity_depends_on_its_seed_alone(shape):
    image = torch.rand(3, 2, *shape)
    whole = ALL(image, [7, 8, 9])
    assert torch.equal(ALL(image, [7, 8, 9]), whole)
    assert torch.equal(ALL(image[1:2], [8])[0], whole[1])
    same = ALL(image[:1].expand(2, -1, *shape), [7, 8])
    assert torch.equal(same[0], whole[0])
    assert not torch.equal(same[0], same[1])
    torch.manual_seed(5)  # nothing else is drawn from
    assert torch.equal(ALL(image, [7, 8, 9]), whole)


def test_noise_is_gaussian_of_a_deviation_up_to_its_strength():
    image = torch.full((200, 1, 40, 50), 3.0)
    noise = RandomIntensity(noise=0.2)(image, range(200)) - 3
    deviations = noise.flatten(1).std(dim=1)
    assert 0.19 < deviations.max() < 0.21
    assert deviations.min() < 0.01
    assert deviations.mean() == pytest.approx(0.1, abs=0.015)
    one = noise[deviations.argmax()].flatten() / deviations.max()
    assert one.mean().abs() < 0.1
    assert (one.abs() < 1).float().mean() == pytest.approx(0.683, abs=0.03)
    assert (one**4).mean() == pytest.approx(3, abs=0.5)
    grid = noise[deviations.argmax(), 0]  # neighbours have nothing in common
    assert (grid[1:] * grid[:-1]).mean().abs() < 0.1 * deviations.max() ** 2


def test_gain_is_uniform_up_to_its_strength_either_way():
    image = torch.rand(400, 1, 5, 6) + 0.5
    factors = (RandomIntensity(gain=0.3)(image, range(400)) / image).flatten(1)
    assert (factors.std(dim=1) < 1e-6).all()  # one factor for a whole image
    gains = factors.mean(dim=1) - 1
    assert 0.29 < gains.max() <= 0.3001
    assert -0.3001 <= gains.min() < -0.29
    assert gains.mean() == pytest.approx(0, abs=0.03)
    assert gains.std() == pytest.approx(0.3 / math.sqrt(3), abs=0.02)


@pytest.mark.parametrize("shape", [(41, 61), (21, 31, 25)])
def test_bias_is_a_smooth_factor_within_its_strength(shape):
    cells = 2
    image = torch.full((60, 1, *shape), 2.0)
    bias = torch.log(RandomIntensity(bias=0.4, cells=cells)(image, range(60)) / 2)[:, 0]
    assert 0.2 < bias.abs().max() <= 0.4001
    assert bias.mean().abs() < 0.05
    for axis, size in enumerate(shape, start=1):  # straight between the corners of the grid
        bend = (
            torch.diff(bias, n=2, dim=axis)
            .abs()
            .amax(dim=[d for d in range(len(shape) + 1) if d != axis])
        )
        middle = (size - 1) // 2 - 1
        assert bend[middle] > 1e-3
        assert torch.cat([bend[:middle], bend[middle + 1 :]]).max() < 1e-4


def test_background_of_zero_stays_so_without_noise():
    image = torch.zeros(4, 1, 8, 9)
    image[:, :, 2:5, 3:6] = 1
    changed = RandomIntensity(gain=0.3, bias=0.4)(image, range(4))
    assert torch.equal(changed == 0, image == 0)


@pytest.mark.parametrize("strength", [{"noise": 0.1}, {"gain": 0.1}, {"bias": 0.1}])
@pytest.mark.parametrize(("ndim", "channels"), [(2, 2), (2, 3), (3, 2)])
def test_intensity_is_drawn_for_each_channel(datasets_of_channels, strength, ndim, channels):
    image = read_images(datasets_of_channels[ndim, channels], [0, 1], CPU)
    intensity = RandomIntensity(**strength)
    changed = intensity(image, [7, 8])
    assert torch.equal(intensity(image[:, :1], [7, 8]), changed[:, :1])
    if "noise" in strength:
        drawn = (changed - image).flatten(2)
        drawn = drawn / drawn.std(dim=2, keepdim=True)
    else:
        drawn = (changed / image.clamp(min=1e-3)).flatten(2)
    for first, second in itertools.combinations(range(channels), 2):
        assert (drawn[:, first] - drawn[:, second]).abs().mean() > 1e-3


@pytest.mark.parametrize("ndim", [2, 3])
def test_moving_and_fixed_differ_in_noise_but_not_in_map(tiny_datasets, ndim):
    dataset = tiny_datasets[ndim]
    affine = RandomAffine(rotation=20, translation=2, flip=True)

    def batch(augmentation):
        training = TrainingPairs(dataset, augmentation, seed=0)
        training.pairs = [(0, 0)] * len(training.pairs)  # an image with itself
        return training.batch(range(4), CPU)

    plain = batch(Augmentation(affine))
    noisy = batch(Augmentation(affine, RandomIntensity(noise=0.1)))
    assert torch.equal(plain.moving, plain.fixed)
    drawn = [noisy.moving - plain.moving, noisy.fixed - plain.fixed]
    for one in drawn:
        assert one.flatten(1).std(dim=1).min() > 1e-4
    common = torch.corrcoef(torch.stack([one[0].flatten() for one in drawn]))[0, 1]
    assert abs(common) < 0.2
    assert not torch.equal(drawn[0][0], drawn[0][1])


@pytest.mark.parametrize("affine", [RandomAffine(), RandomAffine(rotation=20, flip=True)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_labels_are_untouched_by_intensity(tiny_datasets, ndim, affine):
    dataset = tiny_datasets[ndim]
    plain, changed = (
        TrainingPairs(dataset, augmentation, seed=0).batch(range(3), CPU)
        for augmentation in (Augmentation(affine), Augmentation(affine, ALL))
    )
    assert not torch.equal(plain.moving, changed.moving)
    for labels, expected in zip(changed.segmentations, plain.segmentations, strict=True):
        assert torch.equal(labels, expected)
    images = [
        TrainingImages(dataset, augmentation, 0, labels=True).batch(range(3), CPU)
        for augmentation in (Augmentation(affine), Augmentation(affine, ALL))
    ]
    assert not torch.equal(images[0][0], images[1][0])
    assert torch.equal(images[0][1], images[1][1])


@pytest.mark.parametrize("ndim", [2, 3])
def test_noise_of_a_sample_does_not_depend_on_its_batch(tiny_datasets, ndim):
    for kind in (
        lambda: TrainingPairs(tiny_datasets[ndim], Augmentation(intensity=ALL), 0),
        lambda: TrainingImages(tiny_datasets[ndim], Augmentation(intensity=ALL), 0, labels=False),
    ):
        whole, alone = kind().batch(range(5), CPU), kind().batch([3], CPU)
        first = whole.moving if hasattr(whole, "moving") else whole[0]
        second = alone.moving if hasattr(alone, "moving") else alone[0]
        assert torch.equal(second[0], first[3])


def test_stored_images_are_not_changed_by_augmentation(tiny_datasets):
    dataset = tiny_datasets[2]
    before = np.array(dataset.images)
    TrainingPairs(dataset, Augmentation(intensity=ALL), 0).batch(range(4), CPU)
    assert np.array_equal(dataset.images, before)
