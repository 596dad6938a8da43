"""Scores over sampled voxels of all test pairs together."""

import numpy as np
import pandas as pd
import pytest

from bench.analysis.numbers.pooled import CHANGED, pooled_scores, summaries
from bench.scores.case import Case
from bench.scores.detection import area_under_roc, average_precision
from bench.scores.registry import SCORES
from bench.tasks.changes.voxels import MOST, sampled_voxels


def voxels_of(pairs, count, levels=1000000, seed=0):
    random = np.random.default_rng(seed)
    values = random.integers(0, levels, pairs * count) / levels
    changed = random.random(pairs * count) < 0.3 * values
    number = np.repeat(np.arange(pairs), count)
    return pd.DataFrame({"pair": number, CHANGED: changed.astype(int), "main": values})


@pytest.mark.parametrize("levels", [1000000, 7])
def test_value_is_that_of_all_voxels_and_draws_are_those_of_drawn_pairs(levels):
    voxels = voxels_of(4, 100, levels)
    clusters = np.array([0, 1, 1, 2])
    found = {name: (value, draws) for name, value, draws in pooled_scores(voxels, clusters)}
    values, changed = voxels["main"].to_numpy(), voxels[CHANGED].to_numpy(bool)
    of_voxels = clusters[voxels["pair"]]
    for name, score in (("auc_pooled", area_under_roc), ("ap_pooled", average_precision)):
        value, draws = found[name]
        assert value == pytest.approx(score(values, changed))
        possible = []
        for first in range(3):
            for second in range(3):
                for third in range(3):
                    drawn = [np.flatnonzero(of_voxels == c) for c in (first, second, third)]
                    chosen = np.concatenate(drawn)
                    possible.append(score(values[chosen], changed[chosen]))
        nearest = np.abs(draws[:, None] - np.array(possible)[None]).min(1)
        assert nearest.max() < 1e-9
        assert len(np.unique(draws.round(9))) == len(np.unique(np.round(possible, 9)))


def test_pairs_without_change_count_and_none_at_all_has_no_score():
    voxels = voxels_of(3, 50)
    voxels.loc[voxels["pair"] == 0, CHANGED] = 0
    found = summaries(voxels, np.arange(3))["auc_pooled"]
    values, changed = voxels["main"].to_numpy(), voxels[CHANGED].to_numpy(bool)
    assert found["mean"] == pytest.approx(area_under_roc(values, changed))
    assert found["low"] < found["mean"] < found["high"]
    assert (found["n"], found["voxels"]) == (3, 150)
    nothing = summaries(voxels.assign(changed=0), np.arange(3))
    everything = summaries(voxels.assign(changed=1), np.arange(3))
    assert nothing["auc_pooled"]["mean"] is nothing["ap_pooled"]["mean"] is None
    assert everything["auc_pooled"]["mean"] is everything["ap_pooled"]["mean"] is None
    (auc, _) = pooled_scores(voxels.assign(pair=0), np.zeros(1, int))
    assert np.ptp(auc[2]) == 0
    assert "low" not in summaries(voxels.assign(pair=0), np.zeros(1, int))["auc_pooled"]


def test_voxels_are_drawn_by_the_seed_where_maps_count():
    random = np.random.default_rng(0)
    shape = (50, 60)
    counted = random.random(shape) < 0.5
    maps = {"main": np.arange(3000.0).reshape(shape), "jacobian": random.random(shape)}
    case = Case(change=random.random(shape) < 0.1, maps=maps, counted=counted)
    rows = list(sampled_voxels(case, 3, "a", "b"))
    assert len(rows) == MOST
    places = [int(row["main"]) for row in rows]
    assert places == sorted(set(places))
    for place, row in zip(places, rows, strict=True):
        assert counted.flat[place]
        assert row[CHANGED] == case.change.flat[place]
        assert row["jacobian"] == pytest.approx(maps["jacobian"].flat[place], rel=1e-4)
    assert rows == list(sampled_voxels(case, 3, "a", "b"))
    assert rows != list(sampled_voxels(case, 3, "b", "a"))
    few = Case(change=case.change, maps=maps, counted=np.arange(3000).reshape(shape) < 10)
    assert [row["main"] for row in sampled_voxels(few, 3)] == list(range(10))
    assert not list(sampled_voxels(Case(maps=maps), 3))


def test_no_single_case_has_the_scores():
    case = Case(change=np.eye(3) > 0, maps={"main": np.eye(3)})
    for score in SCORES.values():
        if score.kind == "pooled":
            assert not score.applies_to(case)


def test_map_that_a_run_lacks_has_no_scores():
    voxels = voxels_of(3, 50).assign(relative=np.nan)  # as of a table that others' maps widen
    found = {name for name, _, _ in pooled_scores(voxels, np.arange(3))}
    assert found == {"auc_pooled", "ap_pooled"}
