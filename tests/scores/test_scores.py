"""Scores against hand-made cases and independent formulas."""

import math

import numpy as np
import pytest
import torch
from conf_options import compose
from scipy import ndimage

from bench.scores import smoothness
from bench.scores.case import Case
from bench.scores.consistency import inverse_consistency_error
from bench.scores.overlap import (
    dice_per_class,
    foreground_dice,
    hd95_per_class,
    published_dice,
)
from bench.scores.scoring import class_scores, score_case
from bench.scores.smoothness import (
    folding,
    nondiffeomorphic_volume,
    published_logj_variance,
    sdlogj,
    sdlogj_positive,
)
from bench.scores.summary import batch_of, summarize, validation_means
from bench.spatial.displacement import integrate
from bench.tasks.registration.testing import label_maps

SHAPES = [(17, 22), (10, 13, 15)]


def smooth_displacement(shape, size, seed=0):
    random = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(random.normal(size=shape), 2) for _ in shape]
    return size * np.stack([field / field.std() for field in fields])


def blobs(shape, seed):
    """A label map of smooth blobs of two classes."""
    random = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(random.normal(size=shape), 2)
    return np.digitize(field / field.std(), [0.3, 1.0]).astype(np.uint8)


def test_dice_of_equal_maps_is_one():
    labels = torch.tensor([[0, 1, 2], [2, 1, 0]])
    assert dice_per_class(labels, labels, 3).tolist() == [1, 1, 1]


def test_dice_of_disjoint_maps_is_zero():
    first = torch.tensor([0, 0, 1, 1])
    assert dice_per_class(first, 1 - first, 2).tolist() == [0, 0]


def test_dice_by_hand():
    first = torch.tensor([0, 1, 1, 1, 2, 2], dtype=torch.uint8)
    second = torch.tensor([0, 0, 1, 1, 1, 2], dtype=torch.uint8)
    assert dice_per_class(first, second, 3).tolist() == pytest.approx([2 / 3, 4 / 6, 2 / 3])


def test_dice_of_many_classes_does_not_overflow_uint8_labels():
    first = torch.arange(256).to(torch.uint8)
    assert torch.equal(dice_per_class(first, first, 256), torch.ones(256, dtype=torch.float64))


@pytest.mark.parametrize("shape", SHAPES)
def test_dice_agrees_with_counting_in_numpy(shape):
    first, second = blobs(shape, 1), blobs(shape, 2)
    expected = [
        2 * np.sum((first == k) & (second == k)) / (np.sum(first == k) + np.sum(second == k))
        for k in range(3)
    ]
    found = dice_per_class(torch.from_numpy(first), torch.from_numpy(second), 3)
    assert found.tolist() == pytest.approx(expected)


def test_absent_class_is_left_out_of_the_foreground_but_zero_in_the_published_mean():
    first = torch.tensor([0, 0, 1, 1])
    second = torch.tensor([0, 1, 1, 1])
    dice = dice_per_class(first, second, 3)
    assert math.isnan(dice[2])
    assert foreground_dice(dice) == pytest.approx(4 / 5)
    assert published_dice(dice) == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)


def test_class_in_one_map_only_counts_as_zero():
    dice = dice_per_class(torch.tensor([0, 0, 1]), torch.tensor([0, 2, 1]), 3)
    assert float(dice[2]) == 0
    assert foreground_dice(dice) == pytest.approx(0.5)


def test_foreground_dice_without_foreground_is_nan():
    nothing = torch.zeros(4, dtype=torch.uint8)
    assert math.isnan(foreground_dice(dice_per_class(nothing, nothing, 3)))


def hd95_by_distance_transforms(first, second, spacing):
    def surface(mask):
        return mask & ~ndimage.binary_erosion(mask, border_value=0)

    def distances(source, target):
        to_target = ndimage.distance_transform_edt(~surface(target), sampling=spacing)
        return to_target[surface(source)]

    return max(np.percentile(distances(*pair), 95) for pair in ((first, second), (second, first)))


