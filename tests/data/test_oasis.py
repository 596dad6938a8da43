"""OASIS-1 in the layouts of neurite and of Learn2Reg."""

import json
import random

import numpy as np
import pytest
from conf_options import experiment
from image_files import write_nifti

from bench.data import prepare
from bench.data.preprocessing.label_table import LabelTable
from bench.data.setup import make_source
from bench.errors import ConfigError, DataError

SHAPE = (6, 6, 6)
NAMES = [f"OASIS_OAS1_{i:04d}_MR1" for i in range(1, 12)]
LISTED = [f"OASIS_{i:04d}_0000" for i in range(1, 12)]


def volume(i):
    image = np.linspace(0, 1, 216, dtype=np.float32).reshape(SHAPE)
    image[0, 0, 0] = i / 100
    return image


def segmentation(count):
    """Every id from 0 to `count`, some of them often."""
    return (np.arange(216) % (count + 1)).reshape(SHAPE).astype(np.uint8)


def write_neurite(root):
    for i, name in enumerate(NAMES):
        write_nifti(root / name / "aligned_norm.nii.gz", volume(i))
        for count in (35, 4):
            write_nifti(root / name / f"aligned_seg{count}.nii.gz", segmentation(count))
    (root / "subjects.txt").write_text("\n".join(NAMES))
    return NAMES


def write_learn2reg(root):
    entries = []
    for i, name in enumerate(LISTED):
        entry = {kind: f"./{kind}sTr/{name}.nii.gz" for kind in ("image", "label")}
        write_nifti(root / entry["image"], volume(i))
        write_nifti(root / entry["label"], segmentation(35))
        entries.append(entry)
    test = [f"./imagesTs/OASIS_{i:04d}_0000.nii.gz" for i in range(395, 400)]
    content = {"name": "OASIS", "training": entries[::-1], "test": test}
    (root / "OASIS_dataset.json").write_text(json.dumps(content))
    return LISTED


LAYOUTS = {"neurite": write_neurite, "learn2reg": write_learn2reg}


@pytest.fixture(params=LAYOUTS)
def laid_out(request, tmp_path):
    """A folder in either layout, and the subjects' names."""
    return tmp_path / "oasis", LAYOUTS[request.param](tmp_path / "oasis")


@pytest.fixture
def neurite(tmp_path):
    write_neurite(tmp_path / "oasis")
    return tmp_path / "oasis"


def source(root, *overrides, dataset="oasis"):
    return make_source(experiment([f"dataset={dataset}", f"dataset.root={root}", *overrides]))


def test_first_subject_is_the_atlas_of_all_others(laid_out, tmp_path):
    root, names = laid_out
    dataset = prepare(source(root), tmp_path / "cache")
    assert [len(dataset.members(split)) for split in ("train", "val", "test")] == [7, 1, 2]
    moving = []
    for split in ("train", "val", "test"):
        for pair in dataset.pairs(split):
            moving.append(dataset.ids[pair[0]])
            assert dataset.ids[pair[1]] == names[0]
    assert sorted(moving) == names[1:]
    for i, name in enumerate(dataset.ids):
        assert dataset.images[i, 0, 0, 0, 0] == pytest.approx(names.index(name) / 100, abs=1e-3)


def test_left_and_right_are_merged(laid_out, tmp_path):
    dataset = prepare(source(laid_out[0]), tmp_path / "cache")
    table = LabelTable(None, "oasis35")
    assert dataset.class_names == list(table.names.values())
    assert len(dataset.class_names) == 19
    expected = table.apply(segmentation(35), "")
    assert all(np.array_equal(one[0], expected) for one in dataset.labels)


def test_four_tissues_of_neurite(neurite, tmp_path):
    four = ["dataset.segmentation=seg4", "dataset.labels=oasis4"]
    dataset = prepare(source(neurite, *four), tmp_path / "cache")
    assert dataset.class_names == [
        "background", "cortex", "subcortical grey matter", "white matter", "CSF",
    ]  # fmt: skip
    assert np.array_equal(dataset.labels[0, 0], segmentation(4))


