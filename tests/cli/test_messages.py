"""One line that says what was given, what is allowed and what to do."""

import errno
import json
import re
from pathlib import Path

import numpy as np
import pytest
from conf_options import experiment
from image_files import write_nifti, write_tiff

from bench.cli.data_commands import _experiment
from bench.cli.messages import explain
from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.data.check import check
from bench.data.setup import Setup, make_source
from bench.errors import ConfigError, counted
from bench.runs.lookup import why_unwritable


@pytest.fixture
def mine(tmp_path):
    """Three volumes in a table."""
    random = np.random.default_rng(0)
    for name in "abc":
        write_nifti(tmp_path / "mine" / f"{name}.nii", random.uniform(size=(6, 7, 8)))
    (tmp_path / "mine" / "subjects.csv").write_text("image\na.nii\nb.nii\nc.nii\n")
    return tmp_path / "mine"


def first_fault(*overrides):
    return check(make_source(experiment(list(overrides)))).faults[0]


@pytest.mark.parametrize(
    ("override", "place"),
    [
        ("lr=0.001", "trainer.lr=VALUE"),
        ("steps=10", "trainer.steps=VALUE"),
        ("device=cpu", "trainer.accelerator=VALUE"),
        ("batch_size=2", "trainer.batch_size=VALUE"),
        ("validate_every=2", "trainer.validate_every=VALUE"),
        ("lambda=2", "regularizer.weight=VALUE"),
        ("channels=[4]", "model.channels=VALUE"),
        ("shape=[4]", "dataset.shape=VALUE"),
    ],
)
def test_setting_without_its_section_is_told_where_it_is(override, place):
    with pytest.raises(Exception, match="override") as caught:
        compose([override])
    name = override.partition("=")[0]
    assert explain(caught.value) == f"Unknown {name}. Did you mean {place}?"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["metric=sum", "metric.terms=[mse]"],
            "metric.terms=[mse]: must be a section {KEY: VALUE}, not a list [VALUE, ...].",
        ),
        (
            ["model.channels={a:1}"],
            "model.channels={a:1}: must be a list [VALUE, ...], not a section {KEY: VALUE}.",
        ),
        (["trainer.lr.x=3"], "Unknown trainer.lr.x. trainer.lr has no keys."),
    ],
)
def test_lists_sections_and_values_are_told_apart(overrides, line):
    with pytest.raises(Exception, match="override") as caught:
        compose(overrides)
    assert explain(caught.value) == line


@pytest.mark.parametrize("below", ["", "x", "x/y"])
def test_file_in_the_place_of_a_folder_is_said_to_be_one(below, tmp_path):
    file = tmp_path / "file"
    file.touch()
    place = file / below
    unwritable = why_unwritable(place)
    assert unwritable is not None
    assert re.fullmatch(
        rf"Cannot write {file}(/x)*(/y)?: {file} is a file where a folder belongs\. Choose another "
        r"folder with results_dir=DIR\.",
        explain(unwritable),
    )


def test_folder_that_cannot_be_made_names_another():
    place = Path("/proc/nowhere")
    line = explain(why_unwritable(place))
    assert line.startswith(f"Cannot write {place}: No such file or directory. Free space, permit")
    assert "choose another folder with results_dir=DIR" in line
    assert explain(FileNotFoundError(errno.ENOENT, "No such file", "x")).startswith("FileNotFound")


@pytest.mark.parametrize("group", ["metric", "model"])
def test_option_of_a_user_of_a_wheel_lies_in_a_folder_of_hydras_search_path(group, monkeypatch):
    def said():
        with pytest.raises(Exception, match="nope") as caught:
            compose([f"{group}=nope"])
        return explain(caught.value).partition("Known: ")[2].partition(". ")[2]

    rest = " or pass metric._target_=CLASS." if group == "metric" else "."
    assert said() == f"Add conf/{group}/nope.yaml{rest}"
    monkeypatch.setattr("bench.cli.messages.IN_WHEEL", True)
    assert said() == (
        f"Write /my/conf/{group}/nope.yaml and pass hydra.searchpath=[file:///my/conf]{rest}"
    )


@pytest.mark.parametrize("setting", ["conditioned=lambda", "lambda_range=[1,2]"])
def test_only_networks_are_conditioned(setting):
    with pytest.raises(Exception, match="override") as caught:
        compose([f"model.{setting}", "model=direct"])
    said = explain(caught.value)
    assert said.endswith(": this model cannot take λ. Choose model=pyramid or model=voxelmorph.")
    assert said.startswith(f"model.{setting.partition('=')[0]}: ")


