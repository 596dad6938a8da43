"""Direct registration: known deformations, batches, stops and settings."""

import pytest
import torch
import torch.nn.functional as F
from scipy.interpolate import BSpline

from bench.errors import ConfigError, Unsupported
from bench.models.control_grid import Axis, expand
from bench.models.descent import Stop, minimize
from bench.models.direct import Direct
from bench.models.method import Objective
from bench.pair import Pair
from bench.regularizers import Diffusion
from bench.similarity import MIND, MSE, NCC, Keypoints, WeightedSum
from bench.spatial.displacement import compose, displacement_at, warp
from bench.spatial.jacobian import jacobian_determinant

SHAPES = {2: (37, 52), 3: (21, 26, 33)}
FAST = {"spacing": [8, 4], "pooling": [2, 1], "steps": [30, 40], "rate": [0.5, 0.2]}


def smooth_noise(shape, channels, cells, seed):
    """Random values between -1 and 1 on a coarse grid, interpolated."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, channels, *[cells] * len(shape), generator=generator) * 2 - 1
    mode = "bicubic" if len(shape) == 2 else "trilinear"
    return F.interpolate(coarse, size=shape, mode=mode, align_corners=True)


def known(ndim, size=2.0, seed=0):
    """A pair, and the smooth displacement that makes its fixed image from its moving one."""
    shape = SHAPES[ndim]
    moving = smooth_noise(shape, 1, 9, seed)
    u = size * smooth_noise(shape, ndim, 4, seed + 1)
    return Pair(moving, warp(moving, u)), u


def batch_of(*pairs):
    return Pair(torch.cat([p.moving for p in pairs]), torch.cat([p.fixed for p in pairs]))


def objective(metric=None, weight=0.01):
    return Objective(metric or MSE(), Diffusion(), weight)


def inner(field):
    """Without what lies near the border, where a displacement reaches outside."""
    return field[(..., *[slice(4, -4)] * (field.ndim - 2))]


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_velocity_has_an_inverse(ndim):
    pair, _ = known(ndim)
    direct = Direct(ndim, 1, grid="velocity", **{**FAST, "steps": [15, 10]})
    u, back = direct.register(pair, objective()), direct.inverse(pair, objective())
    there = inner(u).square().mean().sqrt()
    assert inner(compose(u, back)).square().mean().sqrt() < 0.1 * there
    assert Direct(ndim, 1, **FAST).inverse(pair, objective()) is None


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("metric", [Keypoints(), WeightedSum({"a": Keypoints()}, {"a": 2})])
def test_brings_landmarks_together(ndim, metric):
    pair, u = known(ndim)
    size = torch.tensor(SHAPES[ndim]) - 1.0
    fixed = torch.rand(1, 40, ndim, generator=torch.Generator().manual_seed(7)) * size
    moving = fixed + displacement_at(u, fixed)
    pair = Pair(pair.moving, pair.fixed, landmarks=lambda: (moving, fixed))
    found = Direct(ndim, 1, **FAST).register(pair, objective(metric))
    assert Keypoints()(pair.at(found)) < 0.05 * Keypoints()(pair)


@pytest.mark.parametrize("grid", ["bspline", "dense", "velocity"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_finds_a_known_displacement(ndim, grid):
    pair, u = known(ndim)
    found = Direct(ndim, 1, grid=grid, **FAST).register(pair, objective())
    assert found.shape == u.shape
    assert found.dtype == torch.float32
    error = inner(found - u).square().mean().sqrt()
    assert error < 0.3 * inner(u).square().mean().sqrt()


@pytest.mark.parametrize("metric", [NCC(window=5), MIND(radius=1)], ids=["ncc", "mind"])
def test_other_metrics_register_too(metric):
    pair, _ = known(3)
    u = Direct(3, 1, **FAST).register(pair, objective(metric, 0.05))
    before = F.mse_loss(pair.moving, pair.fixed)
    assert F.mse_loss(warp(pair.moving, u), pair.fixed) < 0.1 * before


@pytest.mark.parametrize("metric", [MSE(), NCC(window=5)], ids=["mse", "ncc"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_pair_does_not_depend_on_its_batch(ndim, metric):
    pairs = [known(ndim, size, seed)[0] for size, seed in ((0.2, 5), (3.0, 7), (1.0, 9))]
    method = Direct(ndim, 1, **FAST, gain=0.05)
    together = method.register(batch_of(*pairs), objective(metric))
    for index, pair in enumerate(pairs):
        alone = method.register(pair, objective(metric))
        torch.testing.assert_close(together[index : index + 1], alone, atol=1e-3, rtol=0)


def test_twice_gives_the_same():
    pair, _ = known(2)
    first, second = (Direct(2, 1, **FAST).register(pair, objective()) for _ in range(2))
    assert torch.equal(first, second)


def test_works_where_gradients_are_off():
    pair, _ = known(2)
    expected = Direct(2, 1, **FAST).register(pair, objective())
    with torch.no_grad():
        found = Direct(2, 1, **FAST).register(pair, objective())
    assert torch.equal(found, expected)
    assert not found.requires_grad


def test_large_velocities_do_not_fold():
    pair, _ = known(2, 10.0, 11)
    folds = {}
    for grid in ("bspline", "velocity"):
        u = Direct(2, 1, grid=grid, **FAST).register(pair, objective(weight=0.02))
        folds[grid] = int((jacobian_determinant(u) <= 0).sum())
    assert folds["bspline"] > 0  # so the pair asks for it
    assert folds["velocity"] == 0


@pytest.mark.parametrize("patience", [0, 5])
def test_a_pair_stops_when_it_gains_no_more(patience):
    target = torch.tensor([[0.0, 0.0], [30.0, -30.0]])

    def losses(x, active):
        return 1 + (x - target[active]).square().sum(1)

    x, made = minimize(losses, torch.zeros(2, 2), 400, 0.2, Stop(patience, 1e-3))
    torch.testing.assert_close(x, target, atol=0.5, rtol=0)
    if patience:
        assert made[0] == patience
        assert patience < made[1] < 400
    else:
        assert made.tolist() == [400, 400]


def test_refinement_starts_at_what_it_is_given():
    pair, u = known(2)
    method = Direct(2, 1, **FAST)
    rough = 0.6 * u
    refined = method.refine(pair, objective(), rough, 40)
    before, after = (inner(field - u).square().mean() for field in (rough, refined))
    assert after < 0.3 * before
    assert (method.refine(pair, objective(), rough, 1) - rough).abs().max() <= FAST["rate"][
        -1
    ] * 1.01


@pytest.mark.parametrize(("size", "spacing"), [(21, 4), (16, 8), (13, 1.5)])
def test_cubic_splines_are_those_of_scipy(size, spacing):
    axis = Axis.covering(size, spacing, 3)
    control = torch.rand(1, 1, axis.count, dtype=torch.float64)
    points = torch.arange(size, dtype=torch.float64)
    first = axis.origin - 2 * spacing
    knots = first + spacing * torch.arange(axis.count + 4, dtype=torch.float64)
    expected = BSpline(knots.numpy(), control[0, 0].numpy(), 3)(points.numpy())
    found = expand(control, [axis.values(points)])
    torch.testing.assert_close(found[0, 0], torch.from_numpy(expected))


@pytest.mark.parametrize("shape", SHAPES.values())
def test_expansion_is_the_sum_over_control_points(shape):
    axes = [Axis.covering(size, 4 + i, 3) for i, size in enumerate(shape)]
    control = torch.rand(2, len(shape), *[axis.count for axis in axes], dtype=torch.float64)
    matrices = [axis.values(torch.arange(axis.size, dtype=torch.float64)) for axis in axes]
    letters, points = "ijk"[: len(shape)], "xyz"[: len(shape)]
    pairs = ",".join(f"{p}{letter}" for p, letter in zip(points, letters, strict=True))
    expected = torch.einsum(f"bc{letters},{pairs}->bc{points}", control, *matrices)
    torch.testing.assert_close(expand(control, matrices), expected)


@pytest.mark.parametrize("degree", [1, 3])
def test_half_the_spacing_says_the_same(degree):
    coarse, fine = (Axis.covering(45, spacing, degree) for spacing in (8, 4))
    control = torch.rand(coarse.count, 1, dtype=torch.float64)
    voxels = torch.arange(45, dtype=torch.float64)
    finer = fine.from_coarser(coarse) @ control
    torch.testing.assert_close(fine.values(voxels) @ finer, coarse.values(voxels) @ control)


@pytest.mark.parametrize("ndim", [2, 3])
def test_convex_start_finds_a_shift_that_descent_does_not(ndim):
    shape, shift = {2: (56, 64), 3: (40, 32, 36)}[ndim], 8
    cells = smooth_noise([size + shift for size in shape], 1, 16, 3)
    window = [slice(0, size) for size in shape[1:]]
    fixed = cells[(..., slice(shift, shift + shape[0]), *window)].contiguous()
    moving = cells[(..., slice(0, shape[0]), *window)].contiguous()
    pair = Pair(moving, fixed)
    errors = {}
    for start in ("identity", "convex"):
        method = Direct(ndim, 1, start=start, spacing=[4], pooling=[1], steps=[20], rate=[0.1])
        u = method.register(pair, objective(MIND(1, 1), 0.05))
        wanted = torch.zeros_like(u)
        wanted[:, 0] = shift
        far = (slice(None), slice(None), slice(4, -shift - 4), *[slice(4, -4)] * (ndim - 1))
        errors[start] = float((u - wanted)[far].norm(dim=1).mean())
    assert errors["convex"] < 2
    assert errors["identity"] > 4


def test_each_pair_has_the_value_it_has_alone():
    pairs = batch_of(known(2)[0], known(2, 1.0, 4)[0])
    for metric in (MSE(), MSE("foreground"), NCC(window=5), MIND()):
        values = metric.each(pairs)
        assert values.shape == (2,)
        for index in range(2):
            torch.testing.assert_close(values[index], metric(pairs.one(index)))


def test_a_metric_without_gradient_is_refused():
    def steps(pair):
        return (pair.warped > 0.5).float().mean()

    with pytest.raises(Unsupported, match="differentiable in the displacement, and steps is not"):
        Direct(2, 1, **FAST).register(known(2)[0], objective(steps))


def test_convex_start_refuses_a_metric_without_features():
    method = Direct(2, 1, start="convex")
    assert "needs a metric of features" in method.accepts(objective())
    assert method.accepts(objective(MIND())) is None
    assert Direct(2, 1).accepts(objective()) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": "fine"}, "model.grid=fine: must be one of bspline, dense, velocity"),
        ({"start": "affine"}, "model.start=affine: must be one of identity, convex"),
        ({"spacing": 4}, "model.spacing=4: must be a list"),
        ({"steps": [10, 10]}, r"model.steps=\[10,10\]: has 2 numbers, but model.spacing has 4"),
        (
            {"steps": [10, 0, 1, 1]},
            r"model.steps=\[10,0,1,1\]: must be whole numbers of at least 1",
        ),
        ({"rate": [0.1, 0, 1, 1]}, r"model.rate=\[0.1,0,1,1\]: must be numbers above 0"),
        ({"patience": -1}, "model.patience=-1: must be a whole number of at least 0"),
        ({"pooling": [8, 4, 2, 2]}, r"model.pooling=\[8,4,2,2\]: must be 1 at the last level"),
        ({"gain": -0.1}, "model.gain=-0.1: must be a share from 0 to below 1"),
        ({"gain": True}, "model.gain=true: must be a share from 0 to below 1"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        Direct(2, 1, **settings)
