"""Random affine maps: where points go, and what the strengths mean."""

import math

import numpy as np
import pytest
import torch

from bench.data.augmentation import Augmentation, RandomAffine
from bench.errors import ConfigError
from bench.spatial import jacobian_determinant, warp

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
    words = r"Unknown dataset.augmentation.elastic. Known: rotation, scale, shear, translation, flip, intensity\."
    with pytest.raises(ConfigError, match=words):
        Augmentation.from_config({"rotation": 5, "elastic": 1})
