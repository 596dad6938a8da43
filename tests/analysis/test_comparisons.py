import json

import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic_store import config, fail_run, start_run, write_run

from bench.analysis.numbers.comparisons import compare
from bench.analysis.numbers.findings import Request, find
from bench.analysis.numbers.missing import find_missing
from bench.analysis.reading.records import read_records
from bench.errors import ConfigError, StoreError


def compared(results, *criterion):
    return compare(read_records(results), *criterion)


def missing(results):
    records = read_records(results)
    return find_missing(records, compare(records))


def test_weight_is_chosen_on_validation_and_shown_with_test_scores(tmp_path):
    write_run(tmp_path, config(weight=1.0), [0.9, 0.9], val_dice=0.5)
    write_run(tmp_path, config(weight=2.0), [0.4, 0.6], val_dice=0.6)
    (comparison,) = compared(tmp_path)
    (entry,) = comparison.entries
    assert entry.choice.weight == 2
    assert list(comparison.scores("dice")["ncc"]) == [0.4, 0.6]
    assert list(entry.path["val_dice"]) == [0.5, 0.6]
    assert list(entry.path["dice"]) == pytest.approx([0.9, 0.5])
    assert set(entry.classes["class"]) == {"large", "small", "ghost"}
    assert comparison.classes == ["large", "small", "ghost"]


def test_criterion_is_passed_on(tmp_path):
    write_run(tmp_path, config(weight=1.0), [0.5], val_dice=0.5, val_loss=0.1)
    write_run(tmp_path, config(weight=2.0), [0.5], val_dice=0.6, val_loss=0.3)
    assert compared(tmp_path, "val_loss")[0].entries[0].choice.weight == 1
    with pytest.raises(ConfigError, match="must be one of val_dice"):
        compared(tmp_path, "test_dice")


def test_seeds_are_averaged_for_each_pair(tmp_path):
    write_run(tmp_path, config(seed=0), [0.4, 0.8, np.nan])
    write_run(tmp_path, config(seed=1), [0.6, 1.0, 0.5])
    (comparison,) = compared(tmp_path)
    values = comparison.scores("dice")["ncc"].to_numpy()
    np.testing.assert_allclose(values, [0.5, 0.9, np.nan])
    assert list(comparison.before("hd95")) == [5.0] * 3


