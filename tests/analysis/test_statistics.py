import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.analysis.numbers.bootstrap import Bootstrap, cluster_pairs
from bench.analysis.numbers.paired import pairwise, tied_with
from bench.analysis.numbers.statistics import (
    cohens_d,
    critical_difference,
    friedman,
    holm,
    rank_biserial,
    wilcoxon,
)

RANDOM = np.random.default_rng(0)


def test_wilcoxon_of_all_signs_by_hand():
    """Of 5 positive differences, 2 of the 2^5 assignments of signs are as extreme."""
    assert wilcoxon(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == pytest.approx(2 / 2**5)


def test_wilcoxon_counts_every_assignment_of_signs():
    differences = np.array([0.3, -0.1, 0.7, 0.9, -0.2, 1.1])
    ranks = stats.rankdata(np.abs(differences))
    sums = [
        sum(ranks[np.array(signs) > 0]) for signs in itertools.product([-1, 1], repeat=len(ranks))
    ]
    own = sum(ranks[differences > 0])
    extreme = np.mean([abs(s - ranks.sum() / 2) >= abs(own - ranks.sum() / 2) for s in sums])
    assert wilcoxon(differences) == pytest.approx(extreme)


def test_wilcoxon_is_scipys_without_differences_of_zero():
    differences = np.array([0.0, 0.0, *RANDOM.normal(0.3, 1, 60)])
    expected = stats.wilcoxon(differences, np.zeros(62), zero_method="wilcox").pvalue
    assert wilcoxon(differences) == pytest.approx(expected)


def test_wilcoxon_with_ties_is_scipys_approximation():
    differences = np.array([1.0, 1.0, 2.0, -1.0, 3.0, 2.0, 0.0])
    expected = stats.wilcoxon(differences, zero_method="wilcox", method="approx").pvalue
    assert wilcoxon(differences) == pytest.approx(expected)


def test_nothing_to_tell_apart():
    assert wilcoxon(np.zeros(5)) == 1
    assert rank_biserial(np.zeros(5)) == 0
    assert np.isnan(wilcoxon(np.array([])))
    assert np.isnan(rank_biserial(np.array([])))


@pytest.mark.parametrize(
    ("differences", "effect"),
    [
        ([1, 2, 3], 1),
        ([-1, -2, -3], -1),
        ([1, -1], 0),
        ([1, 2, -3, 4], (1 + 2 + 4 - 3) / 10),
        ([0, 0, 1, 2, -3, 4], (1 + 2 + 4 - 3) / 10),
        ([1, -1, 2], (1.5 - 1.5 + 3) / 6),
    ],
)
def test_rank_biserial_by_hand(differences, effect):
    assert rank_biserial(np.array(differences, dtype=float)) == pytest.approx(effect)


def test_holm_by_hand():
    p = np.array([0.01, 0.04, 0.03, 0.005])
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, and 1 * 0.04, which must not be less than the one before
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, 0.02])


def test_holm_stops_at_one_and_leaves_out_tests_not_made():
    np.testing.assert_allclose(holm(np.array([0.6, np.nan, 0.5])), [1, np.nan, 1])
    np.testing.assert_allclose(holm(np.array([np.nan, 0.02])), [np.nan, 0.02])
    assert len(holm(np.array([]))) == 0


def test_cohens_d_by_hand():
    assert cohens_d(np.array([1.0, 3.0]), np.array([4.0, 8.0])) == pytest.approx(-4 / np.sqrt(5))
    assert np.isnan(cohens_d(np.ones(3), np.ones(3)))


def test_friedman_is_scipys():
    values = RANDOM.normal(size=(12, 4)) + np.array([0, 0.5, 1, 0])
    expected = stats.friedmanchisquare(values[:, 0], values[:, 1], values[:, 2], values[:, 3])
    assert friedman(values) == pytest.approx((expected.statistic, expected.pvalue))


