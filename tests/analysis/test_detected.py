"""Which map of changes is best, and what it differs from."""

import numpy as np
import pandas as pd
import pytest

from bench.analysis.numbers.changes import Detection
from bench.analysis.numbers.detected import COLUMNS, change_sentences, differences_from_best
from bench.analysis.numbers.statistics import wilcoxon
from bench.analysis.report.changes import change_tables

PAIRS = 12


def scores_of(**columns):
    index = pd.MultiIndex.from_tuples(
        [(f"m{n}", f"f{n}") for n in range(PAIRS)], names=["moving", "fixed"]
    )
    return {name: pd.Series(values, index=index) for name, values in columns.items()}


def sentences_of(scores):
    return change_sentences(differences_from_best(scores).assign(comparison="demo"))


@pytest.fixture
def maps():
    random = np.random.default_rng(0)
    good = random.uniform(0.7, 0.9, PAIRS)
    return scores_of(
        bad=good - random.uniform(0.1, 0.2, PAIRS),
        good=good,
        alike=good + 0.001 * (-1.0) ** np.arange(PAIRS) * (1 + np.arange(PAIRS) / 100),
        still=np.full(PAIRS, 0.5),
        unknown=np.full(PAIRS, np.nan),
    )


def test_differences_are_paired_and_corrected(maps):
    found = differences_from_best(maps).set_index("other")
    best = max(("good", "alike"), key=lambda name: maps[name].mean())
    assert set(found["best"]) == {best}
    assert set(found.index) == {"good", "alike", "bad"} - {
        best
    }  # no constant map, none without AUC
    row = found.loc["bad"]
    gain = maps[best] - maps["bad"]
    assert row["difference"] == pytest.approx(gain.mean())
    assert gain.min() < row["low"] < row["difference"] < row["high"] < gain.max()
    assert row["p"] == pytest.approx(wilcoxon(gain.to_numpy()))
    assert row["p_holm"] == pytest.approx(min(1, 2 * row["p"]))


def test_pairs_are_matched_by_subject_not_by_place(maps):
    mixed = {name: values.iloc[::-1] if name == "bad" else values for name, values in maps.items()}
    pd.testing.assert_frame_equal(differences_from_best(mixed), differences_from_best(maps))


def test_sentence_says_what_is_open(maps):
    (said,) = sentences_of(maps)
    assert "significantly larger than that of 1 of 2 other maps. It does not differ" in said
    (said,) = sentences_of({name: maps[name] for name in ("good", "bad")})
    assert said.endswith("has the largest AUC, significantly larger than that of 1 other map.")
    few = {name: values.iloc[:3] for name, values in maps.items()}
    assert (
        "differs significantly from none of 2 other maps on 3 test pairs." in sentences_of(few)[0]
    )


def test_sentence_counts_groups_of_pairs_that_share_subjects(maps):
    both_ways = [(f"s{n}", f"s{n ^ 1}") for n in range(PAIRS)]
    index = pd.MultiIndex.from_tuples(both_ways, names=["moving", "fixed"])
    first = maps["good"].set_axis(index)
    change = 0.001 * (1 + np.arange(PAIRS) / 100) * (-1.0) ** (np.arange(PAIRS) // 2)
    (said,) = sentences_of({"first": first, "second": first + change})
    assert said.endswith("from none of 1 other map on 12 test pairs in 6 groups.")


def test_a_single_map_is_compared_with_nothing(maps):
    found = differences_from_best({"good": maps["good"], "still": maps["still"]})
    assert list(found) == COLUMNS
    assert found.empty
    assert change_sentences(found.assign(comparison=[])) == []


def test_table_of_a_single_pair_has_no_interval(maps):
    single = {name: values.iloc[:1] for name, values in maps.items()}
    differences = differences_from_best(single).assign(comparison="demo")
    rows = pd.DataFrame(
        [{"comparison": "demo", "label": "good", "weight": 1.0, "seeds": 1, "pairs": 1}]
    )
    found = Detection(rows, pd.DataFrame(), pd.DataFrame(), differences)
    (table,) = [one for one in change_tables(found, False) if one.name == "changes-differences"]
    assert [row[4].text for row in table.sections[0]] == [
        f"{value:+.3f}" for value in differences["difference"]
    ]
