"""Scores of order: against values by hand, scikit-learn and SciPy."""

import math

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score, precision_recall_curve

from bench.scores.perception import (
    agreement,
    along_path,
    average_precision,
    rank_correlation,
    two_afc,
)


def test_2afc_is_the_share_of_pairs_in_order() -> None:
    assert two_afc([1, 2, 3, 4]) == 1
    assert two_afc([4, 3, 2, 1]) == 0
    assert two_afc([1, 3, 2]) == pytest.approx(2 / 3)  # of 1 3, 1 2, 3 2
    assert two_afc([1, 3, 2], adjacent=True) == pytest.approx(1 / 2)  # of 1 3, 3 2
    assert two_afc([-3, -2, -1]) == 1


def test_2afc_counts_ties_as_a_half() -> None:
    assert two_afc([1, 1]) == 0.5
    assert two_afc([0, 0, 0]) == 0.5
    assert two_afc([1, 1 + 1e-7]) == two_afc([1 + 1e-7, 1]) == 0.5
    assert two_afc([1, 1.001]) == 1
    assert two_afc([1, 2, 2], adjacent=True) == 0.75


def test_2afc_of_a_judge_who_is_always_right_is_that_of_lpips() -> None:
    d = np.random.default_rng(0).integers(0, 4, 12).astype(float)
    by_hand = []
    for i in range(len(d)):
        for j in range(i + 1, len(d)):
            h = 0.0  # share of judges who prefer the second image
            by_hand.append((1 - h) if d[i] < d[j] else h if d[j] < d[i] else 0.5)
    assert two_afc(d) == pytest.approx(np.mean(by_hand))


def test_2afc_of_images_that_stand_at_one_place_counts_pairs_of_two_places() -> None:
    assert two_afc([1, 2, 3], order=[0, 1, 1]) == 1
    assert two_afc([2, 1, 3], order=[0, 1, 1]) == 0.5
    assert two_afc([5, 1, 2, 2], order=[0, 0, 1, 1]) == 0.5  # 5 against 2 twice, 1 against 2 twice
    assert math.isnan(two_afc([1, 2], order=[1, 1]))


def test_agreement_with_people_by_hand() -> None:
    assert agreement(1, 2, 0.2) == pytest.approx(0.8)
    assert agreement(2, 1, 0.2) == pytest.approx(0.2)
    assert agreement(1, 1 + 1e-7, 0.2) == 0.5
    assert agreement(1, 2, 0) == agreement(2, 1, 1) == 1


def test_order_of_one_image_is_unknown() -> None:
    assert math.isnan(two_afc([1.0]))
    assert math.isnan(two_afc([], adjacent=True))
    assert math.isnan(rank_correlation([1.0]))


@pytest.mark.parametrize("seed", range(3))
def test_rank_correlation_is_spearmans(seed: int) -> None:
    d = np.random.default_rng(seed).integers(0, 6, 10).astype(float)
    expected = spearmanr(d, np.arange(10)).statistic
    assert rank_correlation(d) == pytest.approx(expected)


def test_rank_correlation_of_a_constant_is_0() -> None:
    assert rank_correlation([2, 2, 2]) == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("values", [4, 10**6])
def test_average_precision_is_the_area_under_scikit_learns_curve(seed: int, values: int) -> None:
    random = np.random.default_rng(seed)
    distances, same = random.integers(0, values, 40).astype(float), random.random(40) < 0.4
    precision, recall, _ = precision_recall_curve(same, -distances)
    envelope = np.maximum.accumulate(precision)  # from the largest recall to the least
    expected = -(np.diff(recall) * envelope[:-1]).sum()
    found = average_precision(distances, list(same))
    assert found == pytest.approx(expected)
    assert found >= average_precision_score(same, -distances) - 1e-12  # which has no envelope


def test_average_precision_by_hand() -> None:
    assert average_precision([1, 2, 3, 4], [True, True, False, False]) == 1
    assert average_precision([1, 2], [False, True]) == 0.5
    assert average_precision([1, 2, 3], [True, False, True]) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision([1, 1], [True, False]) == 0.5
    assert math.isnan(average_precision([1, 2], [False, False]))


def test_path_of_a_metric_that_falls_all_the_way() -> None:
    assert along_path([4, 3, 2, 1, 0]) == {"falling": 1, "minimum": 1, "basin": 0.5}
    assert along_path([16, 9, 4, 1, 0]) == {"falling": 1, "minimum": 1, "basin": 0.75}
    assert along_path([4, 4, 4, 4, 0])["basin"] == 0.25
    assert along_path([4, 4, 4, 4, 0])["falling"] == 0.25


def test_path_whose_minimum_lies_before_its_end() -> None:
    found = along_path([4, 1, 0, 1, 3])
    assert found == {"falling": 0.5, "minimum": 0.5, "basin": 0}