@pytest.mark.parametrize(
    ("shape", "spacing"), [((33, 41), (0.7, 1.9)), ((18, 21, 16), (0.8, 1.0, 2.5))]
)
@pytest.mark.parametrize("seed", range(3))
def test_hd95_agrees_with_distance_transforms(shape, spacing, seed):
    first, second = blobs(shape, seed), blobs(shape, seed + 100)
    found = hd95_per_class(first, second, 3, spacing)
    assert math.isnan(found[0])
    for label in (1, 2):
        expected = hd95_by_distance_transforms(first == label, second == label, spacing)
        assert found[label] == pytest.approx(expected, rel=1e-5)


def test_hd95_of_shifted_points_is_the_shift_in_mm():
    first, second = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    first[5, 5] = second[8, 5] = 1
    assert hd95_per_class(first, second, 2, (2.5, 1.0))[1] == pytest.approx(7.5)


def test_hd95_of_equal_maps_is_zero_and_of_missing_classes_nan():
    first = blobs((20, 22), 0)
    assert hd95_per_class(first, first, 3, (1, 1))[1:] == [0, 0]
    without = np.where(first == 2, 0, first)
    found = hd95_per_class(first, without, 4, (1, 1))
    assert math.isfinite(found[1])
    assert math.isnan(found[2])
    assert math.isnan(found[3])


def sdlogj_by_scipy(u):
    """The Learn2Reg evaluation: central differences by correlation, two voxels cut, plus 3."""
    ndim = len(u)
    jacobian = np.zeros((ndim, ndim, *u.shape[1:]))
    for j in range(ndim):
        kernel = np.array([-0.5, 0, 0.5]).reshape([-1 if k == j else 1 for k in range(ndim)])
        for i in range(ndim):
            jacobian[i, j] = ndimage.correlate(u[i], kernel, mode="constant", cval=0.0)
    jacobian += np.eye(ndim).reshape(ndim, ndim, *[1] * ndim)
    inner = jacobian[(slice(None), slice(None), *[slice(2, -2)] * ndim)]
    determinant = np.linalg.det(np.moveaxis(inner, (0, 1), (-2, -1)))
    return np.log((determinant + 3).clip(1e-9, 1e9)).std()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.3, 2.0, 8.0])
def test_sdlogj_agrees_with_scipy(shape, size):
    u = smooth_displacement(shape, size)
    found = sdlogj(torch.from_numpy(u[None]).float())
    assert found == pytest.approx(sdlogj_by_scipy(u.astype(np.float32).astype(float)), rel=1e-6)


def logj_variance_by_numpy(u):
    ndim = len(u)
    inner = [slice(0, -1)] * ndim
    jacobian = np.empty((*(s - 1 for s in u.shape[1:]), ndim, ndim))
    for i in range(ndim):
        for j in range(ndim):
            cut = tuple(slice(None) if k == j else inner[k] for k in range(ndim))
            jacobian[..., i, j] = np.abs(np.diff(u[i], axis=j)[cut] + (i == j))
    return np.log(np.abs(np.linalg.det(jacobian)).clip(1e-9)).var(ddof=1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.3, 3.0])
def test_published_variance_agrees_with_numpy(shape, size):
    u = smooth_displacement(shape, size)
    found = published_logj_variance(torch.from_numpy(u[None]))
    assert found == pytest.approx(logj_variance_by_numpy(u), rel=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_smoothness_scores_of_the_identity_are_zero(shape):
    scores = score_case(Case(torch.zeros(1, len(shape), *shape)))
    assert scores == pytest.approx(dict.fromkeys(scores, 0), abs=1e-12)
    assert set(scores) == {"folding", "sdlogj", "sdlogj_positive", "ndv", "logj_var_published"}


@pytest.mark.parametrize("shape", SHAPES)
def test_folding_is_the_share_of_a_planted_fold(shape):
    u = torch.zeros(1, len(shape), *shape)
    u[0, 0, 5] = 2.5  # passes the rows 6 and 7: the difference after row 5 is 1 - 2.5 < 0
    assert folding(u) == pytest.approx(1 / (shape[0] - 1))


def test_a_collapse_to_a_point_counts_as_folding():
    u = torch.zeros(1, 2, 9, 9)
    u[0, 0, 4] = 1  # rows 4 and 5 land on the same place
    assert folding(u) == pytest.approx(1 / 8)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [0.3, 2.0])
