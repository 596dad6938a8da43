"""Results as tables: what was exported is read as the runs are, and damage is named."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic_store import config, fail_run, start_run, write_run
from typer.testing import CliRunner

from bench.analysis.numbers.extractors import extractor_rows
from bench.analysis.numbers.findings import Request, find
from bench.analysis.reading.exported import read_exported
from bench.analysis.reading.exported_cases import read_pooled
from bench.analysis.reading.exported_tables import seal_tables
from bench.analysis.reading.records import read_records
from bench.analysis.report.collected import EXPORTED, LEFT_OUT
from bench.analysis.report.export import export
from bench.analysis.report.overview import extractors_table
from bench.analysis.report.places import report_of
from bench.analysis.report.publish import publish
from bench.analysis.report.reproduce import sweeps
from bench.analysis.report.writing import write_report
from bench.cli.commands import app
from bench.errors import BenchError, StoreError
from bench.store.files import write_atomically
from bench.store.tracker import Tracker

PERCEPTION = Path(__file__).parents[2] / "docs" / "results" / "perception"
PAIRS = 12
SPREAD = np.linspace(-0.1, 0.1, PAIRS)
TABLES = {"runs.csv", "pairs.csv", "scores.csv", "settings.csv", "extractors.csv", "checksums.json"}
CLASSES = {"classes": {0: "background", 1: "a"}}
EXTRACTOR = "demo-segmenter-seed0-1"


def write_store(results):
    """Two metrics under three λ and two noises, SyN, a skipped and an unfinished run."""
    random = np.random.default_rng(0)
    learned = {"task": "segmenter", "name": EXTRACTOR, "steps": 50, "scores": {"dice": 0.4321}}
    for metric, gain in (("ncc", 0.2), ("deepsim_seg", 0.15)):
        for noise in (None, 0.2):
            for weight in (0.5, 1.0, 2.0):
                settings = config(metric=metric, weight=weight)
                settings["dataset"] |= {"added_noise": noise, **CLASSES}
                settings["metric"] |= {"extractor": {"root": "/data/images", "steps": 50}}
                dice = 0.5 + gain + SPREAD + random.normal(0, 0.01, PAIRS) - 0.1 * (noise or 0)
                write_run(
                    results,
                    settings,
                    dice - 0.01 / weight,
                    val_dice=dice.mean() - 0.02 * (weight - 1) ** 2,
                    sdlogj=0.05 / weight + random.normal(0, 0.001, PAIRS),
                    variant=f"{metric}{noise or 0}",
                    extractors=[learned] if metric == "deepsim_seg" else [],
                )
    syn = config(metric="syn")
    syn["dataset"] |= CLASSES
    syn["model"] = {"name": "syn", "uses": []}
    write_run(results, syn, 0.6 + SPREAD, sdlogj=np.full(PAIRS, 0.04), variant="syn")
    fail_run(results, config(metric="nmi"), "skipped", "nmi needs one channel", "skipped")
    fail_run(results, config(metric="mse"), variant="failed")
    start_run(results, config(metric="mind"), "begun")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    write_store(results)
    return results


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("tables") / "answer"
    export([store], out)
    return out


@pytest.fixture
def tables(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "tables")
    return tmp_path / "tables"


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_findings_are_those_of_the_runs(store, exported):
    of_runs, of_tables = find(Request(store)), find(Request(exported))
    assert of_tables.headlines == of_runs.headlines
    assert of_tables.conclusions == of_runs.conclusions
    assert len(of_tables.conclusions) > 8
    known = [f"{name}{end}" for name in EXPORTED for end in ("", "_low", "_high", "_std")]
    known = [name for name in known if name in of_tables.rows]
    known += ["comparison", "label", "weight", "at_border", "gain", "gain_p", "extractor"]
    pd.testing.assert_frame_equal(of_tables.rows[known], of_runs.rows[known], atol=1e-6)
    for one, other in zip(of_tables.comparisons, of_runs.comparisons, strict=True):
        columns = ["weight", "seeds", "val_dice", "val_folding", "dice", "sdlogj"]
        for entry, expected in zip(one.entries, other.entries, strict=True):
            assert entry.choice.weight == expected.choice.weight
            pd.testing.assert_frame_equal(entry.path[columns], expected.path[columns], rtol=1e-5)


def test_configurations_make_the_same_commands_but_for_the_folder_of_the_data(store, exported):
    of_runs = read_records(store).configs
    of_tables = read_exported(exported).configs
    changed = [{**c, "dataset": {**c["dataset"], "root": "PATH"}} for c in of_runs.values()]
    finished = read_exported(exported).summaries
    expected = [c for c, name in zip(changed, of_runs, strict=True) if name in finished]
    lines = sweeps(of_tables[name] for name in finished)
    assert lines == [line.replace("/data/images", "PATH") for line in sweeps(expected)]
    assert any("regularizer.weight=0.5,1,2" in line for line in lines)
    assert all("-m " in line for line in lines if "syn" not in line)


def test_same_runs_same_bytes_also_from_exported_tables(store, exported, tmp_path):
    export([store], tmp_path / "second")
    assert set(contents(exported)) == TABLES
    assert contents(tmp_path / "second") == contents(exported)
    export([exported], tmp_path / "third")
    assert contents(tmp_path / "third") == contents(exported)


def test_numbers_have_six_digits_and_a_row_takes_few_bytes(exported):
    scores = (exported / "scores.csv").read_text().splitlines()
    cells = [cell for line in scores[1:] for cell in line.split(",")[2:] if cell]
    assert max(len(cell.replace(".", "").strip("0")) for cell in cells) == 6
    assert len(scores) == 1 + 13 * PAIRS
    assert sum(map(len, scores)) / len(scores) < 100


def test_folders_of_data_stay_where_they_are(exported):
    text = b"".join(contents(exported).values()).decode()
    assert "/data" not in text
    assert "dataset,root,PATH" in text
    assert "{root: PATH, steps: 50}" in text


def test_no_setting_tells_where_the_user_s_files_lie(tmp_path):
    settings = config()
    settings["dataset"] |= {"reference": "/home/me/grid.nii", "table_file": "subjects.csv"}
    settings["dataset"]["splits"] = {"test": {"images": ["images/a.tif", "/home/me/b.tif"]}}
    settings["metric"]["extractor"] = {"state_dict": "../me/vgg.pth", "root": "C:\\Users\\me"}
    settings["model"] |= {"folder": "me/fields", "trained": {"folder": "/home/me/a", "on": "demo"}}
    settings["task"] = {"name": "registration", "judgements": "me.csv"}
    write_run(tmp_path / "results", settings, [0.5, 0.6])
    for persons in ("/home/me/persons.csv", "persons.csv"):
        (config_file,) = tmp_path.glob("results/runs/*/config.yaml")
        settings["task"]["persons"] = persons
        config_file.write_text(yaml.safe_dump(settings))
        export([tmp_path / "results"], tmp_path / "tables")
        text = (tmp_path / "tables" / "settings.csv").read_text()
        assert "me/" not in text
        assert "\\" not in text
        assert "me.csv" not in text
        assert text.count("PATH") == (9 if persons.startswith("/") else 8)
        (read,) = read_exported(tmp_path / "tables").configs.values()
        assert read["task"]["persons"] == ("PATH" if persons.startswith("/") else persons)
        assert read["dataset"]["splits"]["test"]["images"] == ["images/a.tif", "PATH"]
        assert read["dataset"]["table_file"] == "subjects.csv"
        assert read["model"]["trained"] == {"folder": "PATH", "on": "demo"}


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("/home/me/data a/x.nii: has no mask. Add one.", "PATH/x.nii: has no mask. Add one."),
        (
            "weights in ../me/vgg.pth lack 1/8 and/or a layer.",
            "weights in PATH lack 1/8 and/or a layer.",
        ),
        ("Lost (/home/me/my.py:12), see https://a.org/b.", "Lost (PATH:12), see https://a.org/b."),
        ("'C:\\Users\\me\\my.py' and ~/me.py have no class.", "'PATH' and PATH have no class."),
        ("RESULTS/runs/a: has no network. Take data.", "PATH/runs/a: has no network. Take data."),
    ],
)
def test_no_reason_tells_where_the_user_s_files_lie(said, kept, tmp_path):
    settings = config()
    settings["dataset"] |= {"root": "/home/me/data a", "folder": "data"}
    settings["metric"]["extractor"] = {"state_dict": "../me/vgg.pth"}
    results = tmp_path / "my results"
    fail_run(results, settings, "skipped", said.replace("RESULTS", str(results)))
    export([results], tmp_path / "tables")
    assert read_exported(tmp_path / "tables").runs["error"].item() == kept


def test_skipped_runs_are_told_with_their_reason_and_unfinished_ones_left_out(exported):
    found = find(Request(exported))
    missing = found.missing.set_index("what")["reason"]
    assert missing["skipped"] == "nmi needs one channel"
    assert {"failed", "interrupted"} & set(missing.index) == set()
    assert set(read_exported(exported).runs["status"]) == {"finished", "skipped"}


def test_report_is_made_without_the_runs(exported, tmp_path):
    assert report_of(exported) == exported.parent / "answer-report"
    write_report(Request(exported), tmp_path / "report")
    assert (tmp_path / "report" / "figures" / "smoothness.png").exists()
    assert "Dice 0.43 (poor)" in (tmp_path / "report" / "tables" / "results.md").read_text()


def test_report_of_tables_lies_beside_them(store, tables, monkeypatch):
    monkeypatch.chdir(tables)
    monkeypatch.setattr("bench.analysis.report.writing._replace", lambda *_: None)
    said = CliRunner().invoke(app, ["report", "--results", "."]).output.replace("\n", "")
    assert f"{tables.parent / 'tables-report' / 'index.html'}: 13 finished runs" in said
    assert report_of(Path("../tables")) == Path("../tables-report")
    assert report_of(store) == store / "report"
    assert report_of(Path("results")) == Path("results/report")


def test_report_of_tables_is_tracked_beside_it(exported, tmp_path, monkeypatch):
    places = []

    def open_tracker(settings, place, tracked):
        places.append(place)
        return Tracker()

    monkeypatch.setattr("bench.analysis.report.publish.open_tracker", open_tracker)
    request = Request(exported, "demo-syn-*")
    publish(request, find(request), tmp_path / "report")
    assert places == [tmp_path]


def test_nothing_else_is_written_among_tables(store, tables):
    (tables.parent / "link").symlink_to(tables)
    line = f"lies among the exported tables in {tables}. Name a place outside that folder."
    for place in (tables, tables / "report", tables.parent / "link" / "deep" / "report"):
        with pytest.raises(BenchError, match=f"^--out {place}: {line}"):
            write_report(Request(store), place)
    with pytest.raises(BenchError, match=f"^--out {tables / 'more'}: {line}"):
        export([store], tables / "more")
    assert {path.name for path in tables.iterdir()} == TABLES
    export([store], tables)


def test_runs_are_chosen_by_a_pattern(exported):
    records = read_exported(exported, "demo-ncc-*")
    assert len(records.summaries) == 6
    assert set(records.pairs["run"]) == set(records.summaries)
    with pytest.raises(StoreError, match=r"--runs none\*: none of the 14 runs in "):
        read_exported(exported, "none*")


def test_run_that_two_folders_hold_is_taken_from_the_first(store, tmp_path, capsys):
    other = tmp_path / "other"
    write_run(other, config(metric="ncc", weight=8.0), np.full(3, 0.5), variant="more")
    shutil.copytree(store / "runs", other / "runs", dirs_exist_ok=True)
    counts = export([store, other], tmp_path / "tables")
    assert counts["finished"] == 14
    assert len(read_exported(tmp_path / "tables").summaries) == 14
    assert "other scores" not in capsys.readouterr().out
    summary = next(iter((other / "runs").glob("*ncc-1-*/summary.json")))
    said = json.loads(summary.read_text())
    said["scores"]["folding"]["mean"] = 0.0
    summary.write_text(json.dumps(said))
    export([store, other], tmp_path / "tables")
    line = f"{summary.parent.name}: {other} has other scores than {store}, which are exported\n"
    assert capsys.readouterr().out == line
    export([tmp_path / "tables", store], tmp_path / "again")
    assert capsys.readouterr().out == ""


def test_extractor_comes_from_its_folder_or_else_from_the_run(store, exported, tmp_path):
    (row,) = extractor_rows(exported).to_dict("records")
    assert (row["extractor"], row["steps"], row["value"]) == (EXTRACTOR, 50, 0.4321)
    assert row["channels"] == []
    results = tmp_path / "results"
    shutil.copytree(store, results)
    folder = results / "extractors" / EXTRACTOR
    folder.mkdir(parents=True)
    header = {"id": "1", "dataset": "demo", "task": "segmenter", "seed": 0}
    summary = {**header, "schema": 5, "status": "finished", "steps": 50, "best_step": 40}
    summary |= {"scores": {"dice": {"mean": 0.4321}}, "training_seconds": 61.0}
    for name, content in (("run.json", header), ("summary.json", summary)):
        (folder / name).write_text(json.dumps(content))
    (folder / "config.yaml").write_text('{"extractor": {"channels": [4, 8]}}')
    (folder / "environment.json").write_text('{"device": "NVIDIA H200"}')
    export([results], tmp_path / "tables")
    (line,) = pd.read_csv(tmp_path / "tables" / "extractors.csv").to_dict("records")
    assert (line["device"], line["best_step"], line["channels"]) == ("NVIDIA H200", 40, "4 8")
    shown = [extractors_table(extractor_rows(f)).rows for f in (results, tmp_path / "tables")]
    assert [cell.text for cell in shown[0][0]] == [cell.text for cell in shown[1][0]]


def test_untrained_extractor_stays_so(tmp_path):
    random = [{"task": "segmenter", "steps": 0}]
    write_run(tmp_path / "results", config(metric="deepsim_seg"), [0.5, 0.6], extractors=random)
    export([tmp_path / "results"], tmp_path / "tables")
    (summary,) = read_exported(tmp_path / "tables").summaries.values()
    assert summary["extractors"] == random
    assert extractor_rows(tmp_path / "tables").empty


def test_without_labels_and_validation_the_tables_have_what_there_is(tmp_path):
    nothing = np.full(PAIRS, np.nan)
    scores = {name: nothing for name in ("dice_published", "hd95")}
    for metric, error in (("ncc", 2.0), ("mse", 3.0)):
        folder = write_run(
            tmp_path / "results", config(metric=metric), nothing, tre=error * (1 + SPREAD), **scores
        )
        path = folder / "summary.json"
        summary = json.loads(path.read_text())
        path.write_text(json.dumps({**summary, "validation": {}}))
    export([tmp_path / "results"], tmp_path / "tables")
    assert "dice" not in (tmp_path / "tables" / "scores.csv").read_text().splitlines()[0]
    found = find(Request(tmp_path / "tables"))
    assert found.conclusions == find(Request(tmp_path / "results")).conclusions
    assert found.headlines[0].text.startswith(
        "Unregistered pairs have the lowest mean TRE. The best method is ncc with 2.00"
    )


def change(name, old, new, count=1):
    def changed(folder):
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, count))

    return changed


def drop_line(name, number):
    def changed(folder):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(lines[:number] + lines[number + 1 :]))

    return changed


def twice(name, number):
    def changed(folder):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join([*lines, lines[number]]))

    return changed


def cell(name, column, value):
    """Sets a cell of the first row."""

    def changed(folder):
        rows = list(csv.reader((folder / name).read_text().splitlines()))
        rows[1][rows[0].index(column)] = value
        with open(folder / name, "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    return changed


DAMAGES = {
    "a table is empty": (lambda f: (f / "pairs.csv").write_text(""), "pairs.csv: is not a table"),
    "not text": (lambda f: (f / "runs.csv").write_bytes(b"\xff\xfe"), "runs.csv: is not a table"),
    "another table": (
        lambda f: shutil.copy(f / "scores.csv", f / "runs.csv"),
        "runs.csv: is not a table of results: it lacks the column",
    ),
    "no pairs": (
        change("scores.csv", "pair,", "number,"),
        "scores.csv: is not a table of results: ",
    ),
    "a cell too many": (change("scores.csv", "\n", ",1\n", 1), "scores.csv: is not a table"),
    "a word": (change("scores.csv", ",0.1,", ",many,"), "scores.csv: has 'many' for a number of"),
    "cut off": (drop_line("scores.csv", 5), "scores.csv: does not have one row for each"),
    "a row twice": (twice("scores.csv", 3), "scores.csv: does not have one row for each"),
    "a run twice": (twice("runs.csv", 3), "runs.csv: has run demo-"),
    "other pairs": (drop_line("pairs.csv", 1), "scores.csv: does not have one row for each"),
    "no pairs of a run": (
        lambda f: (f / "pairs.csv").write_text((f / "pairs.csv").read_text().splitlines()[0]),
        "pairs.csv: lacks the test pairs of demo-",
    ),
    "no settings": (
        lambda f: (f / "settings.csv").write_text("settings,section,setting,value\n"),
        "settings.csv: lacks settings ",
    ),
    "a setting that is none": (
        change("settings.csv", "{policy: quantile}", "{policy: quantile"),
        "settings.csv: has '{policy: quantile' for intensity",
    ),
    "a section without its name": (
        change("settings.csv", "dataset,name,", "dataset,nam,", 99),
        "settings.csv: has incomplete settings of demo-",
    ),
    "a newer schema": (
        change("settings.csv", "schema,5", "schema,99", 9),
        "has schema 99, but this",
    ),
    "no extractors": (
        lambda f: (f / "extractors.csv").write_text(
            (f / "extractors.csv").read_text().splitlines()[0] + "\n"
        ),
        f"extractors.csv: lacks {EXTRACTOR} of demo-deepsim_seg",
    ),
    "an extractor twice": (twice("extractors.csv", 1), "extractors.csv: has a score of "),
    "a heading twice": (change("scores.csv", ",dice_published,", ",dice,"), "the header repeats"),
    "an infinite score": (
        cell("scores.csv", "dice", "inf"),
        "scores.csv: has 'inf' for a number of dice in row 1. ",
    ),
    "no seed": (cell("runs.csv", "seed", ""), "runs.csv: has no seed of demo-"),
    "a seed below 0": (cell("runs.csv", "seed", "-1"), "runs.csv: has '-1' for a number of seed"),
    "another noise": (cell("runs.csv", "noise", "0.3"), "for the noise of demo-"),
    "no metric": (cell("runs.csv", "metric", ""), "for the metric of demo-"),
    "a truth": (cell("runs.csv", "val_dice", "true"), "runs.csv: has 'true' for a number of"),
    "half a seed": (cell("runs.csv", "seed", "0.5"), "runs.csv: has '0.5' for a number of seed"),
    "a huge seed": (cell("runs.csv", "seed", "1e400"), "runs.csv: has 'inf' for a number of"),
    "too long a seed": (cell("runs.csv", "seed", "9" * 20), "for a number of seed"),
    "an unknown status": (cell("runs.csv", "status", "finshed"), "has 'finshed' for a status"),
    "another data set": (cell("runs.csv", "dataset", "brain"), "for the dataset of demo-"),
    "no weight": (cell("runs.csv", "weight", ""), "runs.csv: has no weight of demo-"),
    "a date that is none": (
        change("settings.csv", "{policy: quantile}", "2020-13-45"),
        "settings.csv: has '2020-13-45' for intensity",
    ),
    "a truth that is none": (
        change("settings.csv", "{policy: quantile}", "!!bool x"),
        "settings.csv: has '!!bool x' for intensity",
    ),
    "a name that is none": (
        change("settings.csv", "regularizer,name,diffusion", 'regularizer,name,"[1,2]"'),
        "settings.csv: has '[1,2]' for the name of a regularizer",
    ),
    "units that are none": (
        change("settings.csv", "record,units,", "record,units,7\nx,record,other,", 1),
        "settings.csv: has no classes or units of demo-",
    ),
    "a number for classes": (
        change("settings.csv", "record,classes,", "record,classes,7\nx,record,other,", 1),
        "settings.csv: has no classes or units of demo-",
    ),
    "a setting twice": (twice("settings.csv", 1), "settings.csv: has "),
}


@pytest.mark.parametrize(("damage", "said"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_or_foreign_table_gets_one_line(tables, damage, said):
    damage(tables)
    with pytest.raises(StoreError, match=r"^\S+\.csv: has changed since it was written"):
        find(Request(tables))
    seal_tables(tables)
    with pytest.raises(StoreError) as error:
        find(Request(tables))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_or_the_checksums_that_are_gone_are_named(tables, name):
    os.remove(tables / name)
    with pytest.raises(StoreError, match=rf"{name}: is missing"):
        find(Request(tables))


def test_a_cut_in_the_last_number_is_noticed(tables):
    path = tables / "scores.csv"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(StoreError, match=r"scores\.csv: has changed since it was written"):
        find(Request(tables))


def test_nothing_is_written_over_results_or_of_nothing(store, tmp_path):
    deep = store / "runs" / "one" / "two" / "three"
    for place, said in (
        (store, "is a folder of results"),
        (store / "runs", "lies in the runs of the results in"),
        (store / "extractors", "lies in the extractors of the results in"),
        (store / "cache" / "new", "lies in the cache of the results in"),
        (deep, "lies in the runs of the results in"),
    ):
        with pytest.raises(BenchError, match=said):
            export([store], place)
        assert not (place / "runs.csv").exists()
    start_run(tmp_path / "begun", config())
    with pytest.raises(StoreError, match=r"begun: nothing to export, but 1 interrupted\. "):
        export([tmp_path / "begun"], tmp_path / "tables")
    assert not (tmp_path / "tables").exists()


def test_a_folder_beside_others_called_runs_is_no_results(store, tmp_path):
    (tmp_path / "runs").mkdir()
    for place in (tmp_path / "runs" / "tables", tmp_path / "docs" / "tables"):
        export([store], place)
        assert {path.name for path in place.iterdir()} == TABLES


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError])
def test_export_that_is_cut_short_leaves_the_former_tables(store, tables, monkeypatch, fault):
    export([store], tables, "demo-ncc-*")
    former = {path.name: path.read_bytes() for path in tables.iterdir()}
    written = []

    def stop_at_the_third(path, content):
        written.append(path)
        if len(written) == 3:
            raise fault
        write_atomically(path, content)

    monkeypatch.setattr("bench.analysis.report.export.write_atomically", stop_at_the_third)
    with pytest.raises(fault):
        export([tables, store], tables)
    assert {path.name: path.read_bytes() for path in tables.iterdir()} == former
    assert [path.name for path in tables.parent.iterdir() if path.name.startswith(".")] == []


def test_export_removes_no_files_of_others(store, tables):
    (tables / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"holds notes\.txt, which is no exported table"):
        export([store], tables)
    assert (tables / "notes.txt").read_text() == "mine"


def test_runs_of_tasks_without_tables_are_counted_apart(tmp_path):
    store = tmp_path / "results"
    write_run(store, config(), [0.5, 0.6])
    header = write_run(store, config(), [0.5, 0.6], variant="other") / "run.json"
    header.write_text(json.dumps(json.loads(header.read_text()) | {"task": "synthesis"}))
    counts = export([store], tmp_path / "tables")
    assert counts == {"finished": 1, LEFT_OUT: 1}
    line = (
        f"{store}: nothing to export, but 1 {LEFT_OUT}. `python -m bench export` writes finished "
        "and skipped runs of registration, perception, changes."
    )
    with pytest.raises(StoreError, match=f"^{line}$"):
        export([store], tmp_path / "none", header.parent.name)


def test_images_without_a_score_that_all_have_are_named(tmp_path):
    shutil.copytree(PERCEPTION, tmp_path / "tables")
    path = tmp_path / "tables" / "images.csv"
    pd.read_csv(path, dtype=str).drop(columns="geometry").to_csv(path, index=False)
    seal_tables(tmp_path / "tables")
    with pytest.raises(StoreError, match=r"images\.csv: is .* it lacks the column geometry\. Wri"):
        read_exported(tmp_path / "tables")


def test_option_and_file_in_the_place_of_a_folder_are_named(tmp_path):
    (tmp_path / "file").write_text("mine")
    for name, why in (("file", "is a file"), ("none", "no such folder")):
        place, page = str(tmp_path / name), str(tmp_path / "page.md")
        options = {"export": ["--out", str(tmp_path / "tables")], "runs": []}
        for command, further in options.items():
            error = CliRunner().invoke(app, [command, "--results", place, *further]).exception
            assert str(error).startswith(f"--results {place}: {why}. `python run.py` writes runs")
        said = ["--results", str(PERCEPTION), "--registrations", place, "--out", page]
        error = CliRunner().invoke(app, ["perception", *said]).exception
        assert str(error).startswith(f"--registrations {place}: {why}. `python run.py` writes runs")
    assert {path.name for path in tmp_path.iterdir()} == {"file"}


def test_noise_of_more_digits_than_are_written_is_read(tmp_path):
    settings = config()
    settings["dataset"]["added_noise"] = 0.123456789
    write_run(tmp_path / "results", settings, [0.5, 0.6])
    export([tmp_path / "results"], tmp_path / "tables")
    assert list(read_exported(tmp_path / "tables").summaries)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a,auc,0.5,,,2,9"], None),
        (["a,area,0.5,,,2,9"], "has 'area' for a score"),
        (["a,auc,0.5,,,2,9", "a,auc,0.6,,,2,9"], "has auc of a twice"),
        (["a,auc,,,,2,9"], "has no mean of auc of a"),
    ],
)
def test_pooled_scores_that_cannot_be_get_one_line(tmp_path, rows, said):
    (tmp_path / "pooled.csv").write_text("\n".join(["run,score,mean,low,high,n,voxels", *rows]))
    if said is None:
        assert read_pooled(tmp_path) == {"a": {"auc": {"mean": 0.5, "n": 2, "voxels": 9}}}
        return
    with pytest.raises(StoreError, match=rf"pooled\.csv: {said}\. Write the tables again"):
        read_pooled(tmp_path)


def test_two_runs_of_one_id_are_refused(tmp_path):
    for name in ("one", "two"):
        header = write_run(tmp_path / "results", config(), [0.5], variant=name) / "run.json"
        header.write_text(json.dumps(json.loads(header.read_text()) | {"id": "same"}))
    with pytest.raises(StoreError, match="Two runs have the id same"):
        export([tmp_path / "results"], tmp_path / "tables")


def test_command_counts_what_it_wrote_and_left_out(store, tmp_path):
    out = tmp_path / "tables"
    result = CliRunner().invoke(app, ["export", "--results", str(store), "--out", str(out)])
    assert result.output.replace("\n", "").endswith(
        "tables: 13 finished runs, 1 failed, 1 interrupted, 1 skipped"
    )
    assert {path.name for path in out.iterdir()} == TABLES


def test_tables_take_no_file_s_place(store, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"--out .*file: is a file. Name a folder"):
        export([store], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
