"""Target registration errors, and the rows of points that a test gives."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from bench.models.method import Objective
from bench.pair import Pair
from bench.scores.case import Case
from bench.scores.landmarks import nearer, rtre, tre, tre_median
from bench.scores.scoring import score_case
from bench.scores.summary import summarize
from bench.similarity import MSE
from bench.spatial.displacement import affine_origins, displacement_at
from bench.tasks.registration.testing import score_pairs

NAMES = {"tre", "tre_median", "rtre", "nearer"}
EDGES = {2: (2.0, 0.5), 3: (2.0, 0.5, 1.5)}


def case(moving, fixed, u=None, shape=(9, 11), spacing=(2.0, 0.5)):
    points = tuple(torch.tensor(points, dtype=torch.float32) for points in (moving, fixed))
    u = torch.zeros(1, len(shape), *shape) if u is None else u
    return Case(displacement=u, spacing=spacing, landmarks=points)


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 8)])
def test_errors_agree_with_numpy(shape):
    random = np.random.default_rng(0)
    ndim, edges = len(shape), EDGES[len(shape)]
    u = random.normal(size=(ndim, *shape))
    fixed = random.uniform(0, np.array(shape) - 1, size=(30, ndim))
    moving = random.uniform(0, np.array(shape) - 1, size=(30, ndim))
    offsets = [map_coordinates(component, fixed.T, order=1) for component in u]
    errors = np.linalg.norm((fixed + np.array(offsets).T - moving) * edges, axis=1)
    before = np.linalg.norm((fixed - moving) * edges, axis=1)
    one = case(moving, fixed, torch.tensor(u[None], dtype=torch.float32), shape, edges)
    assert tre(one) == pytest.approx(errors.mean(), rel=1e-5)
    assert tre_median(one) == pytest.approx(np.median(errors), rel=1e-5)
    diagonal = np.linalg.norm(np.array(shape) * edges)
    assert rtre(one) == pytest.approx(np.median(errors) / diagonal, rel=1e-5)
    assert nearer(one) == pytest.approx((errors < before).mean())


def test_fixed_points_are_mapped_into_the_moving_image():
    u = torch.zeros(1, 2, 9, 11)
    u[:, 0], u[:, 1] = 2, -3
    assert tre(case([[5, 4]], [[3, 7]], u)) == 0
    assert tre(case([[3, 7]], [[5, 4]], u)) == pytest.approx(math.hypot(4 * 2, 6 * 0.5))


def test_missing_points_and_points_outside_do_not_count():
    inside = [[2.0, 3], [4, 5]]
    moved = [[2.0, 5], [4, 9]]
    more = [[math.nan, 1], [3, 3], [8.6, 2], [1, 1]]
    others = [[1.0, 1], [math.nan, 3], [1, 1], [-0.6, 1]]
    assert tre(case(inside + more, moved + others)) == tre(case(inside, moved)) == 1.5
    nowhere = case(more, others)
    assert all(math.isnan(value) for value in score_case(nowhere).values() if value != value)
    assert {name for name, value in score_case(nowhere).items() if math.isnan(value)} == NAMES


def test_points_on_the_border_voxels_count():
    assert tre(case([[8.4, 0]], [[8.4, 10.4]])) == pytest.approx(5.2, rel=1e-6)


def test_cases_without_points_have_no_such_score():
    assert not NAMES & set(score_case(Case(torch.zeros(1, 2, 9, 11), spacing=(1, 1))))


def test_the_summary_has_the_quantile_of_the_worse_pairs():
    rows = [{"tre": float(value), "rtre": 0.1} for value in range(11)] + [{"tre": math.nan}]
    table = summarize(rows, ["tre", "rtre"])
    assert table["tre"]["p70"] == 7
    assert set(table["rtre"]) == {"mean", "std", "n"}
    assert summarize([{"tre": math.nan}], ["tre"])["tre"]["p70"] is None


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 8)])
def test_displacement_at_points_is_linear_between_voxels(shape):
    random = np.random.default_rng(1)
    u = random.normal(size=(2, len(shape), *shape))
    points = random.uniform(0, np.array(shape) - 1, size=(2, 5, len(shape)))
    expected = [
        [map_coordinates(component, some.T, order=1) for component in field]
        for field, some in zip(u, points, strict=True)
    ]
    found = displacement_at(torch.from_numpy(u), torch.from_numpy(points))
    np.testing.assert_allclose(found.numpy(), np.swapaxes(expected, 1, 2), atol=1e-12)


def test_displacement_at_points_has_a_gradient():
    random = torch.Generator().manual_seed(0)
    u = torch.randn(1, 2, 4, 5, dtype=torch.float64, generator=random, requires_grad=True)
    points = 0.3 + 2 * torch.rand(1, 3, 2, dtype=torch.float64, generator=random)
    assert torch.autograd.gradcheck(displacement_at, (u, points.requires_grad_()))


@pytest.mark.parametrize("shape", [(9, 11), (9, 11, 8)])
def test_origins_under_an_affine_map_are_moved_back(shape):
    ndim = len(shape)
    random = torch.Generator().manual_seed(2)
    matrix = torch.eye(ndim).double()
    matrix += 0.4 * torch.rand(ndim, ndim, generator=random, dtype=torch.float64)
    places = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij")).double()
    moved = torch.einsum("ij,j...->i...", matrix, places) + 1.5
    points = 5 * torch.rand(1, 6, ndim, generator=random, dtype=torch.float64)
    points[0, 2] = math.nan
    origins = affine_origins((moved - places)[None], points)
    torch.testing.assert_close(origins @ matrix.T + 1.5, points, equal_nan=True)


class Exact:
    """Moves everything by one voxel along the first axis."""

    def register(self, pair, objective):
        u = torch.zeros_like(pair.u)
        u[:, 0] = 1
        return u


def test_a_test_gives_a_row_for_each_point(tiny_datasets):
    dataset = tiny_datasets[2]
    objective = Objective(MSE(), None, 0.0)
    (first, *_) = score_pairs(Exact(), objective, dataset, torch.device("cpu"))
    rows, (pair,) = first.rows["landmarks.csv"], first.rows["pairs.csv"]
    assert pair["landmarks"] == len(rows) == dataset.landmarks.shape[1]
    assert pair["landmarks_outside"] == sum(row["outside"] for row in rows)
    assert {(row["moving"], row["fixed"]) for row in rows} == {(pair["moving"], pair["fixed"])}
    counted = [row for row in rows if not row["outside"]]
    for score, column in (("tre", "tre"), ("tre_before", "tre_before")):
        mean = sum(row[column] for row in counted) / len(counted)
        assert pair[score] == pytest.approx(mean)
    assert set(first.scores) >= NAMES
    for row in rows:
        assert row["mapped_0"] == pytest.approx(row["fixed_0"] + 1, abs=1e-5)
        apart = [row[f"mapped_{i}"] - row[f"moving_{i}"] for i in range(2)]
        edges = dataset.spacing
        assert row["tre"] == pytest.approx(math.hypot(*np.multiply(apart, edges)), abs=1e-4)


def test_pairs_hand_points_on():
    points = torch.arange(24.0).view(2, 3, 2, 2).unbind(1)[:2]
    images = torch.zeros(2, 2, 1, 5, 6)
    pair = Pair(images[0], images[1], landmarks=lambda: points)
    moved = pair.at(torch.ones(2, 2, 5, 6))
    torch.testing.assert_close(moved.mapped_landmarks, points[1] + 1)
    torch.testing.assert_close(pair.reversed().landmarks[0], points[1])
    torch.testing.assert_close(moved.one(1).landmarks[0], points[0][1:])
    assert not Pair(images[0], images[1]).reversed().has_landmarks
