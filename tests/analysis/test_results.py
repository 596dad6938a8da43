import numpy as np
import pandas as pd
import pytest
from synthetic_store import config, fail_run, write_run

from bench.analysis.numbers.comparisons import compare
from bench.analysis.numbers.results import class_rows, result_rows, without_result
from bench.analysis.reading.published_values import (
    published_dice,
    published_results,
    published_weight_curves,
)
from bench.analysis.reading.records import read_records
from bench.analysis.reading.results import read_results
from bench.analysis.report.export import export
from bench.analysis.report.overview import provenance_table

DICE = np.array([[0.5, 0.6, 0.7], [0.7, 0.6, 0.8]])  # seeds by pairs


@pytest.fixture
def stored(tmp_path):
    for seed, dice in enumerate(DICE):
        write_run(
            tmp_path, config("hippocampus", "mse", 0.08, seed), dice, hd95=dice * 10, tre=8 * dice
        )
    write_run(tmp_path, config("hippocampus", "ncc"), [0.4, np.nan, 0.5])
    fail_run(tmp_path, config("hippocampus", "vgg"), "skipped", "2D only")
    fail_run(tmp_path, config("hippocampus", "ncc", seed=1))
    return read_records(tmp_path)


def by_label(rows):
    return rows.set_index("label")


def test_scores_are_means_over_pairs_of_means_over_seeds(stored):
    rows = by_label(result_rows(compare(stored)[0]))
    per_pair = DICE.mean(0)
    own = rows.loc["mse"]
    assert own["dice"] == pytest.approx(per_pair.mean())
    assert own["dice_std"] == pytest.approx(per_pair.std(ddof=1))
    assert own["seed_std"] == pytest.approx(DICE.mean(1).std(ddof=1))
    assert own["hd95"] == pytest.approx(10 * per_pair.mean())
    assert own["tre_p70"] == pytest.approx(8 * np.quantile(per_pair, 0.7))
    assert own["dice_low"] < own["dice"] < own["dice_high"]
    assert own["gain"] == pytest.approx(per_pair.mean() - 0.3)
    assert (own["seeds"], own["n"], own["left_out"], own["weight"]) == (2, 3, 0, 0.08)
    assert own["training_seconds"] == pytest.approx(200, abs=1e-3)


def test_training_that_runs_share_counts_once(tmp_path):
    network = {"name": "demo-ncc-lambda-seed0-0a1b2c3d", "training_seconds": 900.0}
    for weight in (1.0, 2.0):
        write_run(tmp_path / "results", config(weight=weight), [0.5, 0.6], network=network)
    write_run(tmp_path / "results", config(metric="mse"), [0.5, 0.6], training_seconds=200.25)
    refined = config(metric="mse")
    refined["model"]["refine"] = 30  # starts from the network of the run before
    shared = {"variant": "r", "training_seconds": 200.25}
    write_run(tmp_path / "results", refined, [0.6, 0.7], **shared)
    exported = tmp_path / "exported"
    export([tmp_path / "results"], exported)
    for folder in (tmp_path / "results", exported):
        records = read_results(folder)
        rows = by_label(result_rows(compare(records)[0]))
        seconds = sorted(rows["training_seconds"].dropna())
        assert seconds == [200.25, 200.25, 900]
        (used,) = provenance_table(records).sections[0]
        assert used[-2].value == 1100.25


SPREAD = np.std([1, 2, 4, 5], ddof=1)


@pytest.mark.parametrize(("batch", "deviation"), [(None, SPREAD), (1, SPREAD), (2, np.nan)])
def test_time_that_pairs_of_a_batch_share_has_no_deviation(tmp_path, batch, deviation):
    settings = config()
    if batch is not None:
        settings["model"]["batch"] = batch
    write_run(tmp_path, settings, [0.1, 0.2, 0.3, 0.4], seconds=[1.0, 2.0, 4.0, 5.0])
    own = by_label(result_rows(compare(read_records(tmp_path))[0])).loc["ncc"]
    assert own["seconds"] == 3
    assert own["seconds_std"] == pytest.approx(deviation, nan_ok=True)
    assert own["tre_std"] == 0


