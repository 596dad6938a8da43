"""Components of a change that peaks of a map find."""

import numpy as np
import pytest

from bench.scores.case import Case
from bench.scores.peaks import found_at_1, found_at_4, peaks, share_found


def spots(shape, heights):
    """A map with a bright square of 5 at each place."""
    found = np.zeros(shape)
    for place, height in heights.items():
        found[tuple(slice(at - 2, at + 3) for at in place)] = height
    return found


PLACES = {(10, 10): 5.0, (10, 40): 4.0, (40, 10): 3.0, (40, 40): 2.0}


def changed(*places):
    return spots((50, 50), dict.fromkeys(places, 1)) > 0


def test_components_are_found_in_the_order_of_their_peaks():
    found, change = spots((50, 50), PLACES), changed((10, 40), (40, 40))
    case = Case(change=change, maps={"main": found})  # false: the first peak and the third
    assert found_at_1(case, "main") == 0.5
    assert found_at_4(case, "main") == 1
    counted = np.ones(change.shape, bool)
    counted[:20, :20] = False  # leaves only one false peak
    case = Case(change=change, maps={"main": found}, counted=counted)
    assert found_at_1(case, "main") == 1


def test_component_counts_once_and_one_without_a_peak_is_not_found():
    components = np.zeros((50, 50), int)
    components[5:45, 5:20] = 1  # two peaks in one
    components[20:24, 30:34] = 2
    listed = peaks(spots((50, 50), PLACES), components, None, 1)
    assert listed[:4] == [1, 0, 1, 0]
    assert listed.count(0) == 2
    assert share_found(listed, 1, 2) == 0.5
    assert np.isnan(share_found([0, 0], 1, 0))


def test_peaks_are_apart_in_volumes_too():
    found = spots((20, 21, 22), {(5, 5, 5): 2.0, (14, 14, 14): 1.0})
    components = np.zeros(found.shape, int)
    components[12:16, 12:16, 12:16] = 1
    assert peaks(found, components, None, 3) == [0, 1]


@pytest.mark.parametrize("counted", [np.zeros((9, 9), bool), None])
def test_nothing_to_find_is_no_score(counted):
    change = np.zeros((9, 9), bool)
    case = Case(change=change, maps={"main": np.ones((9, 9))}, counted=counted)
    assert np.isnan(found_at_1(case, "main"))