def test_pairs_are_matched_by_their_subjects_not_by_their_order(tmp_path):
    write_run(tmp_path, config(metric="mse"), [0.1, 0.2], moving=["a", "b"], fixed=["x", "y"])
    write_run(tmp_path, config(metric="ncc"), [0.4, 0.3], moving=["b", "a"], fixed=["y", "x"])
    (comparison,) = compared(tmp_path)
    expected = pd.DataFrame({"mse": [0.1, 0.2], "ncc": [0.3, 0.4]})
    pd.testing.assert_frame_equal(comparison.scores("dice"), expected, check_names=False)
    assert list(comparison.subjects["moving"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("different", "words"),
    [
        ({"schema": 1}, "schema 1"),
        ({"data": "0" * 64}, "files 1"),
        ({"moving": ["007", "008"]}, "test pairs 1"),
    ],
)
def test_runs_that_cannot_be_compared_are_split_and_said_to_be(tmp_path, different, words):
    write_run(tmp_path, config(metric="mse"), [0.1, 0.2])
    write_run(tmp_path, config(metric="ncc"), [0.3, 0.4], **different)
    comparisons = compared(tmp_path)
    assert [[entry.label for entry in own.entries] for own in comparisons] in (
        [["mse"], ["ncc"]],
        [["ncc"], ["mse"]],
    )
    assert any(words in own.name for own in comparisons)
    (split,) = missing(tmp_path).query("what == 'note'").to_dict("records")
    assert all(own.name in split["reason"] for own in comparisons)


def test_groups_of_a_data_set_are_named_by_what_differs(tmp_path):
    write_run(tmp_path, config(), [0.1, 0.2])
    small, large = config(), config()
    small["dataset"] |= {"shape": [64, 64], "added_noise": 0.2}
    large["dataset"] |= {"shape": [512, 512], "cropped": True, "added_noise": 0.2}
    write_run(tmp_path, small, [0.1, 0.2], variant="small")
    write_run(tmp_path, large, [0.1, 0.2], variant="large")
    others = config()
    others["dataset"]["root"] = "/data/others"
    write_run(tmp_path, others, [0.1, 0.2], data="0" * 64, variant="others")
    write_run(tmp_path, config(), [0.1, 0.2, 0.3], variant="more")
    assert [own.name for own in compared(tmp_path)] == [
        "demo (2 test pairs, files of data)",
        "demo (2 test pairs, files of others)",
        "demo (3 test pairs)",
        "demo (noise 0.2, shape 512x512, …)",
        "demo (noise 0.2, shape 64x64, …)",
    ]


@pytest.mark.parametrize(
    ("pairs", "settings", "names"),
    [
        (3, {"test": 3, "val": 2}, ["demo (2 test pairs)", "demo (3 test pairs)"]),
        (2, {"train": 9}, ["demo", "demo (subjects per split train 9)"]),  # as many pairs
    ],
)
def test_numbers_of_subjects_are_said_as_numbers_of_test_pairs(tmp_path, pairs, settings, names):
    fewer = config()
    fewer["dataset"]["subjects_per_split"] = settings
    write_run(tmp_path, config(), [0.1, 0.2])
    write_run(tmp_path, fewer, np.linspace(0.1, 0.2, pairs), variant="fewer")
    assert [own.name for own in compared(tmp_path)] == names


def test_what_a_sweep_had_and_nobody_ran_is_missing_and_nothing_else(tmp_path):
    write_run(tmp_path, config("demo", "mse"), [0.1, 0.2])
    write_run(tmp_path, config("brain", "ncc"), [0.1, 0.2])
    assert "no run" not in set(find(Request(tmp_path)).missing["what"])
    sweep = {
        "overrides": {"task": ["dataset=demo,brain", "metric=mse,ncc", "model=direct,syn"]},
        "sweeper": {"params": {"seed": "0,1"}},
        "runtime": {"choices": {"dataset": "demo", "metric": "ncc", "model": "voxelmorph"}},
    }
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": sweep}))
    rows = find(Request(tmp_path)).missing.query("what == 'no run'")
    assert dict(zip(rows["dataset"], rows["reason"], strict=True)) == {
        "demo": "part of the last sweep, but not run: syn, ncc",
        "brain": "part of the last sweep, but not run: mse, syn",
    }
    (tmp_path / "multirun.yaml").write_text("hydra: null")
    with pytest.raises(StoreError, match=r"multirun.yaml: is not a record of a sweep. Delete it."):
        find(Request(tmp_path))


@pytest.mark.parametrize(
    ("sweep", "names", "missing"),
    [
        (["metric=mse,ncc,custom", "metric.name='my l1'"], ["mse", "ncc", "my l1"], None),
        (["metric=mse,custom", "metric.name=l1"], ["mse"], "l1"),
        (["metric=mse", "metric.name=mine,other", "+metric.power=1"], ["mine"], "other"),
        (["dataset=nifti", "dataset.name=demo", "metric=mse,ncc"], ["ncc"], "mse"),
        (["model=fields,demons", "model.name=tool"], ["tool"], None),
    ],
)
def test_what_a_sweep_had_goes_by_the_names_that_its_command_gives(sweep, names, missing, tmp_path):
    for name in names:
        write_run(tmp_path, config("demo", name), [0.1, 0.2])
    chosen = {"dataset": "demo", "metric": "ncc", "model": "pyramid"}
    hydra = {"overrides": {"task": sweep}, "sweeper": {}, "runtime": {"choices": chosen}}
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump({"hydra": hydra}))
    rows = find(Request(tmp_path)).missing.query("what == 'no run'")
    expected = [] if missing is None else [f"part of the last sweep, but not run: {missing}"]
    assert list(rows["reason"]) == expected
    assert set(rows["dataset"]) <= {"demo"}


