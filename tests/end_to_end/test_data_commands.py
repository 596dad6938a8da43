"""`python -m bench data`: list, prepare, check, preview, then a training on what they made."""

import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from data.servers import Site, served

from bench.cli import data_commands
from bench.config.experiment import Experiment
from bench.data import Source
from bench.errors import ConfigError

from .conftest import ROOT, TRAINING, Command, at, only_run, read_summary


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """A small set in the layout of phc_u373."""
    random = np.random.default_rng(0)
    root = tmp_path / "cells"
    for sequence in ("01", "02"):
        (root / sequence).mkdir(parents=True)
        (root / f"{sequence}_ST" / "SEG").mkdir(parents=True)
        for i in range(6):
            image = random.integers(256, size=(40, 40)).astype(np.uint8)
            tifffile.imwrite(root / sequence / f"t{i:03d}.tif", image)
            mask = (image // 64).astype(np.uint16)
            tifffile.imwrite(root / f"{sequence}_ST" / "SEG" / f"man_seg{i:03d}.tif", mask)
    return root


def test_list_names_every_data_set(bench: Command) -> None:
    outcome = bench("data", "list")
    assert outcome.code == 0, outcome.err
    for name in ("brain", "demo", "hippocampus", "nifti", "oasis", "phc_u373", "platelet_em"):
        assert f"\n{name} " in f"\n{outcome.out}"
    assert "ready, 70 subjects" in outcome.out
    assert "CC-BY-SA 4.0" in outcome.out


def test_list_says_what_to_do_for_each_data_set(
    tmp_path: Path, bench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # without the folder datasets
    states = dict(re.findall(r"^(\w+) +(\S.*)$", bench("data", "list").out, re.MULTILINE))
    prepare = "`python -m bench data prepare hippocampus` downloads it"
    assert states["hippocampus"] == f"missing; {prepare}"
    assert states["brain"] == "missing; `python -m bench data prepare brain` says how to get it"
    check = "`python -m bench data check nifti --root DIR` checks them"
    assert states["nifti"] == f"your files; {check}"


def test_check_prints_what_is_there_and_draws_it(
    cells: Path, tmp_path: Path, bench: Command
) -> None:
    results = tmp_path / "results"
    outcome = bench("data", "check", "phc_u373", "--root", str(cells), "--results", str(results))
    assert outcome.code == 0, outcome.err
    for words in ("40 x 40", "background", "cell", "1, 2, 3", "dataset phc_u373 can be used"):
        assert words in outcome.out, words
    assert (results / "data" / "phc_u373-check.png").stat().st_size > 10_000


def test_list_marks_a_data_set_whose_class_is_not_found(
    bench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = data_commands.make_source

    def make_or_refuse(experiment: Experiment) -> Source:
        if experiment["dataset"]["name"] == "brain":
            raise ConfigError("dataset._target_=nowhere.Mine: cannot be built")
        return make(experiment)

    monkeypatch.setattr(data_commands, "make_source", make_or_refuse)
    outcome = bench("data", "list")
    assert outcome.code == 0, outcome.err
    states = dict(re.findall(r"^(\w+) +(\S.*)$", outcome.out, re.MULTILINE))
    assert states["brain"] == "unusable: dataset._target_=nowhere.Mine: cannot be built"
    assert states["demo"].startswith("ready")


def test_check_fails_in_one_line_and_lists_all_faults(
    cells: Path, tmp_path: Path, bench: Command
) -> None:
    for name in ("02/t001.tif", "01/t002.tif"):
        path = cells / name
        path.write_bytes(path.read_bytes()[:100])
    arguments = ("--root", str(cells), "--results", str(tmp_path / "results"))
    outcome = bench("data", "check", "phc_u373", *arguments)
    assert outcome.code == 1
    assert outcome.out.count("fault: ") == 2
    assert "cannot be used: 2 faults, the first: " in outcome.line
    assert "01/t002.tif" in outcome.line


def test_check_takes_settings_as_run_does(cells: Path, tmp_path: Path, bench: Command) -> None:
    results = ("--results", str(tmp_path / "results"))
    arguments = ("check", "phc_u373", f"dataset.root={cells}", "dataset.shape=[16,24]")
    assert bench("data", *arguments, *results).code == 0
    assert bench("data", *arguments, "dataset.name=mine", *results).code == 0
    sheets = sorted(path.name for path in (tmp_path / "results" / "data").iterdir())
    assert sheets == ["mine-check.png", "phc_u373-check.png"]
    outcome = bench("data", *arguments[:3], "dataset.shap=[16,24]", *results)
    assert outcome.line.startswith("Unknown dataset.shap. Known in dataset: _target_, ")


def test_check_compares_the_data_with_the_window_of_the_chosen_metric(
    cells: Path, tmp_path: Path, bench: Command
) -> None:
    arguments = ("check", "phc_u373", f"dataset.root={cells}", "dataset.shape=[16,8]")
    results = ("--results", str(tmp_path / "results"))
    narrow = "the shortest axis has 8 voxels of data, fewer than the 9 of a window of metric=ncc"
    assert narrow in " ".join(bench("data", *arguments, *results).out.split())
    for choice in ("metric.window=7", "metric.window=whole", "metric=mse"):
        outcome = bench("data", *arguments, choice, *results)
        assert "metric=ncc" not in outcome.out, choice


@pytest.mark.parametrize("words", [["--help"], ["data", "--help"], ["runs", "--help"]])
def test_help_begins_with_what_the_commands_do(words: list[str], bench: Command) -> None:
    shown = " ".join(bench(*words).out.split())
    purpose = {"data": "List, prepare, check and preview data sets.", "runs": "List, show, delete"}
    assert purpose.get(words[0], "Commands on results and data sets.") in shown
    assert "{" not in shown


def test_unknown_data_set_is_told_with_those_known(bench: Command) -> None:
    outcome = bench("data", "check", "brian")
    assert outcome.line.startswith("Unknown dataset 'brian'. Known: brain, demo, demo3d, ")


def test_prepare_then_preview_then_train(
    cells: Path, tmp_path: Path, bench: Command, run: Command
) -> None:
    archive, root, results = tmp_path / "cells.zip", tmp_path / "new", tmp_path / "results"
    with zipfile.ZipFile(archive, "w") as file:
        for path in cells.rglob("*.tif"):
            file.write(path, Path("top") / path.relative_to(cells))
    arguments = ("prepare", "phc_u373", "--archive", str(archive), "--root", str(root))
    outcome = bench("data", *arguments)
    assert outcome.out.strip() == f"phc_u373 is ready: 11 subjects in {root}"
    assert "phc_u373 was already prepared" in bench("data", *arguments).out
    preview = ("preview", "phc_u373", "--root", str(root), "--results", str(results))
    assert bench("data", *preview, "--count", "3").code == 0
    assert (results / "data" / "phc_u373-preview.png").stat().st_size > 10_000
    outcome = run("dataset=phc_u373", f"dataset.root={root}", "metric=ncc", *TRAINING, at(results))
    assert outcome.code == 0, outcome.err
    assert read_summary(only_run(results))["scores"]["dice"]["n"] == 2


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Puts a copy of conf/ in place whose data sets have these addresses, and no others."""

    def with_addresses(addresses: dict[str, str]) -> None:
        conf = tmp_path / "conf"
        shutil.copytree(ROOT / "conf", conf)
        for path in (conf / "dataset").glob("*.yaml"):
            content = re.sub(r"^  (url|hash): .*\n", "", path.read_text(), flags=re.MULTILINE)
            if path.stem in addresses:
                content = content.replace("about:\n", f"about:\n  url: {addresses[path.stem]}\n")
            path.write_text(content)
        for module in ("groups", "composition"):
            monkeypatch.setattr(f"bench.config.{module}.CONF", conf)
        monkeypatch.chdir(tmp_path)

    return with_addresses


def test_all_free_sets_are_got_at_once(
    cells: Path,
    decathlon: Path,
    tmp_path: Path,
    shop: Callable[[dict[str, str]], None],
    bench: Command,
) -> None:
    archives = {}
    for name, folder in (("phc_u373", cells), ("hippocampus", decathlon)):
        packed = shutil.make_archive(str(tmp_path / name), "zip", folder)
        archives[name] = Site(Path(packed).read_bytes())
    archives["hippocampus"].status = 404
    with served(archives["phc_u373"]) as first, served(archives["hippocampus"]) as second:
        shop({"phc_u373": first, "hippocampus": second})
        outcome = bench("data", "prepare", "--all-free")
        assert outcome.code == 1
        failed, last = outcome.err.splitlines()
        assert failed.startswith("failed: hippocampus: ")
        assert "404" in failed
        assert last.startswith("1 of 2 data sets not prepared: hippocampus. Run the same")
        assert "phc_u373: 42 MB, licence: Cell Tracking Challenge terms" in outcome.out
        assert "phc_u373 is ready: 11 subjects in datasets/phc_u373" in outcome.out
        assert "by hand, as `data prepare NAME` explains: brain, em_vnc, histology, " in outcome.out
        archives["hippocampus"].status = 200
        outcome = bench("data", "prepare", "--all-free")
        assert (outcome.code, outcome.err) == (0, "")
        assert "phc_u373 was already prepared" in outcome.out
        assert "hippocampus is ready: 10 subjects in datasets/hippocampus" in outcome.out
    assert len(archives["phc_u373"].requests) == 1


def test_all_free_takes_nothing_else(bench: Command) -> None:
    line = bench("data", "prepare", "phc_u373", "--all-free").line
    assert line == "--all-free: prepares each data set by its YAML. Give no other argument."
    line = bench("data", "prepare").line
    assert line == "Name a data set of `python -m bench data list`, or pass --all-free."


def test_clone_is_named_by_an_option(tmp_path: Path, bench: Command) -> None:
    clone = ("--clone", str(tmp_path), "--root", str(tmp_path / "other"))
    line = bench("data", "prepare", "em_vnc", *clone).line
    assert f"--clone {tmp_path}: has no folder stack1/raw" in line


def test_own_data_are_told_how_to_be_laid_out(bench: Command) -> None:
    line = bench("data", "prepare", "nifti").line
    assert "holds your files. Lay them out as datasets/nifti/README.md says" in line


def test_embedded_data_need_no_preparation(bench: Command) -> None:
    outcome = bench("data", "prepare", "demo")
    assert outcome.code == 0
    assert "nothing to prepare" in outcome.out


def test_training_without_a_cache_gives_the_same_scores(
    cells: Path, tmp_path: Path, run: Command
) -> None:
    scores = []
    for cache in ("null", "none"):
        results = tmp_path / cache
        own = [f"dataset.root={cells}", f"dataset.cache={cache}", "metric=mse"]
        assert run("dataset=phc_u373", *own, *TRAINING, at(results)).code == 0
        summary = read_summary(only_run(results))
        scores.append({**summary["scores"], "seconds": None})
        assert (results / "cache").exists() == (cache == "null")
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("dataset", "folder"),
    [
        ("brain", "brain_slab"),
        ("hippocampus", "hippocampus"),
        ("tiff_stack", "em_isbi2012"),
        ("phc_u373", "phc_trpl"),
    ],
)
def test_real_sets_pass(
    dataset: str, folder: str, real_set: Callable[[str], Path], tmp_path: Path, bench: Command
) -> None:
    arguments = ("--root", str(real_set(folder)), "--results", str(tmp_path))
    outcome = bench("data", "check", dataset, *arguments)
    assert outcome.code == 0, outcome.err
    assert f"dataset {dataset} can be used" in outcome.out
