"""Registration by SimpleITK, on images whose transform is known."""

import math

import pytest
import torch
import torch.nn.functional as F

from bench.errors import ConfigError, DataError
from bench.models.affine_first import AffineFirst
from bench.models.identity import Identity
from bench.models.method import Objective
from bench.models.simpleitk import Affine, Demons
from bench.pair import Pair
from bench.spatial.displacement import displacement_at, warp

SHAPES = [(50, 61), (26, 31, 23)]
NOTHING = Objective(None, None, 0.0)


def blobs(shape, seed=0):
    """A smooth image of some bright places, far from the border."""
    random = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 1, *[size // 5 for size in shape], generator=random)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    image = F.interpolate(noise, size=shape, mode=mode, align_corners=True)
    for axis, size in enumerate(shape):
        window = torch.hann_window(size, periodic=False)
        image = image * window.view([-1 if i == axis else 1 for i in range(len(shape))])
    return image


def grid(shape):
    return torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"))[None].float()


def affine_displacement(shape):
    """Of a rotation by some degrees, a scaling and a shift, about the centre."""
    centred = grid(shape) - torch.tensor(shape).view(1, -1, *[1] * len(shape)) / 2
    matrix = torch.eye(len(shape))
    matrix[0, 0], matrix[0, 1], matrix[1, 0] = 1.06, 0.08, -0.07
    shift = torch.tensor([1.5, -2.0, 0.7][: len(shape)])
    moved = torch.einsum("ij,bj...->bi...", matrix, centred)
    return moved + shift.view(1, -1, *[1] * len(shape)) - centred


def middle(field):
    inner = tuple(slice(size // 4, -(size // 4)) for size in field.shape[2:])
    return field[(slice(None), slice(None), *inner)]


def error(pair, u):
    return float((warp(pair.moving, u) - pair.fixed).square().mean())


def test_affine_that_goes_astray_ends_where_it_started():
    """Descent leaves the identity here, for a far smaller mutual information."""
    noise = torch.rand(1, 1, 24, 28, generator=torch.Generator().manual_seed(5))
    assert Affine(2, 1).register(Pair(noise, noise), NOTHING).abs().max() < 1e-6


@pytest.mark.parametrize("shape", SHAPES)
def test_affine_finds_a_known_transform_each_time_the_same(shape):
    image, true = blobs(shape), affine_displacement(shape)
    pair = Pair(image, warp(image, true))
    first, second = (Affine(len(shape), 1).register(pair, NOTHING) for _ in range(2))
    assert torch.equal(first, second)
    assert first.dtype == torch.float32
    left, before = (middle(field).norm(dim=1).mean() for field in (first - true, true))
    assert left < 0.2 * before
    assert error(pair, first) < 0.05 * error(pair, torch.zeros_like(first))


def turned(shape, degrees, shift):
    """Displacement of a rotation about the centre, between the last two axes, and a shift."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    matrix = torch.eye(len(shape))
    matrix[-2:, -2:] = torch.tensor([[cosine, -sine], [sine, cosine]])
    centred = grid(shape) - (torch.tensor(shape).view(1, -1, *[1] * len(shape)) - 1) / 2
    moved = torch.einsum("ij,bj...->bi...", matrix, centred)
    return moved + torch.tensor(shift).view(1, -1, *[1] * len(shape)) - centred


@pytest.mark.parametrize("contrast", [lambda x: x, lambda x: (1 - x) ** 2])
@pytest.mark.parametrize(
    ("shape", "degrees", "shift"),
    [
        ((50, 61), 50.0, [0.0, 0.0]),
        ((50, 61), -35.0, [6.0, -7.0]),
        ((50, 61), 5.0, [-12.0, 14.0]),
        ((26, 31, 23), 40.0, [2.0, -3.0, 1.0]),
    ],
)
def test_affine_undoes_large_motions_between_contrasts(shape, degrees, shift, contrast):
    """Dark background, and bright one."""
    moving = blobs(shape)
    true = turned(shape, degrees, shift)
    fixed = warp(moving, true)
    u = Affine(len(shape), 1).register(Pair(moving, contrast(fixed)), NOTHING)
    seen = fixed > 0.2  # where something tells how it moved
    left = (u - true).norm(dim=1, keepdim=True)[seen]
    assert left.mean() < 1 < 4 < true.norm(dim=1, keepdim=True)[seen].mean()


def test_starts_are_as_far_apart_as_is_said():
    """A half turn is out of reach of a descent, and within that of a start."""
    moving, true = blobs(SHAPES[0]), turned(SHAPES[0], 170.0, [0.0, 0.0])
    pair = Pair(moving, warp(moving, true))
    far, near = (
        (Affine(2, 1, rotation=rotation).register(pair, NOTHING) - true).norm(dim=1).mean()
        for rotation in (0, 180)
    )
    assert near < 1 < 10 < far


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("forces", ["symmetric", "diffeomorphic"])
def test_demons_find_a_smooth_deformation(shape, forces):
    image = blobs(shape)
    true = torch.zeros(1, len(shape), *shape)
    for axis, size in enumerate(shape):
        true[:, axis] = 1.2 * torch.sin(grid(shape)[:, (axis + 1) % len(shape)] * 6.28 / size)
    pair = Pair(image, warp(image, true))
    u = Demons(len(shape), 1, forces=forces).register(pair, NOTHING)
    assert u.shape == true.shape
    assert error(pair, u) < 0.15 * error(pair, torch.zeros_like(u))


class Shift:
    """Moves everything by two voxels along the first axis."""

    def register(self, pair, objective):
        u = torch.zeros_like(pair.u)
        u[:, 0] = 2
        return u


@pytest.mark.parametrize("shape", SHAPES)
def test_affine_comes_first_and_the_other_method_goes_on(shape):
    image = blobs(shape)
    pair = Pair(image, warp(image, affine_displacement(shape)))
    affine = Affine(len(shape), 1)
    alone = affine.register(pair, NOTHING)
    both = AffineFirst(Identity(len(shape), 1), affine).register(pair, NOTHING)
    torch.testing.assert_close(both, alone)
    both = AffineFirst(Shift(), affine).register(pair, NOTHING)
    twice = warp(warp(image, alone), Shift().register(pair, NOTHING))
    torch.testing.assert_close(middle(warp(image, both)), middle(twice), atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_landmarks_go_along_with_the_affine_registration(shape):
    class Watched(Identity):
        def register(self, pair, objective):
            self.pair = pair
            return super().register(pair, objective)

    image = blobs(shape)
    fixed = torch.rand(1, 9, len(shape), generator=torch.Generator().manual_seed(0)) * 20
    moving = fixed + 3
    images = image, warp(image, affine_displacement(shape))
    pair = Pair(*images, landmarks=lambda: (moving, fixed))
    watched = Watched(len(shape), 1)
    u = AffineFirst(watched, Affine(len(shape), 1)).register(pair, NOTHING)
    there, same = watched.pair.landmarks
    assert same is fixed
    assert (there - moving).abs().max() > 1
    torch.testing.assert_close(there + displacement_at(u, there), moving, atol=1e-3, rtol=0)


def test_each_pair_of_a_batch_is_registered_by_itself():
    image = torch.cat([blobs(SHAPES[0], seed) for seed in (0, 1)])
    pair = Pair(image, warp(image, affine_displacement(SHAPES[0]).expand(2, -1, -1, -1)))
    affine = Affine(2, 1)
    together = affine.register(pair, NOTHING)
    apart = torch.cat([affine.register(pair.one(i), NOTHING) for i in range(2)])
    assert torch.equal(together, apart)


def test_images_that_cannot_be_registered_are_named():
    constant = torch.zeros(1, 1, *SHAPES[0])
    with pytest.raises(DataError, match=r"^a and b: SimpleITK cannot register these images \("):
        Affine(2, 1).register(Pair(constant, constant, ids=[("a", "b")]), NOTHING)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: Affine(2, 1, shrink=[0]),
            r"model\.shrink=\[0\]: must be a list of whole numbers from 1",
        ),
        (lambda: Affine(2, 1, rotation=200), r"model\.rotation=200: must be a number of degrees"),
        (lambda: Affine(2, 1, starts=0), r"model\.starts=0: must be a whole number of at least 1"),
        (lambda: Demons(2, 1, forces="strong"), r"model\.forces=strong: must be one of symmetric,"),
    ],
)
def test_impossible_settings_of_tools_are_refused(make, words):
    with pytest.raises(ConfigError, match=words):
        make()