def test_sd_over_positive_determinants_agrees_with_numpy(shape, size):
    u = smooth_displacement(shape, size)
    phi = u + np.indices(shape)
    inner = (slice(2, -2),) * len(shape)
    gradients = np.array([np.gradient(component) for component in phi])[:, :, *inner]
    determinant = np.linalg.det(np.moveaxis(gradients, (0, 1), (-2, -1)))
    assert (determinant > 0).all() == (size < 1)
    expected = np.log(determinant[determinant > 0]).std()
    found = sdlogj_positive(torch.from_numpy(u[None]))
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_learn2reg_shift_makes_a_quarter_of_small_deviations(shape):
    u = torch.from_numpy(smooth_displacement(shape, 0.02)[None])
    assert sdlogj(u) == pytest.approx(sdlogj_positive(u) / 4, rel=0.01)


SIMPLICES = {  # of a cell in its two divisions, by corners in the order of positive volume
    2: ["00 10 01", "11 01 10", "10 11 00", "01 00 11"],
    3: [
        *("000 100 010 001", "110 010 100 111", "101 001 111 100", "011 111 001 010"),
        "100 010 001 111",
        *("100 000 101 110", "010 110 011 000", "001 101 000 011", "111 011 110 101"),
        "000 110 011 101",
    ],
}


def signed_volumes(phi, cell):
    """Of the simplices of one cell under Φ (D, *S)."""
    for corners in SIMPLICES[len(phi)]:
        first, *others = (
            phi[(slice(None), *(c + int(o) for c, o in zip(cell, corner, strict=True)))]
            for corner in corners.split()
        )
        yield np.linalg.det([other - first for other in others]) / math.factorial(len(phi))


@pytest.mark.parametrize("shape", [(9, 12), (5, 6, 7)])
@pytest.mark.parametrize("size", [0.4, 2.0, 6.0])
@pytest.mark.parametrize("together", [1, 70, 1000])
def test_nondiffeomorphic_volume_agrees_with_going_through_all_simplices(
    shape, size, together, monkeypatch
):
    monkeypatch.setattr(smoothness, "TOGETHER", together)
    u = smooth_displacement(shape, size)
    phi = u + np.indices(shape)
    cells = list(np.ndindex(*(n - 1 for n in shape)))
    still = [list(signed_volumes(np.indices(shape).astype(float), cell)) for cell in cells]
    assert np.min(still) > 0
    assert np.sum(still) == pytest.approx(2 * len(cells))
    folded = sum(max(-v, 0) for cell in cells for v in signed_volumes(phi, cell))
    expected = folded / 2 / len(cells)
    assert (expected > 0) == (size > 1)
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        found = nondiffeomorphic_volume(torch.from_numpy(u[None]).to(dtype))
        assert found == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_nondiffeomorphic_volume_of_a_reflection_is_the_volume_that_it_takes(shape, scale):
    u = torch.zeros(1, len(shape), *shape)
    u[0, 0] = -(1 + scale) * torch.arange(shape[0]).view(-1, *[1] * (len(shape) - 1))
    assert nondiffeomorphic_volume(u) == pytest.approx(scale)


@pytest.mark.parametrize("shape", SHAPES)
def test_nondiffeomorphic_volume_sees_what_central_differences_miss(shape):
    u = torch.zeros(1, len(shape), *shape)
    u[0, 0, 1::2] = 1.5  # every other row passes the next: 1 - 1.5 = -0.5 after it
    assert sdlogj(u) == pytest.approx(0, abs=1e-12)
    assert sdlogj_positive(u) == 0
    folded = (shape[0] - 1) // 2
    assert nondiffeomorphic_volume(u) == pytest.approx(0.5 * folded / (shape[0] - 1))


def test_scores_of_labels_are_those_of_the_warped_map():
    moving = torch.zeros(1, 1, 12, 12, dtype=torch.uint8)
    moving[..., 3:6, 4:8] = 1
    fixed = moving.roll(2, dims=2)
    u = torch.zeros(1, 2, 12, 12)

    def case():
        return Case(None, *label_maps(moving, fixed, u), classes=2, spacing=(2.0, 1.0))

    before, classes_before = score_case(case()), class_scores(case())
    u[:, 0] = -2
    after, classes_after = score_case(case()), class_scores(case())
    assert before["dice"] == pytest.approx(1 / 3)
    assert before["hd95"] == pytest.approx(4)
    assert after == {"dice": 1, "dice_published": 1, "hd95": 0, "hd95_left_out": 0}
    assert classes_before[1]["dice"] == pytest.approx(1 / 3)
    assert classes_after[1] == {"dice": 1, "hd95": 0}


