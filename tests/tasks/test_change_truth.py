"""Components of label maps that appear, vanish, divide or merge."""

import numpy as np
import pytest

from bench.tasks.changes.truth import changed_components


def squares(*places, shape=(40, 40), size=4):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[tuple(slice(at, at + size) for at in place)] = True
    return mask


STAYS = (2, 2)


@pytest.mark.parametrize("ndim", [2, 3])
def test_components_that_come_and_go(ndim):
    shape = (40,) * ndim
    rest = (20,) * (ndim - 2)
    stays, goes, comes = ((*place, *rest) for place in (STAYS, (10, 10), (20, 20)))
    moving, fixed = squares(stays, goes, shape=shape), squares(stays, comes, shape=shape)
    for kinds, places in (
        (["appear"], [comes]),
        (["vanish"], [goes]),
        (["appear", "vanish"], [comes, goes]),
        (["divide", "merge"], []),
    ):
        found = changed_components(moving, fixed, kinds)
        assert np.array_equal(found, squares(*places, shape=shape))


def test_components_that_divide_and_merge_are_marked_in_the_fixed_image():
    whole = squares((10, 10), (10, 14), STAYS)  # one of 4 x 8
    parts = squares((10, 9), (10, 15), STAYS)
    assert np.array_equal(changed_components(whole, parts, ["divide"]), squares((10, 9), (10, 15)))
    assert not changed_components(whole, parts, ["merge", "appear", "vanish"]).any()
    merged = changed_components(parts, whole, ["merge"])
    assert np.array_equal(merged, squares((10, 10), (10, 14)))


def test_components_correspond_from_a_tenth_of_the_smaller_on():
    moving = squares((10, 10), size=10)
    least = np.zeros_like(moving)
    least[19:29, 10:20] = True  # 10 of 100 voxels in common
    assert not changed_components(moving, least).any()
    less = np.roll(least, 1, axis=1)
    assert np.array_equal(changed_components(moving, less, ["appear"]), less)


def test_specks_are_as_if_they_were_not_there():
    moving, fixed = squares((10, 10)), squares((10, 10), (20, 20))
    moving[30, 30], fixed[35, 35], fixed[20, 30:36] = True, True, True
    found = changed_components(moving, fixed, ["appear", "vanish"], smallest=7)
    assert np.array_equal(found, squares((20, 20)))


def test_components_that_touch_at_a_corner_are_one():
    corner = squares((10, 10), (14, 14))
    assert not changed_components(squares((10, 10)), corner).any()
