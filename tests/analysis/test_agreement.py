"""Whether perception agrees with registration: planted scores come back."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from synthetic_store import config, write_run

from bench.analysis.numbers.agreement import (
    DRAWS,
    _permuted,
    agreement_sentences,
    agreements,
    not_compared,
)
from bench.analysis.numbers.bootstrap import Bootstrap
from bench.analysis.numbers.comparisons import compare
from bench.analysis.numbers.fronts import at_equal_smoothness, compare_fronts
from bench.analysis.numbers.perception import Perceived, Variant
from bench.analysis.plots.perception import draw_agreement
from bench.analysis.plots.style import styled
from bench.analysis.reading.records import read_records

METRICS = ["mse", "ncc", "nmi", "mind", "ssim", "deepsim_csr"]
GEOMETRY = [0.5, 0.9, 0.7, 0.8, 0.6, 0.95]
PAIRS = 12


def comparisons(results, gains, noise=None, steps=None):
    """Registrations whose Dice at one smoothness is 0.6 and a gain, under two λ."""
    random = np.random.default_rng(0)
    for metric, gain in zip(METRICS, gains, strict=True):
        for weight, rough in ((0.5, 0.08), (2.0, 0.02)):
            settings = config(metric=metric, weight=weight)
            settings["dataset"]["added_noise"] = noise
            dice = 0.6 + gain + random.normal(0, 0.002, PAIRS)
            more = {}
            if steps is not None and metric == "deepsim_csr":
                more["extractors"] = [{"name": "e", "task": "contrastive", "steps": steps}]
            rough = np.full(PAIRS, rough)
            write_run(results, settings, dice, sdlogj=rough, variant=metric, **more)
    return compare(read_records(results))


def seen(values=GEOMETRY, dataset="demo", further=(), steps=None):
    random = np.random.default_rng(1)
    variants = [
        Variant(
            metric,
            metric,
            [0],
            pd.DataFrame({"geometry": value + random.normal(0, 0.002, 8)}, index=range(8)),
            steps if metric == "deepsim_csr" else None,
        )
        for metric, value in zip(METRICS, values, strict=True)
    ]
    return Perceived(dataset, dataset, {}, [*variants, *further])


def test_metrics_that_see_geometry_and_register_better_agree(tmp_path) -> None:
    (found,) = agreements(comparisons(tmp_path, np.array(GEOMETRY) / 10), [seen()])
    assert found.correlation == pytest.approx(1)
    assert 0.9 < found.low <= found.high == pytest.approx(1)
    assert found.p == pytest.approx(2 / 720)  # both orders, of 6!
    assert found.smoothness == pytest.approx(0.08)
    assert set(found.rows["metric"]) == set(METRICS)
    (said,) = agreement_sentences([found])
    assert said.startswith("demo: across 6 metrics, the rank correlation between the geometry")
    assert "is +1.00 (95 % bootstrap interval for these metrics" in said
    assert said.endswith(" Metrics with a better geometry score register better.")
    with styled():
        (drawing,) = draw_agreement([found])
    assert drawing.name == "agreement-dice"


def test_the_other_way_round_and_no_relation(tmp_path) -> None:
    (found,) = agreements(comparisons(tmp_path / "a", -np.array(GEOMETRY) / 10), [seen()])
    assert found.correlation == pytest.approx(-1)
    assert agreement_sentences([found])[0].endswith("geometry score register worse.")
    gains = [0.03, 0.05, 0.01, 0.06, 0.04, 0.02]
    (found,) = agreements(comparisons(tmp_path / "b", gains), [seen()])
    assert found.correlation == pytest.approx(spearmanr(GEOMETRY, gains).statistic)
    assert found.p == pytest.approx(_exact(GEOMETRY, gains), abs=1e-9)
    assert "no evidence that the geometry score predicts" in agreement_sentences([found])[0]


def _exact(x, y) -> float:
    from itertools import permutations

    known = abs(spearmanr(x, y).statistic) - 1e-9
    return float(np.mean([abs(_rho(x, order)) >= known for order in permutations(y)]))


def _rho(x, y) -> float:
    first, second = np.argsort(np.argsort(x)), np.argsort(np.argsort(y))
    return float(np.corrcoef(first, second)[0, 1])


def test_several_data_sets_are_taken_together(tmp_path) -> None:
    (found,) = agreements(comparisons(tmp_path, np.array(GEOMETRY) / 10), [seen()])
    said = agreement_sentences([found, found])
    assert len(said) == 3
    assert said[2].startswith("Across 2 data sets, the mean rank correlation is +1.00 (p = ")
    assert "(p = 0," not in said[2]
    assert said[2].endswith(" Metrics with a better geometry score register better.")


def test_other_extractors_than_those_that_registered_are_named(tmp_path) -> None:
    compared = comparisons(tmp_path, np.array(GEOMETRY) / 10, steps=2000)
    (same,) = agreements(compared, [seen(steps=2000)])
    (said,) = agreement_sentences([same])
    assert said.endswith(" register better.")
    (other,) = agreements(compared, [seen(steps=150)])
    (said,) = agreement_sentences([other])
    assert said.endswith(
        " Extractors trained less or more than those that registered: deepsim_csr (150 steps and "
        "2000)."
    )


def test_what_cannot_be_compared_is_left_out(tmp_path) -> None:
    compared = comparisons(tmp_path, np.array(GEOMETRY) / 10)
    assert agreements(compared, [seen(dataset="other")]) == []
    random = Variant("csr (steps 0)", "deepsim_csr", [0], seen().variants[0].images, 0)
    (found,) = agreements(compared, [seen(further=[random])])
    assert len(found.rows) == 6  # random features are no further metric
    twice = [Variant(f"{m} again", m, [0], seen().variants[0].images, None) for m in METRICS[:2]]
    (found,) = agreements(compared, [seen(further=twice)])
    assert set(found.rows["metric"]) == set(METRICS[2:])
    assert agreements(comparisons(tmp_path / "noisy", GEOMETRY, noise=0.1), [seen()]) == []


def test_scores_at_equal_smoothness_are_those_of_the_table(tmp_path) -> None:
    (compared,) = comparisons(tmp_path, np.array(GEOMETRY) / 10)
    common, scores = at_equal_smoothness(compared)
    means, _ = compare_fronts(compared)
    table = means[means["level"] == "common"].set_index("label")
    assert (table["sdlogj"] == common).all()
    assert scores.mean().to_dict() == pytest.approx(table["mean"].to_dict())


def test_bootstrap_means_are_those_of_its_intervals() -> None:
    values = np.random.default_rng(0).normal(size=(9, 2))
    bootstrap = Bootstrap(np.array([0, 0, 1, 1, 2, 2, 3, 3, 3]))
    drawn = bootstrap.means(values)
    for column in range(2):
        limits = np.quantile(drawn[:, column], [0.025, 0.975])
        assert bootstrap.interval(values[:, column]) == pytest.approx(tuple(limits))
    kept = bootstrap.of(np.array([2, 3, 8]))
    assert kept.count == 2
    assert list(kept.clusters) == [0, 0, 1]


def test_what_is_not_compared_has_a_reason(tmp_path) -> None:
    compared = comparisons(tmp_path, np.array(GEOMETRY) / 10)
    said = "perception is not compared with registration:"
    assert not_compared(compared, [seen()]) == []
    none = f"{said} no registration of this data set, with the same noise, has finished"
    assert not_compared(compared, [seen(dataset="other")]) == [("other", none)]
    assert not_compared([], [seen()]) == [("demo", none)]
    images = seen().variants[0].images
    twice = [Variant(f"{m} again", m, [0], images, None) for m in METRICS[:3]]
    needs = f"{said} that needs 4 metrics with both scores, and there are"
    several = "; these have several variants and do not count: mse, ncc, nmi"
    assert not_compared(compared, [seen(further=twice)]) == [
        ("demo", f"{needs} 3 (mind, deepsim_csr, ssim){several}")
    ]
    distrusted = [replace(variant, warning="D is the same") for variant in seen().variants]
    only = Perceived("demo", "demo", {}, distrusted)
    assert agreements(compared, [only]) == []
    assert not_compared(compared, [only]) == [("demo", f"{needs} none")]
    assert not_compared([*compared, *compared], [only]) == [("demo", f"{needs} none")]


def test_what_was_seen_is_one_of_the_orders_drawn() -> None:
    """Else p could be 0; 10! orders are too many for all of them."""
    values = np.arange(10.0)
    for other in (values, -values):
        null = _permuted(values, other)
        assert len(null) == DRAWS
        assert np.abs(null).max() == pytest.approx(1)