def test_value_that_is_not_a_number_is_left_out_and_counted(stored):
    own = by_label(result_rows(compare(stored)[0])).loc["ncc"]
    assert own["dice"] == pytest.approx(0.45)
    assert (own["n"], own["left_out"], own["hd95_n"]) == (2, 1, 3)


@pytest.mark.parametrize(("before", "shown"), [(0.8, 0.8), (np.nan, 0.8), (0.2, np.nan)])
def test_unregistered_pairs_have_a_loss_only_where_metrics_agree(tmp_path, before, shown):
    for metric, loss in (("mse", 0.8), ("ncc", before)):
        folder = write_run(tmp_path, config("hippocampus", metric), [0.4, 0.5])
        pairs = pd.read_csv(folder / "pairs.csv").assign(similarity_before=loss)
        pairs.to_csv(folder / "pairs.csv", index=False)
    rows = by_label(result_rows(compare(read_records(tmp_path))[0]))
    assert rows.loc["unregistered", "similarity"] == pytest.approx(shown, nan_ok=True)


def test_unregistered_pairs_come_first_and_have_no_time(stored):
    rows = result_rows(compare(stored)[0])
    assert list(rows["label"]) == ["unregistered", "mse", "ncc"]
    assert rows.loc[0, "dice"] == pytest.approx(0.3)
    assert np.isnan(rows.loc[0, "seconds"])


def test_published_values_stand_beside_ours(stored):
    own = by_label(result_rows(compare(stored)[0])).loc["mse"]
    assert own["published"] == 0.8013
    assert own["difference"] == pytest.approx(own["dice_published"] - 0.8013)


def test_metric_without_a_finished_run_says_so(stored):
    (row,) = without_result(stored, compare(stored)[0]).to_dict("records")
    assert (row["label"], row["state"]) == ("vgg", "skipped")


def test_classes_are_averaged_over_the_pairs_that_have_them(stored):
    rows = class_rows(compare(stored)[0]).set_index(["label", "class"])
    assert rows.loc[("mse", "large"), "dice"] == pytest.approx(DICE.mean() + 0.05)
    assert rows.loc[("ncc", "small"), "n"] == 2
    assert rows.loc[("mse", "ghost"), "n"] == 0
    assert np.isnan(rows.loc[("mse", "ghost"), "dice"])


def test_without_labels_there_are_no_classes(tmp_path):
    (write_run(tmp_path, config(), [0.5, 0.6]) / "classes.csv").unlink()
    assert class_rows(compare(read_records(tmp_path))[0]).empty


def test_published_values_are_the_papers():
    rows = published_results()
    assert len(rows) == 37
    own = rows[(rows["comparison"] == "brain") & (rows["metric"] == "deepsim_seg")]
    assert own[["dice_published", "logj_var_published"]].to_numpy().tolist() == [[0.6754, 0.1192]]
    syn = rows[(rows["comparison"] == "platelet_em (syn)") & (rows["metric"] == "deepsim_seg")]
    assert syn[["n", "dice_published", "dice_published_std"]].to_numpy().tolist() == [
        [11, 0.9039, 0.0096]
    ]
    assert list(rows["metric"][:7]) == [
        *("mse", "ncc", "ncc_sup", "nmi", "mind", "deepsim_ae", "deepsim_seg")
    ]


def test_metric_that_is_not_published_has_no_value():
    assert np.isnan(published_dice("brain", "deepsim_csr"))
    assert np.isnan(published_dice("demo", "mse"))


def test_best_weight_of_the_published_curves():
    curves = published_weight_curves()
    own = curves[(curves["dataset"] == "brain") & (curves["metric"] == "mse")]
    assert own.loc[own["val_dice_mean"].idxmax(), "weight"] == 0.08
    assert isinstance(curves, pd.DataFrame)
