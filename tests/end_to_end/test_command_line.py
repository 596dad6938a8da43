"""What the commands print: help, configuration, rows; and parts from outside the repository."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import (
    DEMO,
    ROOT,
    Command,
    at,
    only_run,
    read_summary,
    run_folders,
    run_process,
)

GROUPS = ["task", "dataset", "metric", "regularizer", "model", "trainer", "tracker"]


def test_help_lists_every_group_and_option_with_its_line(run: Command) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    for group in GROUPS:
        start = lines.index(f"{group}=")
        listed = lines[start + 1 : lines.index("", start)]
        files = sorted((ROOT / "conf" / group).glob("[!_]*.yaml"))
        assert [line.split()[0] for line in listed] == [path.stem for path in files]
        for line, path in zip(listed, files, strict=True):
            comment = path.read_text().splitlines()[0]
            assert comment.startswith("# ")
            assert line.split(maxsplit=1)[1] == comment.removeprefix("# ").strip()
    assert "seed=N" in outcome.out
    assert outcome.err == ""


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]])
def test_changing_the_working_folder_is_refused(
    sweep: list[str], empty_results: Path, run: Command
) -> None:
    line = run(*sweep, *DEMO, at(empty_results), "hydra.job.chdir=true").line
    assert line.startswith("hydra.job.chdir=true: would change the folder that results_dir, ")
    assert not (empty_results / "runs").exists()


def test_short_help_is_the_same(run: Command) -> None:
    assert run("-h").out == run("--help").out


def test_help_does_not_import_torch() -> None:
    script = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "sys.argv = ['run.py', '--help']\n"
        f"runpy.run_path({str(ROOT / 'run.py')!r}, run_name='__main__')\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60)
    assert done.returncode == 0


def test_composed_configuration_is_printed_and_nothing_is_run(
    empty_results: Path, run: Command
) -> None:
    outcome = run("--cfg", "job", "metric=ncc", "dataset=brain", "seed=3", at(empty_results))
    assert outcome.code == 0
    config = yaml.safe_load(outcome.out)
    assert (config["metric"]["name"], config["dataset"]["name"]) == ("ncc", "brain")
    assert config["seed"] == 3
    assert config["results_dir"] == str(empty_results)
    assert not empty_results.exists()
    resolved = yaml.safe_load(
        run("--cfg", "job", "--resolve", "metric=ncc", "dataset=brain", "regularizer.scale=4").out
    )
    assert resolved["regularizer"]["weight"] == 4


def test_options_may_stand_between_overrides(empty_results: Path, run: Command) -> None:
    planned = run("metric=mse", "-m", "seed=0,1", *DEMO, "plan=true", at(empty_results))
    assert planned.code == 0, planned.err
    assert planned.out == run("-m", "metric=mse", "seed=0,1", *DEMO, "plan=true").out
    printed = run("seed=3", "--cfg", "job", "metric=mse", "~tracker")
    config = yaml.safe_load(printed.out)
    assert (config["seed"], config["metric"]["name"]) == (3, "mse")
    assert "tracker" not in config


@pytest.fixture
def two_runs(results: Path, run: Command) -> Path:
    outcome = run("-m", "metric=mse,ncc", *DEMO, at(results))
    assert outcome.code == 0, outcome.err
    assert len(run_folders(results)) == 2
    return results


def test_rows_of_runs_agree_in_every_format(two_runs: Path, bench: Command) -> None:
    summaries = {
        read_summary(folder)["id"]: read_summary(folder) for folder in run_folders(two_runs)
    }
    printed = {
        form: bench("runs", "--results", str(two_runs), "--format", form)
        for form in ("json", "csv", "table")
    }
    assert {outcome.code for outcome in printed.values()} == {0}
    rows = json.loads(printed["json"].out)
    assert {row["id"] for row in rows} == set(summaries)
    for row in rows:
        summary = summaries[row["id"]]
        for key in ("status", "dataset", "metric", "model", "regularizer", "weight", "seed"):
            assert row[key] == summary[key]
        for name, score in summary["scores"].items():
            assert row[name] == score["mean"]

    table = list(csv.DictReader(io.StringIO(printed["csv"].out)))
    assert [{key: str(value) for key, value in row.items()} for row in rows] == table

    lines = printed["table"].out.splitlines()
    for row in rows:
        (line,) = [line for line in lines if row["id"] in line]
        assert row["metric"] in line
        assert f"{row['dice']:.3f}" in line
    default = bench("runs", "--results", str(two_runs)).out
    assert re.sub(r"\d+ s ago", "", default) == re.sub(r"\d+ s ago", "", printed["table"].out)


def test_rows_are_printed_by_a_process_of_its_own(two_runs: Path, bench: Command) -> None:
    command = ["runs", "--results", str(two_runs), "--format", "json"]
    script = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"sys.argv = ['bench', *{command!r}]\n"
        "try:\n"
        "    runpy.run_module('bench', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    sys.exit(end.code or 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == bench(*command).out


def test_runs_of_a_missing_folder(tmp_path: Path, bench: Command) -> None:
    outcome = bench("runs", "--results", str(tmp_path / "nowhere"))
    assert outcome.line == (
        f"--results {tmp_path / 'nowhere'}: no such folder. `python run.py` writes runs; name its "
        "results_dir."
    )


def test_runs_of_an_empty_folder(tmp_path: Path, bench: Command) -> None:
    outcome = bench("runs", "--results", str(tmp_path), "--format", "json")
    assert (outcome.code, json.loads(outcome.out)) == (0, [])


def test_metric_from_a_file_outside_the_repository(tmp_path: Path, results: Path) -> None:
    contributions = tmp_path / "contributions"
    contributions.mkdir()
    (contributions / "my_metric.py").write_text(
        "class L1:\n"
        "    def __call__(self, pair):\n"
        "        return (pair.warped - pair.fixed).abs().mean()\n"
    )
    outcome = run_process(
        "metric=mse",
        "metric.name=l1",
        "metric._target_=my_metric.L1",
        *DEMO,
        at(results),
        environment={"PYTHONPATH": str(contributions)},
    )
    assert outcome.code == 0, outcome.err
    assert "No tuned weight for l1 on demo: using regularizer.weight=1" in outcome.out
    summary = read_summary(only_run(results))
    assert (summary["metric"], summary["weight"]) == ("l1", 1)
    assert "l1 on demo, λ = 1, seed 0, 6 steps" in outcome.out


def test_one_run_is_shown_removed_and_not_found_then(two_runs: Path, bench: Command) -> None:
    first, second = run_folders(two_runs)
    run_id = read_summary(first)["id"]
    shown = bench("runs", "show", run_id, "--results", str(two_runs))
    assert shown.code == 0
    assert f"id: {run_id}" in shown.out
    assert "status: finished" in shown.out
    assert "config.yaml:" in shown.out
    refused = bench("runs", "reset", run_id, "--results", str(two_runs))
    assert f"{first.name} has finished. Pass force=true to rerun it," in refused.line
    assert bench("runs", "rm", first.name, "--results", str(two_runs)).code == 0
    assert run_folders(two_runs) == [second]
    gone = bench("runs", "show", run_id, "--results", str(two_runs))
    assert gone.line.startswith(f"{run_id}: no run of this id in {two_runs}.")
    unnamed = bench("runs", "rm", "--results", str(two_runs))
    assert unnamed.line == "Give the ids of runs, or pass --failed."