def test_summary_leaves_nan_out_and_says_how_many_it_counted():
    rows = [{"dice": 0.5, "hd95": math.nan}, {"dice": 0.7}, {"dice": math.nan, "hd95": 3.0}]
    table = summarize(rows, ["dice", "hd95", "folding"])
    assert table["dice"] == {
        "mean": pytest.approx(0.6),
        "std": pytest.approx(np.std([0.5, 0.7], ddof=1)),
        "n": 2,
    }
    assert table["hd95"] == {"mean": 3.0, "std": None, "n": 1}
    assert table["folding"] == {"mean": None, "std": None, "n": 0}


def test_validation_leaves_pairs_without_foreground_out_of_dice_alone():
    rows = [{"loss": 1.0, "dice": 0.5}, {"loss": 2.0, "dice": math.nan}, {"loss": 6.0, "dice": 0.7}]
    assert validation_means(rows) == {"loss": 3.0, "dice": pytest.approx(0.6)}
    rows[0]["loss"] = math.nan
    assert math.isnan(validation_means(rows)["loss"])
    assert math.isnan(validation_means([rows[1]])["dice"])


@pytest.mark.parametrize("shape", [(9, 8), (7, 6, 5)])
def test_inverse_consistency_error_is_the_distance_from_the_start(shape):
    forward = torch.zeros(1, len(shape), *shape)
    forward[:, 0] = 2
    spacing = (1.5, *[1.0] * (len(shape) - 1))
    assert inverse_consistency_error(forward, -forward, spacing) == 0
    reverse = torch.zeros_like(forward)
    reverse[:, 0], reverse[:, 1] = -4, 3  # back by 4 of 1.5 mm after 2, and 3 of 1 mm aside
    expected = math.hypot(2 * 1.5, 3)
    assert inverse_consistency_error(forward, reverse, spacing) == pytest.approx(expected)


def test_velocity_and_its_negative_are_inverse_consistent():
    velocity = torch.from_numpy(smooth_displacement((24, 24), 0.5))[None]
    forward, backward = integrate(velocity), integrate(-velocity)
    assert inverse_consistency_error(forward, backward, (1, 1)) < 0.05


def test_lost_class_is_counted_beside_the_distance_that_it_leaves():
    fixed = np.zeros((12, 12), np.int64)
    fixed[1:4, 1:4], fixed[8:11, 8:11] = 1, 2
    moved, lost = np.roll(fixed, 2, axis=0), fixed.copy()
    moved[fixed == 1], lost[fixed == 2] = 1, 0
    case = {"fixed": fixed, "classes": 3, "spacing": (1.0, 1.0)}
    whole, less = (score_case(Case(warped=warped, **case)) for warped in (moved, lost))
    assert less["hd95"] < whole["hd95"]  # by the class that is no longer there
    assert (whole["hd95_left_out"], less["hd95_left_out"]) == (0, 1)
    added = score_case(Case(warped=fixed, **{**case, "fixed": lost}))
    assert added["hd95_left_out"] == 1
    absent = score_case(Case(warped=lost, **{**case, "fixed": lost}))
    assert absent["hd95_left_out"] == 0


def test_times_that_a_batch_shares_have_no_deviation():
    rows = [{"seconds": value, "folding": value} for value in (1.0, 2.0, 3.0)]
    assert summarize(rows, ["seconds"])["seconds"]["std"] == 1
    table = summarize(rows, ["seconds", "folding"], batch=2)
    assert table["seconds"] == {"mean": 2, "std": None, "n": 3}
    assert table["folding"]["std"] == 1


@pytest.mark.parametrize(("overrides", "batch"), [([], 1), (["model=direct", "model.batch=4"], 4)])
def test_batch_is_that_of_the_configuration(overrides, batch):
    assert batch_of(compose(overrides)) == batch


def test_a_models_own_kind_of_batch_does_not_share_seconds():
    assert batch_of({"model": {"batch": "whole"}}) == batch_of({"model": {"batch": None}}) == 1