def test_friedman_by_hand():
    """Three columns that rank alike in each of 4 rows: 12 / (4·3·4) · (4² + 8² + 12²) - 3·4·4."""
    statistic, p = friedman(np.arange(4)[:, None] + np.array([0.0, 0.1, 0.2]))
    assert statistic == pytest.approx(8)
    assert p == pytest.approx(stats.chi2.sf(8, 2))


@pytest.mark.parametrize("values", [np.ones((5, 3)), np.zeros((5, 2)), np.zeros((0, 4))])
def test_friedman_needs_something_to_rank(values):
    assert np.isnan(friedman(values)).all()


@pytest.mark.parametrize(("metrics", "quantile"), [(2, 1.960), (5, 2.728), (10, 3.164)])
def test_critical_difference_with_the_quantiles_of_the_paper(metrics, quantile):
    """Demšar (JMLR 2006), table 5a."""
    expected = quantile * np.sqrt(metrics * (metrics + 1) / (6 * 14))
    assert critical_difference(metrics, 14) == pytest.approx(expected, rel=1e-3)


def interval(values, clusters, resamples=5000):
    return Bootstrap(np.asarray(clusters), resamples).interval(np.asarray(values))


def test_bootstrap_of_single_pairs_is_scipys():
    values = RANDOM.normal(2, 1, 80)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20000, method="percentile", rng=1
    ).confidence_interval
    own = interval(values, np.arange(80), 20000)
    assert own == pytest.approx((expected.low, expected.high), abs=0.01)


def test_bootstrap_draws_whole_clusters():
    """Ten copies of each of 30 values say no more than the 30 values."""
    values = RANDOM.normal(0, 1, 30)
    single = interval(values, np.arange(30))
    copied = interval(np.repeat(values, 10), np.repeat(np.arange(30), 10))
    assert copied == pytest.approx(single)
    blind = interval(np.repeat(values, 10), np.arange(300))
    assert blind[1] - blind[0] < 0.5 * (copied[1] - copied[0])


def test_bootstrap_leaves_out_what_is_not_a_number():
    values = np.array([1.0, 2.0, np.nan, 4.0, np.nan])
    low, high = interval(values, np.arange(5))
    assert 1 <= low < 7 / 3 < high <= 4


def test_bootstrap_needs_two_clusters_with_values():
    assert np.isnan(interval(RANDOM.normal(size=10), np.zeros(10, dtype=int))).all()
    assert np.isnan(interval([1.0, np.nan, 2.0], [0, 1, 0])).all()


def test_interval_covers_the_mean_as_often_as_it_says():
    bootstrap = Bootstrap(np.arange(40), 500)
    limits = [bootstrap.interval(RANDOM.normal(1, 1, 40)) for _ in range(400)]
    inside = np.mean([low <= 1 <= high for low, high in limits])
    assert 0.90 <= inside <= 0.98


def codes(*pairs):
    return cluster_pairs(*zip(*pairs, strict=True))


def test_pairs_without_common_subjects_are_drawn_one_by_one():
    found = codes(("a", "b"), ("c", "d"))
    assert (found.count, found.unit) == (2, "test pairs")


def test_pairs_on_one_atlas_are_drawn_one_by_one():
    found = codes(*((f"s{i}", "atlas") for i in range(4)))
    assert (found.count, found.unit) == (4, "test pairs")


def test_pairs_in_both_directions_are_drawn_together():
    there = [(f"a{i}", f"b{i}") for i in range(6)]
    found = codes(*there, *((b, a) for a, b in there))
    assert found.unit == "groups of test pairs that share subjects"
    assert not found.share
    assert found.codes.tolist() == [*range(6), *range(6)]


def test_few_pairs_in_both_directions_are_drawn_together():
    there = [(f"a{i}", f"b{i}") for i in range(5)]
    found = codes(*there, *((b, a) for a, b in there))
    assert (found.count, found.unit) == (5, "pairs of subjects in either direction")
    assert found.codes.tolist() == [*range(5), *range(5)]


def test_slices_in_both_directions_are_drawn_together():
    there = [(i, i + 1) for i in range(9)]
    found = codes(*there, *((b, a) for a, b in there))
    assert (found.count, found.unit) == (9, "pairs of subjects in either direction")