def test_data_read_in_another_way_are_other_data(tmp_path):
    write_run(tmp_path, config(metric="mse"), [0.1])
    other = config(metric="ncc")
    other["dataset"]["intensity"]["policy"] = "none"
    write_run(tmp_path, other, [0.3])
    assert [own.name for own in compared(tmp_path)] == [
        "demo (intensity policy none)",
        "demo (intensity policy quantile)",
    ]


def test_what_is_null_is_not_said_of_a_comparison(tmp_path):
    write_run(tmp_path, config(metric="mse"), [0.1])
    other = config(metric="ncc")
    other["dataset"] |= {"moving": "t1", "fixed": "t2"}
    write_run(tmp_path, other, [0.3])
    assert [own.name for own in compared(tmp_path)] == ["demo", "demo (fixed t2, moving t1)"]


def test_runs_from_before_an_option_go_with_those_that_leave_it_as_it_was(tmp_path):
    write_run(tmp_path, config(metric="mse"), [0.1])
    for metric, space in (("ncc", "voxels"), ("nmi", "world")):
        later = config(metric=metric)
        later["dataset"]["space"] = space
        write_run(tmp_path, later, [0.3])
    found = {own.name: [entry.label for entry in own.entries] for own in compared(tmp_path)}
    assert found == {"demo": ["mse", "ncc"], "demo (space world)": ["nmi"]}


def test_variants_of_a_metric_are_told_apart_by_their_settings(tmp_path):
    write_run(tmp_path, config(), [0.1], variant="v")
    write_run(tmp_path, config(steps=200), [0.2], variant="w")
    write_run(tmp_path, config(metric="mse", steps=300), [0.2], variant="x")
    (comparison,) = compared(tmp_path)
    labels = [entry.label for entry in comparison.entries]
    assert labels == ["mse", "ncc steps 100", "ncc steps 200"]


def test_one_network_and_a_network_per_weight_are_told_apart_in_words(tmp_path):
    for variant, condition in (("v", None), ("w", "lambda")):
        settings = config()
        ends = [0.125, 8.0] if condition else None
        settings["model"] |= {"conditioned": condition, "lambda_range": ends}
        write_run(tmp_path, settings, [0.1], variant=variant)
    labels = [entry.label for entry in compared(tmp_path)[0].entries]
    assert labels == ["ncc a network per λ", "ncc one network for λ 0.125 to 8"]


def test_variants_that_differ_in_much_are_told_apart_by_two_settings(tmp_path):
    write_run(tmp_path, config(), [0.1], variant="v")
    write_run(tmp_path, config(steps=200, lr=1.0, batch_size=8), [0.2], variant="w")
    labels = [entry.label for entry in compared(tmp_path)[0].entries]
    assert labels == ["ncc batch size 8 lr 1.0 …", "ncc without batch size lr 0.0001 …"]


def test_models_of_a_metric_are_named_and_a_method_without_metric_is_its_model(
    tmp_path,
):
    write_run(tmp_path, config(), [0.1], variant="v")
    direct = config()
    direct["model"] = {"name": "direct", "uses": ["metric", "regularizer"]}
    write_run(tmp_path, direct, [0.2], variant="w")
    integrated = config()
    integrated["model"]["integrate"] = 7
    write_run(tmp_path, integrated, [0.2], variant="x")
    syn = config()
    syn["model"] = {"name": "syn", "uses": []}
    write_run(tmp_path, syn, [0.2], variant="y")
    (comparison,) = compared(tmp_path)
    assert [entry.label for entry in comparison.entries] == [
        "ncc direct",
        "ncc voxelmorph integrate 7",
        "ncc voxelmorph without integrate",
        "syn",
    ]
    assert comparison.entries[-1].choice.weight is None
    assert missing(tmp_path).empty or "syn" not in list(missing(tmp_path)["metric"])


