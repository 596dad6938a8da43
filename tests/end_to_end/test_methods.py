"""Methods that train nothing, and a network of the user's."""

import json
from pathlib import Path

import pytest
import yaml

from .conftest import DEMO, ROOT, Command, at, only_run, read_rows, read_summary, run_folders

BASE = [option for option in DEMO if not option.startswith("model.")]
STILL = [
    *BASE,
    "model=custom",
    "model.name=still",
    "model._target_=custom_parts.Still",
    "+model.uses=[]",
]


def test_method_that_trains_nothing_is_run_and_recorded(
    results: Path, run: Command, bench: Command
) -> None:
    outcome = run(*STILL, at(results))
    assert outcome.code == 0, outcome.err
    folder = only_run(results)
    assert folder.name.startswith("demo-still-seed0-")
    written = {path.name for path in folder.iterdir()}
    assert {"pairs.csv", "classes.csv", "figure.png", "summary.json"} <= written
    assert not {"history.csv", "best.safetensors", "last.pt", "validation.csv"} & written
    summary = read_summary(folder)
    for name in ("metric", "regularizer", "weight", "steps", "best_step"):
        assert summary[name] is None, name
    assert (summary["model"], summary["task"]) == ("still", "registration")
    assert summary["tables"] == ["pairs.csv", "classes.csv", "landmarks.csv"]
    for name in ("dice", "hd95", "folding"):
        assert summary["scores"][name] == summary["scores_before"][name]

    before = (folder / "summary.json").stat().st_mtime_ns
    assert run(*STILL, at(results)).code == 0
    assert (folder / "summary.json").stat().st_mtime_ns == before
    (row,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert (row["status"], row["model"]) == ("finished", "still")


def test_pairs_registered_at_once_have_the_scores_of_single_ones(
    results: Path, run: Command
) -> None:
    command = [*BASE, "model=direct", "metric=ncc", "model.steps=[5,5,5,5]", at(results)]
    assert run(*command, "+task.both_directions=true").code == 0
    assert run(*command, "+task.both_directions=true", "model.batch=3").code == 0
    one, several = (read_rows(folder / "pairs.csv") for folder in run_folders(results))
    assert len(one) == len(several) > 1
    for row, other in zip(one, several, strict=True):
        assert row.keys() == other.keys()
        for name in row.keys() - {"seconds", "moving", "fixed"}:
            assert float(other[name]) == pytest.approx(float(row[name]), rel=1e-3, abs=1e-3)
    line = run(*command, "model.batch=0").line
    assert line == "model.batch=0: must be a whole number of at least 1."


def test_both_directions_are_registered_if_asked_for(results: Path, run: Command) -> None:
    method = [*BASE, "model=direct", "metric=mse", "model.spacing=[8]", "model.pooling=[1]"]
    command = [*method, "model.steps=[10]", "model.rate=[1]", at(results)]
    assert run(*command).code == 0
    assert "inverse_consistency" not in read_summary(only_run(results))["scores"]
    assert run(*command, "+task.both_directions=true").code == 0
    folders = run_folders(results)
    assert len(folders) == 2
    rows = [row for folder in folders for row in read_rows(folder / "pairs.csv")]
    errors = [row["inverse_consistency"] for row in rows if "inverse_consistency" in row]
    assert len(errors) == 2
    assert all(0 < float(error) < 20 for error in errors)
    line = run(*command, "+task.both_directions=2").line
    assert line == "task.both_directions=2: must be true or false."


def test_method_that_trains_nothing_is_reported(
    results: Path, run: Command, bench: Command
) -> None:
    assert run(*STILL, at(results)).code == 0
    report = bench("report", "--results", str(results))
    assert report.code == 0, report.err
    assert "still" in "".join(page.read_text() for page in (results / "report").glob("*.html"))


@pytest.mark.parametrize(
    "other", ["metric=ncc", "trainer.steps=9", "regularizer.weight=7", "regularizer=bending"]
)
def test_what_a_method_does_not_use_makes_no_other_run(
    other: str, results: Path, run: Command
) -> None:
    assert run(*STILL, "metric=mse", at(results)).code == 0
    assert run(*STILL, "metric=mse", other, at(results)).code == 0
    assert len(run_folders(results)) == 1
    assert run(*STILL, "seed=1", at(results)).code == 0
    assert len(run_folders(results)) == 2


def test_sweep_over_metrics_is_one_run(results: Path, run: Command) -> None:
    outcome = run("-m", *STILL, "metric=mse,ncc", at(results))
    assert outcome.code == 0, outcome.err
    assert len(read_rows(only_run(results) / "pairs.csv")) == 2


def test_plan_shows_a_run_once_however_many_overrides_make_it(results: Path, run: Command) -> None:
    outcome = run("-m", *STILL, "metric=mse,ncc", at(results), "plan=true")
    assert outcome.code == 0, outcome.err
    assert "1 missing; 1 of 2 combinations is the same run as another" in outcome.out.splitlines()


def test_method_whose_needs_are_taken_away_says_so(results: Path, run: Command) -> None:
    line = run(*BASE, "model=direct", "metric=mse", "model.uses=[metric]", at(results)).line
    assert line == (
        "model.uses=[metric]: model=direct needs regularizer, too. Leave model.uses as it is in "
        "conf/model/."
    )


def test_network_of_the_users_gets_its_keys_alone(results: Path, run: Command) -> None:
    chosen = ["model=custom", "model.name=shift", "model._target_=custom_parts.Shift"]
    outcome = run(
        "metric=mse", *BASE, *chosen, "+model.start=0.5", "model.flow_std=null", at(results)
    )
    assert outcome.code == 0, outcome.err
    folder = only_run(results)
    assert read_summary(folder)["steps"] == 6
    model = yaml.safe_load((folder / "config.yaml").read_text())["model"]
    of_the_suite = yaml.safe_load((ROOT / "conf/model/_network.yaml").read_text())
    assert set(model) == {"name", "_target_", "start", *of_the_suite}


def test_refined_network_is_that_of_the_plain_run(results: Path, run: Command) -> None:
    assert run("metric=mse", *DEMO, at(results)).code == 0
    (plain,) = run_folders(results)
    refined = run("metric=mse", "model.refine=3", *DEMO, at(results))
    assert f"uses the network of {plain.name}" in refined.out
    (other,) = [folder for folder in run_folders(results) if folder != plain]
    weights = [(folder / "best.safetensors").read_bytes() for folder in (plain, other)]
    assert weights[0] == weights[1]
    first, second = (read_summary(folder) for folder in (plain, other))
    assert first["validation"] == second["validation"]
    assert second["scores"]["similarity"]["mean"] < first["scores"]["similarity"]["mean"]


def test_refined_network_is_trained_where_there_is_no_plain_run(
    results: Path, run: Command
) -> None:
    assert run("metric=mse", "model.refine=3", *DEMO, at(results)).code == 0
    assert read_summary(only_run(results))["steps"] == 6


def test_set_without_training_and_validation_subjects_is_registered(
    results: Path, run: Command
) -> None:
    base = [option for option in BASE if not option.startswith("dataset.subjects")]
    only_test = [*base, "dataset.subjects_per_split={train: 0, val: 0, test: 2}"]
    direct = ["model=direct", "model.spacing=[8]", "model.pooling=[1]", "model.steps=[5]"]
    command = [*only_test, *direct, "model.rate=[1]", "metric=mse", at(results)]
    outcome = run("-m", *command, "regularizer.scale=1,2")
    assert outcome.code == 0, outcome.err
    assert "without validation subjects λ cannot be validated" in outcome.out
    assert "the smallest λ tried: there are no validation subjects" in outcome.out
    for folder in run_folders(results):
        assert read_summary(folder)["validation"] == {}
        assert len(read_rows(folder / "pairs.csv")) == 2


def test_extractors_without_labels_learn_on_test_images_where_there_are_no_others(
    results: Path, run: Command
) -> None:
    base = [option for option in BASE if not option.startswith("dataset.subjects")]
    only_test = [*base, "dataset.subjects_per_split={train: 0, val: 0, test: 2}"]
    direct = ["model=direct", "model.spacing=[8]", "model.pooling=[1]", "model.steps=[2]"]
    command = [*only_test, *direct, "model.rate=[1]", at(results)]
    outcome = run(*command, "metric=deepsim_ae", "metric.extractor.steps=2")
    assert outcome.code == 0, outcome.err
    assert "autoencoder on demo: no training subjects, so it learns on the test" in outcome.out
    assert len(read_rows(only_run(results) / "pairs.csv")) == 2

    line = run(*command, "metric=deepsim_seg").line
    assert line.startswith("dataset demo: split 'train' has no subjects, but this run needs some.")