def test_slices_of_one_stack_are_drawn_by_the_moving_one():
    found = codes(*((i, i + 1) for i in range(9)))
    assert (found.count, found.unit, found.share) == (9, "moving subjects", True)


def test_pairs_on_two_fixed_images_are_drawn_by_the_moving_one():
    found = codes(*((f"s{i}", fixed) for i in range(5) for fixed in ("x", "y")))
    assert (found.count, found.unit) == (5, "moving subjects")
    assert found.codes.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def single(n):
    return Bootstrap(np.arange(n))


def test_every_two_metrics_are_compared_on_the_pairs_both_have():
    base = RANDOM.normal(0.5, 0.1, 30)
    noise = RANDOM.normal(0, 0.01, (2, 30))
    frame = pd.DataFrame({"a": base, "b": base + 0.05 + noise[0], "c": base + noise[1]})
    frame.loc[3, "a"] = np.nan
    rows = pairwise(frame, single(30)).set_index(["first", "second"])
    assert list(rows.index) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert rows[["n", "left_out"]].to_numpy().tolist() == [[29, 1], [29, 1], [30, 0]]
    differences = (frame["a"] - frame["b"]).dropna()
    own = rows.loc[("a", "b")]
    assert own["difference"] == pytest.approx(differences.mean())
    assert own["low"] < own["difference"] < own["high"] < 0
    assert own["p"] == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert own["rank_biserial"] == -1
    assert list(rows["p_holm"]) == pytest.approx(list(holm(rows["p"].to_numpy())))
    assert tied_with("a", rows.reset_index()) == {"c"}
    assert tied_with("b", rows.reset_index()) == set()


def test_methods_without_a_metric_are_corrected_for_apart():
    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.normal(0.7, 0.1, (30, 4)), columns=["a", "b", "c", "syn"])
    among = pairwise(frame[["a", "b", "c"]], single(30)).set_index(["first", "second"])
    rows = pairwise(frame, single(30), ["syn"]).set_index(["first", "second"])
    assert list(rows.loc[among.index, "p_holm"]) == list(among["p_holm"])
    apart = rows.drop(among.index)
    assert list(apart["p_holm"]) == pytest.approx(list(holm(apart["p"].to_numpy())))
    assert set(rows["tests"]) == {3}
    assert set(pairwise(frame, single(30))["tests"]) == {6}


def test_pairs_that_share_subjects_are_tested_as_one():
    random = np.random.default_rng(4)
    first = pd.DataFrame({"a": random.normal(0.7, 0.1, 10), "b": random.normal(0.6, 0.1, 10)})
    both = pd.concat([first, first + random.normal(0, 0.01, (10, 2))], ignore_index=True)
    both.loc[13, "a"] = np.nan  # of pair 3, whose other direction is left
    (row,) = pairwise(both, Bootstrap(np.tile(np.arange(10), 2))).to_dict("records")
    assert (row["n"], row["left_out"], row["units"]) == (19, 1, 10)
    differences = (both["a"] - both["b"]).groupby(np.tile(np.arange(10), 2)).mean()
    assert row["p"] == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert row["p"] > stats.wilcoxon((both["a"] - both["b"]).dropna()).pvalue
    assert row["rank_biserial"] == pytest.approx(rank_biserial(differences.to_numpy()))
    assert row["difference"] == pytest.approx((both["a"] - both["b"]).mean())


def test_one_metric_has_nobody_to_compare_with():
    rows = pairwise(pd.DataFrame({"a": [0.1, 0.2]}), single(2))
    assert rows.empty
    assert "p_holm" in rows


def test_score_that_nobody_has_is_not_tested():
    frame = pd.DataFrame({"a": [np.nan] * 5, "b": [np.nan] * 5})
    (row,) = pairwise(frame, single(5)).to_dict("records")
    assert (row["n"], row["left_out"]) == (0, 5)
    assert np.isnan([row["difference"], row["p"], row["p_holm"], row["low"]]).all()
