"""Warping, composition, Jacobians and padding against formulas and SciPy."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from bench.spatial.displacement import compose, integrate, warp
from bench.spatial.jacobian import (
    central_jacobian_determinant,
    forward_jacobian,
    jacobian_determinant,
)
from bench.spatial.resolution import coarsen, crop_to, pad_to_multiple, warp_level

SHAPES = [(17, 22), (10, 13, 15)]


def random_image(shape, batch=2, channels=3, seed=0):
    return torch.randn(batch, channels, *shape, generator=torch.Generator().manual_seed(seed))


def random_displacement(shape, batch=2, size=1.5, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(batch, len(shape), *shape, generator=generator)


def linear_displacement(matrix, shape, dtype=torch.float32):
    """u(p) = (A - I) p for the map Φ(p) = A p."""
    points = torch.stack(torch.meshgrid(*(torch.arange(s) for s in shape), indexing="ij"))
    change = torch.as_tensor(matrix, dtype=dtype) - torch.eye(len(shape), dtype=dtype)
    return torch.einsum("ij,j...->i...", change, points.to(dtype))[None]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_zero_displacement_returns_the_input_bit_for_bit(shape, mode):
    image = random_image(shape)
    zero = torch.zeros(2, len(shape), *shape)
    assert torch.equal(warp(image, zero, mode=mode), image)


@pytest.mark.parametrize("shape", SHAPES)
def test_points_that_do_not_move_keep_their_value_bit_for_bit(shape):
    image = random_image(shape)
    u = random_displacement(shape)
    u[..., ::2] = 0
    assert torch.equal(warp(image, u)[..., ::2], image[..., ::2])


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("shift", [(3, 0), (0, -4), (-2, 5), (1, -2, 3), (0, 0, -6)])
def test_whole_voxel_shift_reads_the_moving_image_at_p_plus_u(shift, mode):
    shape = SHAPES[len(shift) - 2]
    image = random_image(shape)
    u = torch.tensor(shift, dtype=torch.float32).view(1, -1, *[1] * len(shape))
    u = u.expand(2, -1, *shape).contiguous()
    index = [
        (torch.arange(size) + by).clamp(0, size - 1) for size, by in zip(shape, shift, strict=True)
    ]
    expected = image[(slice(None), slice(None), *torch.meshgrid(*index, indexing="ij"))]
    torch.testing.assert_close(warp(image, u, mode=mode), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("mode", "order"), [("linear", 1), ("nearest", 0)])
def test_warp_agrees_with_scipy(shape, mode, order):
    image = random_image(shape).double()
    u = random_displacement(shape, size=3).double()
    warped = warp(image, u, mode=mode).numpy()
    points = np.indices(shape)
    for b in range(2):
        for c in range(3):
            expected = ndimage.map_coordinates(
                image[b, c].numpy(), points + u[b].numpy(), order=order, mode="nearest"
            )
            np.testing.assert_allclose(warped[b, c], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.float32])
def test_nearest_keeps_label_values_and_dtype(shape, dtype):
    labels = torch.tensor([0, 3, 7, 200])[torch.randint(4, (2, 1, *shape))].to(dtype)
    warped = warp(labels, random_displacement(shape, size=4), mode="nearest")
    assert warped.dtype == dtype
    assert warped.shape == labels.shape
    assert set(warped.unique().tolist()) <= {0, 3, 7, 200}
    assert not torch.equal(warped, labels)


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_gradient_of_the_linear_warp(shape):
    image = random_image(shape, channels=2).double().requires_grad_()
    # off the grid lines and inside the image, where the warp is differentiable
    inner = torch.stack(torch.meshgrid(*(torch.arange(s) for s in shape), indexing="ij"))
    size = torch.tensor(shape).view(-1, *[1] * len(shape))
    towards = torch.where(inner < size / 2, 0.3, -0.3).double()
    u = (towards + 0.1 * random_displacement(shape, size=1).double().tanh()).requires_grad_()
    assert torch.autograd.gradcheck(warp, (image, u))


@pytest.mark.parametrize("shape", SHAPES)
def test_gradient_at_zero_displacement_is_a_one_sided_slope(shape):
    """The exact copy at u = 0 must not cut the gradient, or training could not start."""
    image = random_image(shape, batch=1, channels=1)
    u = torch.zeros(1, len(shape), *shape, requires_grad=True)
    warp(image, u).sum().backward()
    inner = (slice(1, -1),) * len(shape)
    for axis in range(len(shape)):
        after = image.roll(-1, axis + 2) - image
        before = image - image.roll(1, axis + 2)
        found = u.grad[0, axis][inner]
        errors = [(found - slope[0, 0][inner]).abs() for slope in (after, before)]
        assert torch.minimum(*errors).max() < 1e-4


def test_warp_refuses_a_displacement_of_another_shape():
    with pytest.raises(ValueError, match=r"needs \(2, 2, 17, 22\)"):
        warp(torch.zeros(2, 1, 17, 22), torch.zeros(2, 3, 17, 22))


def test_warp_refuses_an_unknown_mode():
    with pytest.raises(ValueError, match="'cubic'; known are 'linear' and 'nearest'"):
        warp(torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 4, 5), mode="cubic")


@pytest.mark.parametrize("shape", SHAPES)
def test_composition_of_shifts_adds_them(shape):
    first = torch.full((1, len(shape), *shape), 1.5)
    second = torch.full((1, len(shape), *shape), -0.25)
    torch.testing.assert_close(compose(first, second), torch.full_like(first, 1.25))


def test_composition_applies_first_then_second():
    shape = (15, 15)
    first = torch.zeros(1, 2, *shape)
    first[:, 0] = 2.0
    second = linear_displacement([[1.5, 0], [0, 1]], shape)
    found = compose(first, second)[0, 0, :10]
    rows = torch.arange(10.0)
    expected = 1.5 * (rows + 2) - rows
    torch.testing.assert_close(found, expected[:, None].expand(-1, 15), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_integrating_a_constant_velocity_gives_the_same_displacement(shape):
    velocity = torch.ones(1, len(shape), *shape) * torch.tensor([1.5, -0.5, 0.75])[
        : len(shape)
    ].view(1, -1, *[1] * len(shape))
    torch.testing.assert_close(integrate(velocity), velocity)


@pytest.mark.parametrize("shape", [(33, 40), (20, 23, 26)])
def test_integrating_the_negative_velocity_inverts(shape):
    random = np.random.default_rng(0)
    smooth = np.stack(
        [ndimage.gaussian_filter(random.normal(size=shape), 4) for _ in range(len(shape))]
    )
    velocity = torch.from_numpy(2 * smooth / smooth.std()).float()[None]
    there, back = integrate(velocity), integrate(-velocity)
    inner = (slice(None), slice(None), *(slice(8, -8) if s > 30 else slice(7, -7) for s in shape))
    assert there[inner].abs().max() > 2
    assert compose(there, back)[inner].abs().max() < 0.15
    assert jacobian_determinant(there).min() > 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("determinant", [jacobian_determinant, central_jacobian_determinant])
def test_jacobian_of_the_identity_is_one(shape, determinant):
    found = determinant(torch.zeros(2, len(shape), *shape))
    lost = 1 if determinant is jacobian_determinant else 4
    assert found.shape == (2, *(size - lost for size in shape))
    assert torch.equal(found, torch.ones_like(found))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("determinant", [jacobian_determinant, central_jacobian_determinant])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_jacobian_of_a_reflection_is_minus_one(shape, determinant, axis):
    matrix = torch.eye(len(shape))
    matrix[axis, axis] = -1
    found = determinant(linear_displacement(matrix, shape))
    torch.testing.assert_close(found, torch.full_like(found, -1))


@pytest.mark.parametrize("shape", SHAPES)
def test_published_jacobian_of_a_reflection_reads_plus_one(shape):
    matrix = torch.eye(len(shape))
    matrix[0, 0] = -1
    found = jacobian_determinant(linear_displacement(matrix, shape), absolute=True)
    torch.testing.assert_close(found, torch.ones_like(found))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("determinant", [jacobian_determinant, central_jacobian_determinant])
@pytest.mark.parametrize("scale", [0.5, 1.25, 3.0])
def test_jacobian_of_a_scaling_is_its_power(shape, determinant, scale):
    found = determinant(linear_displacement(scale * torch.eye(len(shape)), shape))
    torch.testing.assert_close(found, torch.full_like(found, scale ** len(shape)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("determinant", [jacobian_determinant, central_jacobian_determinant])
def test_jacobian_of_a_linear_map_is_its_determinant(shape, determinant):
    matrix = np.eye(len(shape)) + np.random.default_rng(3).normal(size=(len(shape),) * 2) / 3
    found = determinant(linear_displacement(matrix, shape, torch.float64))
    torch.testing.assert_close(found, torch.full_like(found, np.linalg.det(matrix)))


def test_central_jacobian_of_thin_volumes_loses_one_layer_on_each_side():
    found = central_jacobian_determinant(torch.zeros(1, 3, 10, 12, 4))
    assert found.shape == (1, 6, 8, 2)


@pytest.mark.parametrize("shape", [*SHAPES, (16, 24), (8, 16, 24), (1, 9)])
@pytest.mark.parametrize("multiple", [1, 4, 8])
def test_cropping_undoes_padding(shape, multiple):
    image = random_image(shape)
    padded = pad_to_multiple(image, multiple)
    assert all(size % multiple == 0 for size in padded.shape[2:])
    assert all(p - s < multiple for p, s in zip(padded.shape[2:], shape, strict=True))
    assert torch.equal(crop_to(padded, image.shape[2:]), image)


def test_padding_repeats_the_far_border():
    image = random_image((5, 6), batch=1, channels=1)
    padded = pad_to_multiple(image, 4)
    assert padded.shape == (1, 1, 8, 8)
    assert torch.equal(padded[..., 5:, :6], image[..., 4:5, :].expand(-1, -1, 3, -1))
    assert torch.equal(padded[..., :5, 6:], image[..., 5:6].expand(-1, -1, -1, 2))


@pytest.mark.parametrize("shape", [*SHAPES, (2, 2), (2, 3, 2)])
def test_forward_jacobian_agrees_with_loops(shape):
    u = random_displacement(shape)
    inner = [size - 1 for size in shape]
    found = forward_jacobian(u)
    assert [row.shape for row in found] == [(2, len(shape), *inner)] * len(shape)
    for j, row in enumerate(found):
        for place in np.ndindex(*inner):
            after = tuple(p + (axis == j) for axis, p in enumerate(place))
            slope = u[(..., *after)] - u[(..., *place)]
            assert torch.equal(row[(..., *place)], slope)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_jacobian_of_a_linear_map_is_its_matrix(shape):
    matrix = np.random.default_rng(5).normal(size=(len(shape),) * 2)
    found = forward_jacobian(linear_displacement(matrix, shape, torch.float64))
    for j, row in enumerate(found):
        for i in range(len(shape)):
            expected = torch.full_like(row[:, i], matrix[i, j] - (i == j))
            torch.testing.assert_close(row[:, i], expected)


def block_means(array, factor):
    """Means over blocks of (*S), the far border repeated, by loops."""
    count = [-(-size // factor) for size in array.shape]
    padded = np.pad(
        array,
        [(0, n * factor - size) for n, size in zip(count, array.shape, strict=True)],
        mode="edge",
    )
    means = np.empty(count)
    for place in np.ndindex(*count):
        means[place] = padded[tuple(slice(p * factor, (p + 1) * factor) for p in place)].mean()
    return means


def level_shape(shape, factor, up):
    return torch.Size(-(-size // factor) if up else size // factor for size in shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_coarsening_takes_means_over_blocks(shape, factor, up):
    field = random_image(shape).double()
    coarse = level_shape(shape, factor, up)
    found = coarsen(field, factor, coarse)
    assert found.shape == (2, 3, *coarse)
    inside = tuple(slice(size) for size in coarse)
    for b, c in np.ndindex(2, 3):
        expected = block_means(field[b, c].numpy(), factor)[inside]
        np.testing.assert_allclose(found[b, c], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_warped_level_samples_at_the_mean_displacement_in_its_own_voxels(shape, factor, up):
    coarse = level_shape(shape, factor, up)
    features = random_image(coarse).double()
    u = random_displacement(shape, size=2.0 * factor).double()
    found = warp_level(features, u, factor)
    assert found.shape == features.shape
    inside = tuple(slice(size) for size in coarse)
    for b in range(2):
        move = [block_means(channel.numpy(), factor)[inside] / factor for channel in u[b]]
        points = np.indices(coarse) + np.stack(move)
        for c in range(3):
            expected = ndimage.map_coordinates(
                features[b, c].numpy(), points, order=1, mode="nearest"
            )
            np.testing.assert_allclose(found[b, c], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_level_that_does_not_move_is_returned_bit_for_bit(shape, factor):
    features = random_image(level_shape(shape, factor, up=True))
    zero = torch.zeros(2, len(shape), *shape)
    assert torch.equal(warp_level(features, zero, factor), features)


@pytest.mark.parametrize("shape", [(16, 24), (8, 16, 8)])
@pytest.mark.parametrize("factor", [2, 4])
def test_features_that_are_block_means_move_as_the_image_does(shape, factor):
    """Warping before and after coarsening agree for shifts by whole blocks."""
    image = random_image(shape)
    u = torch.zeros(2, len(shape), *shape)
    u[:, 0] = factor
    coarse = level_shape(shape, factor, up=True)
    before, after = coarsen(warp(image, u), factor, coarse), coarsen(image, factor, coarse)
    after = warp_level(after, u, factor)
    torch.testing.assert_close(before[:, :, :-1], after[:, :, :-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 4), (4, 3, 5)])
def test_gradient_of_a_warped_level(shape):
    coarse = level_shape(shape, 2, up=True)
    features = random_image(coarse, channels=2).double().requires_grad_()
    # towards the middle and by less than a voxel of the level
    points = torch.stack(torch.meshgrid(*(torch.arange(s) for s in shape), indexing="ij"))
    middle = torch.tensor([2 * (size // 2) for size in coarse]).view(-1, *[1] * len(shape))
    towards = torch.where(points < middle, 0.6, -0.6).double()
    noise = 0.2 * random_displacement(shape, size=1).double().tanh()
    u = (towards + noise).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, v: warp_level(f, v, 2), (features, u))
