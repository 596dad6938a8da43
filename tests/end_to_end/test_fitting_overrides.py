"""Overrides that only some options of a sweep know."""

import re
from pathlib import Path

import pytest

from bench.config.multirun import fit_to_options

from .conftest import DEMO, at, read_summary, run_folders

STEPS = "metric.extractor.steps=0"
LINE = "metric.extractor.steps applies to metric=deepsim_ae; metric=mse goes without it."


@pytest.mark.parametrize("launcher", [[], ["hydra/launcher=local"]], ids=["basic", "joblib"])
def test_override_applies_to_the_options_that_know_it(launcher, results: Path, run) -> None:
    metrics = ["-m", "metric=deepsim_ae,mse", STEPS, "metric.levels=[1,2]"]
    outcome = run(*metrics, *launcher, *DEMO, at(results))
    assert outcome.code == 0, outcome.err
    assert outcome.out.count(LINE) == 1
    assert "metric.levels applies to metric=deepsim_ae; metric=mse goes without" in outcome.out
    found = {read_summary(folder)["metric"] for folder in run_folders(results)}
    assert found == {"deepsim_ae", "mse"}
    assert not (results / "extractors").exists()  # 0 steps: random features, nothing trained


def test_override_that_no_option_knows_is_refused(results: Path, run) -> None:
    line = run("-m", "metric=ncc,mse", STEPS, *DEMO, at(results)).line
    assert line.startswith("Unknown metric.extractor. Known in metric: ")
    assert run_folders(results) == []


def test_outside_a_sweep_of_the_group_it_is_refused_as_ever(results: Path, run) -> None:
    line = run("-m", "metric=mse", "seed=0,1", STEPS, *DEMO, at(results)).line
    assert line.startswith("Unknown metric.extractor. Known in metric: ")


def test_runs_that_become_equal_are_one() -> None:
    steps = [f"metric.extractor.steps={n}" for n in (2, 3)]
    runs = [[f"metric={m}", step, "seed=0"] for m in ("mse", "deepsim_ae") for step in steps]
    fitted, lines = fit_to_options(runs)
    assert fitted == [["metric=mse", "seed=0"], *runs[2:]]
    assert lines == [LINE]


def test_runs_that_all_fit_stay_as_they_are_once() -> None:
    runs = [["metric=mse", "seed=0", "metric.mask=labels"], ["metric=ncc", "metric.mask=labels"]]
    assert fit_to_options([*runs, *runs]) == (runs, [])
    assert fit_to_options([["trainer.lr=0.1"], ["trainer.lr=1e-1"]]) == ([["trainer.lr=0.1"]], [])
    order = [["trainer.steps=7", "trainer=paper"], ["trainer=paper", "trainer.steps=7"]]
    assert fit_to_options(order) == (order, [])


def test_a_setting_that_only_one_option_knows_may_be_null(results: Path, run) -> None:
    chosen = ["-m", "metric=deepsim_ae,mse", "metric.extractor.early_stopping=null", "plan=true"]
    outcome = run(*chosen, *DEMO, at(results))
    assert outcome.code == 0, outcome.err
    assert "2 missing" in outcome.out.splitlines()


def test_what_the_file_of_an_experiment_sets_is_left_out_where_no_metric_knows_it(
    results: Path, run
) -> None:
    settings = [
        "regularizer.scale=1",
        "seed=0",
        "dataset.added_noise=null",
        "model.steps=[1,1,1,1]",
    ]
    data = [option for option in DEMO if not option.startswith("model.")]
    outcome = run("-m", "+experiment=answer", "metric=mse", *settings, *data, at(results))
    assert outcome.code == 0, outcome.err
    line = "metric.levels applies to none of these; metric=mse goes without it."
    assert outcome.out.splitlines().count(line) == 1
    assert len(run_folders(results)) == 1


def test_class_name_and_added_keys_of_a_sweep_are_those_of_your_metric() -> None:
    yours = ["metric.name=l1", "metric._target_=my_metric.L1", "+metric.window=5"]
    runs = [[f"metric={name}", *yours, "seed=0"] for name in ("mse", "ncc", "custom")]
    fitted, lines = fit_to_options(runs)
    assert fitted == [["metric=mse", "seed=0"], ["metric=ncc", "seed=0"], runs[2]]
    assert lines[2] == (
        "metric.window applies to metric=custom; metric=mse, metric=ncc go without it."
    )
    added = [[f"metric={name}", "+metric.mask=foreground"] for name in ("mse", "ncc")]
    assert fit_to_options(added) == (added, [])  # of no option of the user's


def test_your_metric_is_swept_beside_others(results: Path, run, bench) -> None:
    yours = ["metric.name=l1", "metric._target_=custom_parts.L1", "regularizer.scale=0.1"]
    command = ["-m", "metric=mse,custom", *yours, *DEMO, at(results)]
    plan = run(*command, "plan=true").out
    assert "│ l1 " in plan
    assert "metric." not in plan.partition("┡")[2]
    outcome = run(*command)
    assert outcome.code == 0, outcome.err
    assert re.search(r"^│ demo +│ l1 +│", outcome.out, re.M), outcome.out
    assert "missing" not in bench("report", "--results", str(results)).out
    assert {read_summary(folder)["metric"] for folder in run_folders(results)} == {"mse", "l1"}
