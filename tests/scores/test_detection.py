"""AUC and average precision of maps against definitions written out."""

import numpy as np
import pytest

from bench.scores.case import Case
from bench.scores.detection import (
    area_under_roc,
    average_precision,
    precisions,
    true_positive_rates,
)
from bench.scores.registry import SCORES
from bench.scores.scoring import score_case


def auc_by_pairs(values, positive):
    larger = values[positive][:, None] - values[~positive][None]
    return ((larger > 0) + 0.5 * (larger == 0)).mean()


def ap_by_thresholds(values, positive):
    total, before = 0.0, 0.0
    for threshold in sorted(set(values), reverse=True):
        found = values >= threshold
        recall = (found & positive).sum() / positive.sum()
        total += (recall - before) * (found & positive).sum() / found.sum()
        before = recall
    return total


@pytest.mark.parametrize("levels", [1000000, 7])
@pytest.mark.parametrize("seed", range(3))
def test_scores_are_as_defined_with_and_without_ties(seed, levels):
    random = np.random.default_rng(seed)
    values = random.integers(0, levels, 200) / levels
    positive = random.random(200) < 0.2 + 0.3 * values
    assert area_under_roc(values, positive) == pytest.approx(auc_by_pairs(values, positive))
    assert average_precision(values, positive) == pytest.approx(ap_by_thresholds(values, positive))


@pytest.mark.parametrize("levels", [1000000, 7])
def test_curves_are_those_whose_areas_are_the_scores(levels):
    random = np.random.default_rng(0)
    values = random.integers(0, levels, 300) / levels
    positive = random.random(300) < 0.1 + 0.4 * values
    at = np.linspace(0, 1, 100001)
    rates = true_positive_rates(values, positive, at)
    assert np.trapezoid(rates, at) == pytest.approx(area_under_roc(values, positive), abs=1e-4)
    found = precisions(values, positive, at)
    assert found.mean() == pytest.approx(average_precision(values, positive), abs=1e-4)
    assert found[-1] == pytest.approx(positive.sum() / (values >= values[positive].min()).sum())
    perfect = positive.astype(float)
    assert true_positive_rates(perfect, positive, np.array([0.0, 0.5])).tolist() == [1, 1]


def test_perfect_opposite_and_constant_maps():
    positive = np.array([True, False, False, True, False])
    values = positive.astype(float)
    assert (area_under_roc(values, positive), average_precision(values, positive)) == (1, 1)
    assert area_under_roc(-values, positive) == 0
    constant = np.ones(5)
    assert (area_under_roc(constant, positive), average_precision(constant, positive)) == (0.5, 0.4)


def test_maps_without_a_change_or_without_anything_else_have_no_score():
    values, none = np.arange(4.0), np.zeros(4, bool)
    assert np.isnan(area_under_roc(values, none))
    assert np.isnan(area_under_roc(values, ~none))
    assert np.isnan(average_precision(values, none))


def test_only_what_counts_is_judged():
    change = np.array([[True, False, False], [False, False, False]])
    found = np.array([[2.0, 1.0, 3.0], [3.0, 3.0, 3.0]])
    counted = np.array([[True, True, False], [False, False, False]])
    of_changes = [s for s in SCORES.values() if s.name.partition("_")[0] in ("auc", "ap")]
    case = Case(change=change, maps={"main": found})
    assert score_case(case, of_changes) == {"auc": 0.2, "ap": 0.2}
    case = Case(change=change, maps={"main": found, "jacobian": -found}, counted=counted)
    whole = {"auc": 1.0, "ap": 1.0, "auc_jacobian": 0.0, "ap_jacobian": 0.5}
    assert score_case(case, of_changes) == whole
    assert score_case(Case(maps={"main": found}), of_changes) == {}
