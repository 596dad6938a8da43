import json
import math
import subprocess
import sys

import pytest
from synthetic_store import config, fail_run, start_run, write_run

from bench.analysis.reading.records import read_records, read_tables, training_settings
from bench.analysis.reading.results import read_results
from bench.config.identity import SCHEMA
from bench.errors import StoreError
from bench.inspection.panel import _test_pairs
from bench.scores.registry import SCORES
from bench.store.files import write_checked_csv, write_csv, write_json
from bench.store.folder import Folder
from bench.store.layout import CLASSES, HISTORY


def test_rows_of_pairs_classes_and_histories_name_their_run(tmp_path):
    first = write_run(tmp_path, config(seed=0), [0.5, 0.6]).name
    second = write_run(tmp_path, config(seed=1), [0.7, 0.8]).name
    records = read_records(tmp_path)
    assert records.pairs.groupby("run")["dice"].apply(list).to_dict() == {
        first: [0.5, 0.6],
        second: [0.7, 0.8],
    }
    assert list(records.pairs["moving"]) == ["000", "001"] * 2
    assert len(records.table(CLASSES)) == 2 * 2 * 3
    assert list(records.table(HISTORY)["step"]) == [10, 20, 50, 100] * 2
    assert set(records.summaries) == set(records.configs) == {first, second}
    assert records.environments[first]["python"] == "3.11"


def test_runs_of_every_status_are_listed(tmp_path):
    write_run(tmp_path, config(seed=0), [0.5])
    fail_run(tmp_path, config(seed=1), error="no memory")
    fail_run(tmp_path, config(seed=2), "skipped", "2D only")
    start_run(tmp_path, config(seed=3))
    runs = read_records(tmp_path).runs.set_index("seed")
    assert dict(runs["status"]) == {0: "finished", 1: "failed", 2: "skipped", 3: "interrupted"}
    assert runs.loc[1, "error"] == "no memory"
    assert list(runs["weight"]) == [1.0] * 4


def set_cell(text, column, value):
    """A CSV with another value in a column of its first row."""
    lines = [line.split(",") for line in text.splitlines()]
    lines[1][lines[0].index(column)] = value
    return "\n".join(",".join(line) for line in lines)


def without(name):
    def change(text):
        return json.dumps({key: value for key, value in json.loads(text).items() if key != name})

    return change


