"""The task of changes from the command line."""

import json
import re
import shlex
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy.ndimage import gaussian_filter

from bench.runs.outputs import MADE
from bench.runs.trained import load_method
from bench.scores.detection import area_under_roc
from bench.store.folder import Folder

from .conftest import (
    DEMO,
    ROOT,
    Command,
    at,
    numbers,
    only_run,
    read_rows,
    read_summary,
    run_folders,
    subject,
    write_volume,
)

FEW = ["model.steps=[2,2]", "model.spacing=[8,4]", "model.pooling=[2,1]", "model.rate=[1,1]"]
BASE = [option for option in DEMO if not option.startswith("model.")]
CHANGES = ["task=changes", "dataset.insert={radius:[3,4]}", "task.controls=2"]
DIRECT = [*CHANGES, *BASE, "model=direct", *FEW, "metric=mse"]
MAPS = ("intensity", "li_wyatt", "jacobian")


def test_changes_are_mapped_judged_and_recorded(
    results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    outcome = run(*DIRECT, at(results))
    assert outcome.code == 0, outcome.err
    folder = only_run(results)
    summary = read_summary(folder)
    assert summary["task"] == "changes"
    rows = read_rows(folder / "pairs.csv")
    assert len(rows) == 2
    for name in ("auc", "ap", "auc_one_direction", "auc_relative", *(f"auc_{n}" for n in MAPS)):
        values = [float(row[name]) for row in rows]
        assert all(0 <= value <= 1 for value in values)
        score = summary["scores"][name]
        assert score["mean"] == pytest.approx(sum(values) / 2)
        assert min(values) <= score["low"] <= score["mean"] <= score["high"] <= max(values)
    assert set(summary["scores_before"]) >= {"auc", "ap", "auc_intensity"}
    assert "auc_jacobian" not in summary["scores_before"]
    shown = [line.split("│")[1].strip(" ↑↓") for line in outcome.out.splitlines() if "│" in line]
    of_change = [title for title in shown if title.startswith(("A", "F"))]
    assert of_change == [
        *("Folding", "AUC", "AP", "AUC (relative to controls)", "AUC (intensity difference)"),
        *("AUC (Li and Wyatt)", "AUC (Jacobian)", "Found at 1 false", "AUC (pooled)"),
        "AP (pooled)",
    ]
    assert re.search(r"^pooled: over \d+ voxels of all test pairs$", outcome.out, re.MULTILINE)
    assert f"further scores: {folder / 'summary.json'}" in outcome.out
    assert (folder / "figure.png").read_bytes()[1:4] == b"PNG"
    once = numbers(summary)

    curves = read_rows(folder / "curves.csv")
    names = {"main", "one_direction", "relative", *MAPS}
    assert {row["map"] for row in curves} == names
    assert {float(r["tpr"]) for r in curves if float(r["rate"]) == 1} == {1.0}
    classes = read_rows(folder / "classes.csv")
    assert {row["class"] for row in classes} == {"CSF", "grey matter", "white matter"}
    assert all(0 < float(row["map_rank"]) < 1 for row in classes)

    again = run(*DIRECT, at(results), "force=true")
    assert again.code == 0, again.err
    assert numbers(read_summary(only_run(results))) == once

    (row,) = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    assert (row["status"], row["task"]) == ("finished", "changes")
    image = str(folder / "figure.png")
    files = ["--moving", image, "--fixed", image, "--out", str(tmp_path / "out")]
    line = bench("register", str(folder), *files)
    assert "is a run of task=changes" in line.line


def test_network_of_distributions_is_swept_beside_registrations(
    results: Path, run: Command, bench: Command
) -> None:
    options = [*DEMO, "model=variational", "metric=mse", "task=registration,changes"]
    outcome = run("-m", *options, at(results))
    assert outcome.code == 0, outcome.err
    by_task = {(s := read_summary(folder))["task"]: s for folder in run_folders(results)}
    assert set(by_task) == {"registration", "changes"}
    kept = next(f for f in run_folders(results) if read_summary(f)["task"] == "registration")
    job = load_method(Folder(kept))
    assert job.model.batches == 6  # steps, over which the prior's strength is averaged
    plain, changes = (by_task[name] for name in ("registration", "changes"))
    assert plain["weight"] is None
    assert "auc" not in plain["scores"]
    assert {"auc", "auc_one_direction", "auc_jacobian"} <= set(changes["scores"])
    assert plain["validation"] == changes["validation"]  # neither knows of the changes
    assert plain["variant"] != changes["variant"]
    ended = outcome.out[outcome.out.index("task=registration\n") :]
    registered, mapped = ended.split("task=changes\n")
    for summary, table in ((plain, registered), (changes, mapped)):
        (before,) = [line for line in table.splitlines() if "unregistered" in line]
        assert f" {summary['scores_before']['dice']['mean']:.3f} " in before
        assert table.count("test scores, mean") == 1
    assert ("AUC" in registered, "AUC" in mapped) == (False, True)


def test_report_has_tables_curves_and_maps_of_changes(
    results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    sweep = ["seed=0,1", "task.controls=null", "regularizer.weight=1,4"]
    controls = ["seed=0", "task.controls=1,2", "regularizer.weight=4"]
    assert run("-m", *DIRECT, *controls, at(results)).code == 0
    outcome = run("-m", *DIRECT, *sweep, at(results))
    assert outcome.code == 0, outcome.err
    listed = json.loads(bench("runs", "--results", str(results), "--format", "json").out)
    settings = sorted(row.get("settings", "") for row in listed)
    assert settings == [*[""] * 4, "task controls 1", "task controls 2"]
    report = tmp_path / "report"
    assert bench("report", "--results", str(results), "--out", str(report), "--published").code == 0
    of_weight, other, *relative = read_rows(report / "tables" / "changes.csv")
    assert (of_weight["label"], other["label"]) == ("mse, λ = 1", "mse, λ = 4")
    assert [row["label"] for row in relative] == [
        f"mse, λ = 4, relative to {n}" for n in ("1 control", "2 controls")
    ]
    assert all(
        (row["auc"], row["auc_jacobian"], row["found_1"]) == ("", "", "") for row in relative
    )
    assert all(row["auc_relative"] and row["auc_pooled_relative"] for row in relative)
    assert (other["auc_relative"], other["seeds"]) == ("", "2")
    folders = [folder for folder in run_folders(results) if "-1-seed" in folder.name]
    means = [read_summary(folder)["scores"]["auc"]["mean"] for folder in folders]
    assert len(means) == int(float(of_weight["seeds"])) == 2
    assert float(of_weight["auc"]) == pytest.approx(sum(means) / 2)
    assert float(of_weight["auc_low"]) <= float(of_weight["auc"]) <= float(of_weight["auc_high"])
    points = read_rows(report / "tables" / "changes_curves.csv")
    assert {row["rate"] for row in points} >= {"0.0", "0.05", "1.0"}
    for name in ("changes-demo", "changes-maps-demo"):
        assert (report / "figures" / f"{name}.png").read_bytes()[1:4] == b"PNG"
    voxels = [read_rows(folder / "voxels.csv") for folder in run_folders(results)]
    assert all({"moving", "changed", "main", "jacobian"} <= set(rows[0]) for rows in voxels)
    pooled = [read_summary(folder)["scores"]["auc_pooled"] for folder in folders]
    assert float(of_weight["auc_pooled"]) == pytest.approx(sum(p["mean"] for p in pooled) / 2)
    assert all(one["voxels"] == len(voxels[0]) and one["n"] == 2 for one in pooled)
    text = (report / "tables" / "changes.md").read_text()
    assert "AUC (pooled)" in text
    assert "AUC of each map over voxels of all test pairs together" in text
    assert "| demo | mse, λ = 4 | 4 | 2 | 2 |" in text
    assert "| semantic | 0.81 | 0.88 |" in text
    page = (report / "index.html").read_text()
    assert 'id="section-changes"' in page
    assert "of 9 other maps" in page
    compared = read_rows(report / "tables" / "changes_differences.csv")
    methods = ("mse, λ = 1", "mse, λ = 4")
    baselines = ("Jacobian of", "intensity difference after", "Li and Wyatt after")
    labels = {*methods, *(f"{one} {method}" for one in baselines for method in methods)}
    labels |= {row["label"] for row in relative}
    assert {compared[0]["best"], *(row["other"] for row in compared)} == labels
    assert len(compared) == len(labels) - 1

    tables, again = tmp_path / "tables", tmp_path / "again"
    exported = bench("export", "--results", str(results), "--out", str(tables))
    assert "6 finished runs" in exported.out
    outcome = bench("report", "--results", str(tables), "--out", str(again))
    assert outcome.code == 0, outcome.err
    for first, second in zip(
        read_rows(report / "tables" / "changes.csv"),
        read_rows(again / "tables" / "changes.csv"),
        strict=True,
    ):
        for name in ("label", "seeds", "pairs"):
            assert first[name] == second[name]
        for name in ("auc", "auc_low", "auc_jacobian", "ap", "found_1", "auc_relative"):
            assert (first[name] or second[name]) == "" or float(first[name]) == pytest.approx(
                float(second[name]), abs=1e-5
            )
        pooled = "ap_pooled" if first["ap_pooled"] else "ap_pooled_relative"
        assert float(first[pooled]) == pytest.approx(float(second[pooled]), abs=1e-5)
        if first["seeds"] == "1":  # the interval of several seeds needs their voxels
            low = f"{pooled}_low"
            assert float(first[low]) == pytest.approx(float(second[low]), abs=1e-5)
    twice, once = tmp_path / "twice", (tables / "pooled.csv").read_bytes()
    assert bench("export", "--results", str(tables), "--out", str(twice)).code == 0
    assert (twice / "pooled.csv").read_bytes() == once
    (tables / "changes.csv").unlink()
    line = bench("report", "--results", str(tables), "--out", str(again)).line
    assert "changes.csv: is missing" in line


def test_default_compares_features_and_first_run_names_a_sweep(results: Path, run: Command) -> None:
    outcome = run(*BASE, "task=changes", "dataset.insert={radius:[3,4]}", at(results))
    assert outcome.code == 0, outcome.err
    summary = read_summary(only_run(results))
    assert (summary["model"], summary["metric"]) == ("variational", "deepsim_seg")
    assert summary["scores"]["auc_pooled"]["voxels"] > 0
    (line,) = [line for line in outcome.out.splitlines() if line.startswith("next: python run.py")]
    assert " task=changes " in line
    assert " metric=mse,deepsim_seg seed=0,1 " in line


def test_without_a_truth_there_is_no_auc_and_a_line_says_so(
    results: Path, run: Command, bench: Command, tmp_path: Path
) -> None:
    outcome = run(*BASE, "model=identity", "task=changes", "dataset.insert=null", at(results))
    assert outcome.code == 0, outcome.err
    again = run(*BASE, "model=identity", "task=changes", "dataset.insert=null", at(results))
    for printed in (outcome.out, again.out):
        assert "note: no test pair has a known change, so there is no AUC." in printed
    assert not any("auc" in name for name in read_summary(only_run(results))["scores"])
    report = tmp_path / "report"
    assert bench("report", "--results", str(results), "--out", str(report)).code == 0
    assert not (report / "tables" / "changes.md").exists()
    page = (report / "index.html").read_text()
    assert page.count("no change is known, so the maps of identity have no AUC") == 1
    assert "A test pair on demo by identity: images, then maps" in page
    assert "median AUC" not in page


def test_class_of_the_labels_may_be_the_change(results: Path, run: Command) -> None:
    options = ["task=changes", "task.change=CSF", "task.within=null", "dataset.insert=null"]
    outcome = run(*BASE, "model=identity", *options, at(results))
    assert outcome.code == 0, outcome.err
    assert read_summary(only_run(results))["scores"]["auc_intensity"]["n"] == 2


def test_new_files_are_mapped_on_the_grid_of_the_fixed_one(
    tmp_path: Path, empty_results: Path, run: Command, bench: Command
) -> None:
    root = tmp_path / "volumes"
    rows = ["image,labels,split"]
    for number in range(2):
        for kind, array in zip(("image", "labels"), subject(number), strict=True):
            write_volume(root / f"{kind}{number}.nii.gz", array)
        rows.append(f"image{number}.nii.gz,labels{number}.nii.gz,test")
    (root / "subjects.csv").write_text("\n".join(rows))
    changed, _ = subject(0)
    changed[4:8, 5:9, 3:6] = changed.max()
    write_volume(root / "changed.nii.gz", changed)
    settings = ["dataset=nifti", f"dataset.root={root}", "metric=mse", "regularizer.weight=10"]
    settings += ["trainer.progress=false", "tracker=none", "model=direct", *FEW]
    files = ["--moving", str(root / "image0.nii.gz"), "--fixed", str(root / "changed.nii.gz")]
    for task in ("registration", "changes"):
        results = empty_results / task
        outcome = run(*settings, f"task={task}", "dataset.insert=null", at(results))
        assert outcome.code == 0, outcome.err
        out = tmp_path / task
        outcome = bench("changes", str(only_run(results)), *files, "--out", str(out))
        assert (outcome.code, outcome.err) == (0, "")
        said = r"image0 to changed: D [^,]+ to \S+, \S+% folded, SD log J \S+; .*: change.nii.gz, "
        assert re.match(said, outcome.out)
        assert ("note: voxels with a label count for the run" in outcome.out) == (task == "changes")
        names = ["change", *(f"change_{one}" for one in ("intensity", "jacobian", "li_wyatt"))]
        names += ["change_one_direction", "warped"]
        written = [*(f"{name}.nii.gz" for name in names), "origin.json"]
        assert sorted(path.name for path in out.iterdir()) == sorted(written)
        assert all(MADE.match(name) for name in written if name != "origin.json")
        registered = tmp_path / f"{task}-registered"
        if task == "registration":
            run_of_it = str(only_run(results))
            assert bench("register", run_of_it, *files, "--out", str(registered)).code == 0
            first, second = (p / "warped.nii.gz" for p in (out, registered))
            assert first.read_bytes() == second.read_bytes()
        found = nibabel.load(out / "change.nii.gz")
        assert found.shape == changed.shape
        mask = np.zeros(changed.shape, bool)
        mask[4:8, 5:9, 3:6] = True
        assert area_under_roc(found.get_fdata().ravel(), mask.ravel()) > 0.8
    name = str(only_run(results))
    line = bench("changes", name, *files[:2], "--fixed", "b", "--out", "c").line
    assert line == "--fixed b: no such file."
    other = tmp_path / "registration"
    line = bench("changes", name, *files, "--out", str(other)).line
    assert line.startswith(f"--out {other}: holds files of another run (run nifti-mse-direct-10-")
    write_volume(root / "none.nii.gz", np.zeros(changed.shape))
    labels = ["--labels", str(root / "labels0.nii.gz"), "--fixed-labels", str(root / "none.nii.gz")]
    line = bench("changes", name, *files, *labels, "--out", str(tmp_path / "none")).line
    assert "none.nii.gz: has no label of the run's classes" in line
    assert not (tmp_path / "none").exists()

    table = root / "pairs.csv"
    table.write_text(
        "moving,fixed,labels,fixed_labels\nimage0.nii.gz,changed.nii.gz,labels0.nii.gz,labels0.nii.gz"
    )
    many = tmp_path / "many"
    outcome = bench("changes", name, "--csv", str(table), "--out", str(many))
    assert (outcome.code, outcome.err) == (0, "")
    assert ", Dice 1 to " in outcome.out
    assert "note:" not in outcome.out
    maps = [p / "change.nii.gz" for p in (out, many / "image0_to_changed")]
    whole, judged = (nibabel.load(path).get_fdata() for path in maps)
    labelled = nibabel.load(root / "labels0.nii.gz").get_fdata() > 0
    np.testing.assert_array_equal(judged[labelled], whole[labelled])
    assert set(judged[~labelled]) == {whole[labelled].min()}
    assert len(np.unique(whole[~labelled])) > 1


def test_two_visits_are_mapped_as_the_documentation_says(
    place: Path, call: Command, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "changes.md").read_text(encoding="utf-8")
    section = page.partition("### Two visits of a patient\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    table, commands = ([line.strip() for line in block.splitlines()] for block in blocks)
    shape = 24, 20, 30
    for number in (1, 2):
        write_volume(tmp_path / "scans" / f"visit{number}.nii.gz", subject(number, shape)[0])
    (tmp_path / "scans" / "subjects.csv").write_text("\n".join(table))
    for line in commands:
        meant = line.replace("DIR", str(tmp_path / "scans"))
        if "RUN" in meant:
            meant = meant.replace("RUN", only_run(place / "results").name)
        fast = [*FEW, "tracker=none"] if "run.py" in meant else []
        outcome = call(*shlex.split(meant), *fast)
        assert (outcome.code, outcome.err) == (0, ""), meant
        note = "note: no test pair has a known change"
        assert (note in outcome.out) == ("run.py" in line)
    assert outcome.out.startswith("visit1 to visit2: D ")
    assert nibabel.load(place / "maps" / "change.nii.gz").shape == shape


def test_new_pictures_are_mapped_pixel_by_pixel(
    tmp_path: Path, empty_results: Path, run: Command, bench: Command
) -> None:
    root = tmp_path / "pictures"
    root.mkdir()
    random = np.random.default_rng(0)
    plain = gaussian_filter(random.random((40, 52)), 3)
    plain = (40 + 150 * (plain - plain.min()) / np.ptp(plain)).astype(np.uint8)
    changed = plain.copy()
    changed[10:18, 20:28] = 250
    for name, array in (("a", plain), ("b", np.roll(plain, 1, 1)), ("changed", changed)):
        Image.fromarray(array).save(root / f"{name}.png")
    (root / "subjects.csv").write_text("image,split\na.png,test\nb.png,test\n")
    settings = ["dataset=nifti", f"dataset.root={root}", "dataset.ndim=2", "metric=mse"]
    settings += ["regularizer.weight=10", "trainer.progress=false", "tracker=none", "model=direct"]
    task = ["task=changes", "task.within=foreground", "dataset.insert=null"]
    outcome = run(*settings, *FEW, *task, at(empty_results))
    assert outcome.code == 0, outcome.err
    files = ["--moving", str(root / "a.png"), "--fixed", str(root / "changed.png")]
    out = tmp_path / "out"
    outcome = bench("changes", str(only_run(empty_results)), *files, "--out", str(out))
    assert (outcome.code, outcome.err) == (0, "")
    found = tifffile.imread(out / "change.tif")
    assert found.shape == plain.shape
    assert len(list(out.iterdir())) == 7
    assert "note:" not in outcome.out
    mask = changed != plain
    assert area_under_roc(found.ravel(), mask.ravel()) > 0.9
    least = changed == changed.min()
    assert set(found[least]) == {found.min()}


def test_settings_that_cannot_be_are_refused_in_one_line(empty_results: Path, run: Command) -> None:
    for option, said in (
        ("dataset.insert=hole", "dataset.insert.kinds=[hole]: must be a list of some of"),
        ("task.within=skull", "task.within=skull: must be labels, foreground or null."),
        (
            "task.components=[appear]",
            "task.components=[appear]: selects connected components of a class.",
        ),
        ("task.controls=0", "task.controls=0: must be a whole number of at least 1, or null."),
        (
            "task.change=tumour",
            "task.change=tumour: dataset=demo has no class of this name. Known: CSF",
        ),
    ):
        line = run(*BASE, "model=identity", "task=changes", option, at(empty_results)).line
        assert line.startswith(said)