def test_table_in_place_of_its_folder(mine):
    line = first_fault("dataset=nifti", f"dataset.root={mine / 'subjects.csv'}")
    assert line == (
        f"dataset nifti: dataset.root={mine / 'subjects.csv'} is a file. Name its folder, "
        f"dataset.root={mine} dataset.table_file=subjects.csv."
    )


def test_spacing_wider_than_the_image(mine):
    root = f"dataset.root={mine}"
    line = first_fault("dataset=nifti", root, "dataset.spacing=[1000,1000,1000]")
    assert line == (
        f"{mine / 'a.nii'}: is 6 mm wide, less than a voxel of 1000 mm. Lower dataset.spacing."
    )


@pytest.mark.parametrize("name", ["spacing", "shape"])
@pytest.mark.parametrize("value", ["3", "[a,1,1]", "[1,1]", "[0,1,1]", "abc", "[-1,1,1]", "true"])
def test_lengths_that_are_none(name, value):
    with pytest.raises(
        ConfigError, match=rf"dataset.{name}=.*: must have 3 .*numbers (above 0|of at)"
    ):
        make_source(experiment(["dataset=nifti", "dataset.root=x", f"dataset.{name}={value}"]))


@pytest.mark.parametrize("dataset", ["nifti", "brain", "hippocampus"])
def test_folder_of_nnunet_is_recognised(dataset, tmp_path):
    description = {"channel_names": {"0": "T1"}, "labels": {"a": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    line = first_fault(f"dataset={dataset}", f"dataset.root={tmp_path}")
    assert re.search(r"the layout of nnU-Net v2[.:] [uU]se dataset=nnunet\.$", line)


def test_folder_of_several_sets_of_nnunet(tmp_path):
    for name in ("Dataset001_A", "Dataset002_B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "dataset.json").write_text("{}")
    assert first_fault("dataset=nnunet", f"dataset.root={tmp_path}") == (
        f"dataset nnunet: {tmp_path} holds several data sets (Dataset001_A, Dataset002_B). Point "
        f"dataset.root at one of them, such as {tmp_path / 'Dataset001_A'}."
    )


def test_stack_of_three_slices_that_are_stored_as_colours(tmp_path):
    stack = np.arange(3 * 20 * 22, dtype=np.uint8).reshape(3, 20, 22)
    splits = {}
    for split in ("train", "val", "test"):
        write_tiff(tmp_path / f"{split}.tif", stack, photometric="rgb", planarconfig="separate")
        splits[split] = f"{{images:{split}.tif,labels:null}}"
    given = ",".join(f"{split}:{section}" for split, section in splits.items())
    line = first_fault(
        "dataset=tiff_stack", f"dataset.root={tmp_path}", f"dataset.splits={{{given}}}"
    )
    assert line == (
        f"{tmp_path / 'train.tif'}: its planes are the colours of one slice, as tifffile writes "
        "stacks of 3. If they are slices, save it with photometric='minisblack'."
    )


@pytest.mark.parametrize("cache", ["elsewhere", None])
def test_full_disk_of_the_cache_names_its_setting(cache, tmp_path):
    options = ["dataset=demo", f"results_dir={tmp_path}", "tracker=none"]
    options += [f"dataset.cache={tmp_path / cache}"] if cache else []

    def full(source, folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        Setup.of(experiment(options), full)
    line = explain(caught.value)
    assert f"choose another folder with {'dataset.cache' if cache else 'results_dir'}=DIR" in line
    assert cache is None or f"Cannot write {tmp_path / cache}: No space left" in line


@pytest.mark.parametrize("name", ["a b", "a=b", "a'b", "a(b", "é", "a,b", "{a", "${x}"])
def test_folders_of_commands_may_be_called_anything(name, tmp_path):
    found = _experiment("nifti", tmp_path / name, tmp_path / f"results {name}", None)
    assert found["dataset"]["root"] == str(tmp_path / name)
    assert str(found.results) == str(tmp_path / f"results {name}")


def test_folder_after_data_check_without_root():
    with pytest.raises(ConfigError, match=r"/data/mine: is not a setting.*--root /data/mine after"):
        _experiment("nifti", None, "results", ["/data/mine"])


def test_empty_results_folder_is_refused():
    with pytest.raises(ConfigError, match="results_dir=: is empty"):
        Experiment.from_config(compose(["results_dir=''"]))


def test_one_is_singular():
    assert [counted(n, "subject") for n in (0, 1, 2)] == ["0 subjects", "1 subject", "2 subjects"]