DAMAGES = {  # by file: changes and the beginning of what is said
    "pairs.csv": {
        "empty": (lambda text: "", "pairs.csv cannot be read (EmptyDataError)"),
        "no rows": (lambda text: text.splitlines()[0], "pairs.csv has no rows"),
        "letter": (
            lambda text: set_cell(text, "dice", "0.5x"),
            "pairs.csv has '0.5x' for a number of dice",
        ),
        "heading lost": (
            lambda text: text.replace(",", " ", 1),
            "pairs.csv cannot be read (ValueError)",
        ),
        "last line cut": (
            lambda text: text.rstrip().rpartition(",")[0],
            "pairs.csv cannot be read (ValueError)",
        ),
        "bytes": (lambda text: "\udcff" + text, "pairs.csv cannot be read (UnicodeDecodeError)"),
        "deleted": (None, "pairs.csv cannot be read (No such file or directory)"),
    },
    "classes.csv": {
        "empty": (lambda text: "", "classes.csv cannot be read (EmptyDataError)"),
        "letter": (
            lambda text: set_cell(text, "hd95", "O"),
            "classes.csv has 'O' for a number of hd95",
        ),
    },
    "history.csv": {
        "empty": (lambda text: "", "history.csv cannot be read (EmptyDataError)"),
        "letter": (
            lambda text: set_cell(text, "step", "l0"),
            "history.csv has 'l0' for a number of step",
        ),
        "cut": (lambda text: text[:60] + '"', "history.csv "),
    },
    "config.yaml": {
        "empty": (lambda text: "", "config.yaml cannot be read (TypeError)"),
        "half": (lambda text: text[: len(text) // 2], "config.yaml cannot be read ("),
        "brace": (lambda text: "{" + text, "config.yaml cannot be read ("),
        "list": (lambda text: "[1, 2]", "config.yaml cannot be read (TypeError)"),
        "deleted": (None, "config.yaml cannot be read (No such file or directory)"),
    },
    "summary.json": {
        "empty": (lambda text: "", "summary.json cannot be read"),
        "list": (lambda text: "[]", "summary.json cannot be read"),
        "no scores": (without("scores"), "summary.json has no scores"),
        "schema": (
            lambda text: text.replace('"schema": ', '"schema": "x", "was": '),
            "summary.json is not the summary of a finished run",
        ),
    },
}


def test_damaged_test_for_robustness_can_be_made_again(tmp_path):
    folder = write_run(tmp_path, config(), [0.5])
    path = folder / "robustness.csv"
    row = {"corruption": "noise", "level": 0.1, "moving": "a", "fixed": "b", "folding": 0}
    write_checked_csv(path, [row | {"dice": 0.5}])
    remedy = "`python -m bench robustness` writes it again; the run is complete without it."
    for content, fault in (
        (path.read_text().replace("0.5", "0.6"), "has changed since it was written"),
        ("", "cannot be read (EmptyDataError)"),
    ):
        path.write_text(content)
        records = read_records(tmp_path)
        assert records.runs.loc[folder.name, "error"] == f"robustness.csv {fault}. {remedy}"
        assert records.tables == {}
    del row["folding"]
    write_checked_csv(path, [row])
    error = read_records(tmp_path).runs.loc[folder.name, "error"]
    assert error == f"robustness.csv lacks the column folding. {remedy}"


@pytest.mark.parametrize(
    ("file", "damage"), [(file, damage) for file in DAMAGES for damage in DAMAGES[file]]
)
def test_damaged_run_is_named_and_nothing_of_it_counts(tmp_path, file, damage):
    good = write_run(tmp_path, config(seed=0), [0.5])
    bad = write_run(tmp_path, config(seed=1), [0.6])
    expected = read_records(tmp_path, good.name)
    change, reason = DAMAGES[file][damage]
    if change is None:
        (bad / file).unlink()
    else:
        text = change((bad / file).read_text())
        (bad / file).write_text(text, errors="surrogateescape")
    records = read_records(tmp_path)
    assert list(records.summaries) == [good.name]
    row = records.runs.loc[bad.name]
    assert row["status"] == "damaged"
    assert row["error"].startswith(reason)
    remedies = ("Pass force=true to rerun it.", "Run the same command to repeat it.")
    assert row["error"].endswith(remedies)
    for name, rows in expected.tables.items():
        assert rows.equals(records.table(name)), name


def test_unfinished_run_whose_configuration_is_being_written_is_unfinished(tmp_path):
    folder, _ = start_run(tmp_path, config(seed=0))
    (folder / "config.yaml").unlink()
    assert list(read_records(tmp_path).runs["status"]) == ["interrupted"]


def test_without_labels_scores_of_overlap_are_not_a_number(tmp_path):
    folder = write_run(tmp_path, config(), [0.5, 0.6])
    (folder / "classes.csv").unlink()
    (folder / "pairs.csv").write_text("moving,fixed,folding,folding_before\na,b,0.1,0\n")
    records = read_records(tmp_path)
    assert records.pairs["dice"].isna().all()
    assert list(records.pairs["folding"]) == [0.1]
    assert set(SCORES) < set(records.pairs)
    assert records.table(CLASSES).empty


def test_runs_are_chosen_by_a_pattern(tmp_path):
    write_run(tmp_path, config(metric="ncc"), [0.5])
    write_run(tmp_path, config(metric="mse"), [0.5])
    assert set(read_records(tmp_path, "demo-mse-*").runs["metric"]) == {"mse"}
    with pytest.raises(StoreError, match=r"^--runs brain-\*: none of the 2 runs in .*seedN"):
        read_records(tmp_path, "brain-*")


def test_folder_without_runs_says_which_command_makes_one(tmp_path):
    (tmp_path / "runs").mkdir()
    for read in (read_records, read_results):
        with pytest.raises(StoreError) as caught:
            read(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path}: holds no runs. `python run.py` makes one; its results_dir names the "
            "folder."
        )


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(
        StoreError, match=r"^--results .*nowhere: no such folder\. `python run\.py` writes"
    ):
        read_records(tmp_path / "nowhere")


def test_settings_of_a_training_leave_out_weight_seed_and_places():
    same = training_settings(config(weight=1.0, seed=0))
    other = config(weight=2.0, seed=1)
    other["dataset"]["root"] = "/elsewhere"
    other["trainer"]["devices"] = 4
    assert training_settings(other) == same
    assert same["trainer.steps"] == 100
    assert training_settings(config(steps=200))["trainer.steps"] == 200


def test_a_network_of_all_weights_differs_in_those_it_learned():
    plain, learned = config(), config()
    for one in (plain, learned):
        one["model"] |= {"conditioned": None, "lambda_range": None}
    assert training_settings(plain) == training_settings(config())
    learned["model"] |= {"conditioned": "lambda", "lambda_range": [0.025, 1.6]}
    known = training_settings(learned)
    assert known == {**training_settings(plain), "model.conditioned": "0.025 to 1.6"}


def test_reading_a_store_needs_no_torch():
    code = "import sys, bench.analysis.reading.records; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_value_that_is_not_a_number_stays(tmp_path):
    write_run(tmp_path, config(), [0.5, math.nan, 0.7])
    assert read_records(tmp_path).pairs["dice"].isna().tolist() == [False, True, False]


@pytest.mark.parametrize("name", ["NA", "null", "nan", "None", "", "007", "1e3", "True", "=1"])
def test_no_name_vanishes(name, tmp_path):
    """NA is the nucleus accumbens, and a number that was not measured elsewhere."""
    folder = tmp_path / "runs" / "x"
    folder.mkdir(parents=True)
    row = {"moving": name, "fixed": "b", "class": name, "dice": math.nan, "hd95": None, "seed": 3}
    for file in ("pairs.csv", "classes.csv", "landmarks.csv", "history.csv", "robustness.csv"):
        if file == "robustness.csv":
            row |= {"corruption": name, "level": 0.1, "folding": 0}
        write_csv(folder / file, [row, {**row, "dice": -0.5}])
    for _, rows in read_tables(Folder(folder), {"steps": 1}):
        assert list(rows["moving"]) == list(rows["class"]) == [name, name]
        assert math.isnan(rows["dice"][0])
        assert rows["dice"][1] == -0.5
        assert rows["hd95"].isna().all()
        assert list(rows["seed"]) == [3, 3]
    write_json(folder / "summary.json", {"schema": SCHEMA, "status": "finished", "scores": {}})
    panels = _test_pairs([Folder(folder)])
    assert panels[0].index[0] == (name, "b")


def test_class_of_any_name_is_in_the_report(tmp_path):
    from bench.analysis.numbers.findings import Request, find

    folder = write_run(tmp_path, config(), [0.5, 0.6])
    for file in (folder / "classes.csv", folder / "summary.json"):
        file.write_text(file.read_text().replace("large", "NA").replace("small", "null"))
    (classes,) = find(Request(tmp_path)).classes
    assert {"NA", "null"} <= set(classes.loc[classes["dice"].notna(), "class"])