def test_a_method_has_one_label_on_all_data_sets(tmp_path):
    direct = {"model": {"name": "direct", "uses": ["metric", "regularizer"]}}
    for dataset in ("brain", "demo"):
        write_run(tmp_path, config(dataset) | direct, [0.2], variant="v")
    write_run(tmp_path, config("demo"), [0.1], variant="w")
    labels = {c.name: [entry.label for entry in c.entries] for c in compared(tmp_path)}
    assert labels == {"brain": ["ncc direct"], "demo": ["ncc direct", "ncc voxelmorph"]}


def test_runs_that_cannot_be_told_apart_are_refused(tmp_path):
    first = write_run(tmp_path, config(), [0.1])
    (first / "run.json").rename(first / "moved")
    first.rename(first.with_name("demo-ncc-1-seed0-other"))
    (tmp_path / "runs" / "demo-ncc-1-seed0-other" / "moved").rename(
        tmp_path / "runs" / "demo-ncc-1-seed0-other" / "run.json"
    )
    write_run(tmp_path, config(), [0.2])
    with pytest.raises(StoreError, match=r"same metric, settings, weight and seed.*Leave one out"):
        compared(tmp_path)


def test_no_seed_is_missing_of_a_method_that_trains_nothing(tmp_path):
    untrained = {"name": "direct", "uses": ["metric", "regularizer"]}
    for metric, extractors in (("mse", []), ("deepsim_ae", [{"name": "a", "task": "autoencoder"}])):
        settings = config("demo", metric, weight=1.0, seed=0) | {"model": untrained}
        write_run(tmp_path, settings, [0.5, 0.6], variant=metric, extractors=extractors)
    for seed in (0, 1):
        write_run(tmp_path, config(weight=1.0, seed=seed), [0.5, 0.6])
    rows = missing(tmp_path)
    assert list(rows[rows["what"] == "no seed"]["metric"]) == ["deepsim_ae direct"]


def test_what_is_missing_is_listed(tmp_path):
    write_run(tmp_path, config(weight=1.0, seed=0), [0.5, np.nan])
    write_run(tmp_path, config(weight=1.0, seed=1), [0.5, 0.5])
    write_run(tmp_path, config(weight=2.0, seed=0), [0.5, 0.5], val_dice=0.9)
    write_run(tmp_path, config("brain", "mse", seed=0), [0.5])
    write_run(tmp_path, config("brain", "mse", seed=1), [0.5])
    failed = json.loads((fail_run(tmp_path, config(weight=2.0, seed=1)) / "run.json").read_text())
    fail_run(tmp_path, config("brain", "ncc"), "skipped", "needs two axes")
    start_run(tmp_path, config(weight=4.0, seed=0))
    rows = missing(tmp_path)
    found = {
        (r["what"], r["dataset"], r["metric"], r["weight"]): r["reason"] for _, r in rows.iterrows()
    }
    assert found["failed", "demo", "ncc", 2.0] == f"run {failed['id']}: loss is not finite"
    assert found["skipped", "brain", "ncc", 1.0] == "needs two axes"
    assert found["interrupted", "demo", "ncc", 4.0].startswith("stopped before")
    assert found["no seed", "demo", "ncc", ""] == "of 2 seeds, 1 under λ = 2"
    assert found["no value", "demo", "ncc", ""].startswith("Dice of 1 of 2 test pairs")
    assert found["no value", "demo", "", ""] == "class ghost is absent from all test pairs"
    assert "no run" not in set(rows["what"])


def test_nothing_finished_nothing_compared(tmp_path):
    start_run(tmp_path, config())
    assert compared(tmp_path) == []
    assert list(missing(tmp_path)["what"]) == ["interrupted"]
    with pytest.raises(ConfigError, match="must be one of val_dice"):
        compared(tmp_path, "luck")
