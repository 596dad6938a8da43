"""A score is added in one place, and is then in records, tables and reports."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from bench.analysis.numbers.comparisons import compare
from bench.analysis.numbers.paired import compare_pairwise
from bench.analysis.numbers.results import result_rows
from bench.analysis.reading.records import read_records
from bench.analysis.report.main_table import results_table
from bench.cli.terminal import print_summary
from bench.models.method import Objective
from bench.scores.registry import SCORES, units
from bench.scores.score import Score
from bench.scores.summary import summarize
from bench.similarity import MSE
from bench.tasks.registration.testing import score_pairs

sys.path.append(str(Path(__file__).parents[1] / "analysis"))
from synthetic_store import config, write_run

MODULE = """
def largest(case):
    return case.displacement.norm(dim=1).max()
"""
NAME = "largest_motion"


@pytest.fixture
def added(tmp_path, monkeypatch):
    (tmp_path / "my_scores.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    score = Score(
        NAME,
        "Largest motion",
        best="min",
        digits=2,
        kind="smoothness",
        needs=("displacement",),
        function="my_scores:largest",
        unit="px",
        in_short=True,
    )
    monkeypatch.setitem(SCORES, NAME, score)


class Shift:
    """Moves everything by three voxels along the first axis."""

    def register(self, pair, objective):
        u = torch.zeros_like(pair.u)
        u[:, 0] = 3
        return u


def test_added_score_is_recorded_and_printed(added, tiny_datasets, capsys):
    objective = Objective(MSE(), None, 0.0)
    cases = list(score_pairs(Shift(), objective, tiny_datasets[2], torch.device("cpu")))
    row = cases[0].rows["pairs.csv"][0]
    assert (row[NAME], row[f"{NAME}_before"]) == (3.0, 0.0)
    names = list(cases[0].scores)
    summary = {
        "scores": summarize([case.scores for case in cases], names),
        "scores_before": summarize([case.before for case in cases], names),
        **{"metric": "mse", "dataset": "demo", "weight": 0.1, "seed": 0, "steps": 1},
    }
    print_summary(summary, Path("x"))
    (line,) = [own for own in capsys.readouterr().out.splitlines() if "Largest motion" in own]
    assert line.split("│")[1].strip() == "Largest motion [px] ↓"
    assert "3.00 ± 0.00" in line


def test_added_score_is_in_the_report_and_empty_for_runs_without(added, tmp_path):
    with_it = {NAME: [1.0, 2.0, 4.0]}
    write_run(tmp_path, config(metric="mse"), [0.5, 0.6, 0.7], **with_it)
    older = write_run(tmp_path, config(metric="ncc"), [0.6, 0.7, 0.8])
    rows = pd.read_csv(older / "pairs.csv", dtype=str)
    rows.drop(columns=[NAME, f"{NAME}_before"]).to_csv(older / "pairs.csv", index=False)
    (comparison,) = compare(read_records(tmp_path))
    statistics = compare_pairwise(comparison)
    table = results_table(result_rows(comparison), statistics, "results", "")
    place = table.headings.index("Largest motion [px] ↓")
    assert {row[1].text: row[place].text for row in table.rows} == {
        "unregistered": "0.00 ± 0.00",
        "mse": "2.33 ± 1.53",
        "ncc": "–",
    }
    assert NAME in set(statistics["score"])


def test_registry_needs_no_torch():
    code = "import sys, bench.scores.registry; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_lengths_are_in_the_unit_of_the_data():
    lengths = ("hd95", "tre", "tre_median", "inverse_consistency")
    assert units("px") == dict.fromkeys(lengths, "px")