@pytest.mark.parametrize("seed", [42, 7])
def test_others_are_shuffled_by_the_seed_alone(laid_out, seed):
    root, names = laid_out
    expected = names[1:]
    random.Random(seed).shuffle(expected)
    subjects = source(root, f"dataset.split_seed={seed}").subjects()
    assert [subject.id for subject in subjects] == [names[0], *expected]


def test_any_subject_can_be_the_atlas(laid_out):
    root, names = laid_out
    subjects = source(root, f"dataset.atlas={names[4]}").subjects()
    assert [subject.id for subject in subjects if subject.split == "atlas"] == [names[4]]
    assert sorted(subject.id for subject in subjects) == names


def test_unknown_atlas_is_named_with_one_that_is_there(laid_out):
    root, names = laid_out
    words = rf"dataset.atlas=nobody: .*oasis has no such subject; the first is {names[0]}\."
    with pytest.raises(ConfigError, match=words):
        source(root, "dataset.atlas=nobody").subjects()


def test_atlas_and_segmentation_belong_to_the_settings(neurite):
    settings = [
        source(neurite, *more).settings()
        for more in (
            [],
            [f"dataset.atlas={NAMES[3]}"],
            ["dataset.segmentation=seg4", "dataset.labels=oasis4"],
        )
    ]
    assert all(one != other for i, one in enumerate(settings) for other in settings[:i])


def test_subject_without_segmentation_is_named(neurite, tmp_path):
    (neurite / NAMES[2] / "aligned_seg35.nii.gz").unlink()
    words = rf"aligned_seg35.nii.gz of subject {NAMES[2]} is missing. Copy it there"
    with pytest.raises(DataError, match=words):
        prepare(source(neurite), tmp_path / "cache")


def test_unknown_segmentation_is_refused(neurite):
    with pytest.raises(ConfigError, match=r"dataset.segmentation=seg24: must be seg35 or seg4\."):
        source(neurite, "dataset.segmentation=seg24")


def test_four_tissues_need_their_own_table(neurite):
    words = r"dataset.segmentation=seg4: its ids differ from those of dataset.labels=oasis35. "
    with pytest.raises(ConfigError, match=words):
        source(neurite, "dataset.segmentation=seg4")


def test_segmentation_that_the_table_does_not_fit_is_refused(neurite, tmp_path):
    words = "aligned_seg35.nii.gz: labels 5, 6, .* are outside the declared classes 0, 1, 2, 3, 4"
    with pytest.raises(DataError, match=words):
        prepare(source(neurite, "dataset.labels=oasis4"), tmp_path / "cache")


def test_folder_above_the_subjects_is_refused(neurite):
    words = (
        "holds neither folders with aligned_norm.nii.gz nor OASIS_dataset.json. Point dataset.root "
        "at the folder that does"
    )
    with pytest.raises(DataError, match=words):
        source(neurite.parent).subjects()


def test_listing_of_images_alone_is_refused(tmp_path):
    write_learn2reg(tmp_path)
    path = tmp_path / "OASIS_dataset.json"
    content = json.loads(path.read_text())
    content["training"] = [{"image": entry["image"]} for entry in content["training"]]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="label"):
        source(tmp_path).subjects()


def test_brain_sends_folders_of_oasis_to_their_data_set(laid_out):
    root, names = laid_out
    kind = "neurite-OASIS" if names == NAMES else "Learn2Reg OASIS"
    words = rf"dataset brain: .*oasis has the layout of {kind}\. Use dataset=oasis"
    with pytest.raises(DataError, match=words):
        source(root, dataset="brain").subjects()


def test_brain_does_not_take_another_set_for_oasis(tmp_path):
    write_learn2reg(tmp_path)
    (tmp_path / "OASIS_dataset.json").rename(tmp_path / "dataset.json")
    listing = (tmp_path / "dataset.json").read_text().replace('"OASIS"', '"Hippocampus"')
    (tmp_path / "dataset.json").write_text(listing.replace("OASIS_", "hippocampus_"))
    with pytest.raises(DataError, match=r"metadata.csv does not exist. Point dataset.root at"):
        source(tmp_path, dataset="brain").subjects()
