"""How well extractors learned, beside the results and in a table."""

import json
import shutil

import pytest
from synthetic_store import config, write_run

from bench.analysis.numbers.extractors import extractor_rows, learned
from bench.analysis.numbers.findings import Request
from bench.analysis.report.writing import write_report

SEGMENTER = "demo-segmenter-seed0-1"


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results" / "extractors" / SEGMENTER
    folder.mkdir(parents=True)
    identity = {"extractor": {"channels": [4, 8]}, "dataset": {"settings": {"added_noise": 0.1}}}
    header = {"id": "1", "dataset": "demo", "task": "segmenter", "seed": 0}
    summary = {
        **{"schema": 5, "status": "finished", **header, "steps": 50, "best_step": 40},
        **{"scores": {"dice": {"mean": 0.4321}}, "training_seconds": 61.0},
    }
    for name, content in (("run", header), ("config", identity), ("summary", summary)):
        suffix = "yaml" if name == "config" else "json"
        (folder / f"{name}.{suffix}").write_text(json.dumps(content))
    unfinished = folder.with_name("demo-segmenter-seed0-2")
    unfinished.mkdir()
    (unfinished / "run.json").write_text(json.dumps(header))
    scores = {"task": "segmenter", "name": SEGMENTER, "steps": 50, "scores": {"dice": 0.4321}}
    write_run(folder.parents[1], config(metric="deepsim_seg"), [0.5, 0.6], extractors=[scores])
    write_run(folder.parents[1], config(metric="mse"), [0.5, 0.6])
    return folder.parents[1]


def test_rows_are_those_of_trained_extractors(results):
    (row,) = extractor_rows(results).to_dict("records")
    assert row == {
        **{"extractor": SEGMENTER, "dataset": "demo", "task": "segmenter", "channels": [4, 8]},
        **{"noise": 0.1, "seed": 0, "steps": 50, "best_step": 40, "training_seconds": 61.0},
        **{"score": "dice", "value": 0.4321, "settings": None},
    }


def test_extractors_that_differ_in_another_setting_are_told_apart(results):
    folder = results / "extractors" / SEGMENTER
    for number, further in ((3, {"contrast": ["t1", "t2"]}), (4, {"moving": "t1"})):
        other = folder.with_name(f"demo-segmenter-seed0-{number}")
        shutil.copytree(folder, other)
        identity = json.loads((other / "config.yaml").read_text())
        identity["dataset"]["settings"] |= further
        identity["trainer"] = {"lr": 0.01}
        (other / "config.yaml").write_text(json.dumps(identity))
    assert extractor_rows(results)["settings"].fillna("").tolist() == [
        "",
        "contrast t1 t2, …",
        "moving t1, …",
    ]
    write_report(Request(results), results.parent / "report")
    table = (results.parent / "report" / "tables" / "extractors.md").read_text()
    assert "| score | settings |" in table
    assert "| Dice 0.43 (poor) | contrast t1 t2, … |" in table


def test_report_says_beside_each_method_and_in_a_table_how_well_its_extractor_learned(results):
    out = results.parent / "report"
    write_report(Request(results), out)
    lines = (out / "tables" / "results.md").read_text().splitlines()
    ends = {
        line.split(" | ")[1].strip("*_ "): line.split(" | ")[-1]
        for line in lines
        if "| demo" in line
    }
    assert ends == {
        "unregistered": "– |",
        "deepsim_seg": "Dice 0.43 (poor) |",
        "mse": "– |",
    }
    table = (out / "tables" / "extractors.md").read_text()
    assert "| demo | segmenter | 4 8 | 0.1 | 0 | 50 | 40 | 61 s | Dice 0.43 (poor) |" in table
    assert "Extractors, and how well they learned" in (out / "index.html").read_text()


def test_damaged_extractor_is_listed_as_such_and_one_without_a_value_as_unknown(results):
    folder = results / "extractors" / SEGMENTER
    summary = json.loads((folder / "summary.json").read_text())
    summary["scores"]["dice"]["mean"] = float("nan")
    (folder / "summary.json").write_text(json.dumps(summary))
    other = folder.with_name("demo-autoencoder-seed0-3")
    shutil.copytree(folder, other)
    (other / "summary.json").write_text(json.dumps({**summary, "files": {"config.yaml": 1}}))
    nameless = other.with_name("demo-autoencoder-seed0-4")
    shutil.copytree(other, nameless)
    (nameless / "run.json").write_text('{"id": ')
    out = results.parent / "report"
    write_report(Request(results), out)
    table = (out / "tables" / "extractors.md").read_text()
    assert "| demo | segmenter | 4 8 | 0.1 | 0 | 50 | 40 | 61 s | Dice unknown |" in table
    assert "| demo | segmenter | – | 0 | 0 | – | – | – | damaged |" in table
    assert "| demo-autoencoder-seed0-4 | – | – | 0 | – | – | – | – | damaged |" in table


def test_scores_are_averaged_over_seeds_and_random_features_are_called_so():
    def run(*extractors):
        return {"extractors": list(extractors)}

    def trained(task, **scores):
        return {"task": task, "steps": 9, "scores": scores}

    seeds = [run(trained("segmenter", dice=value)) for value in (0.7, 0.8)]
    assert learned(seeds) == "Dice 0.75"
    two = run(trained("autoencoder", reconstruction_error=0.1), {"task": "segmenter", "steps": 0})
    assert learned([two]) == "error 0.10, random"
    assert learned([{}, run()]) is None
