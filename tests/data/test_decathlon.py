"""The layout of the Medical Segmentation Decathlon, and the hippocampus data where it lies."""

import json
import random

import nibabel
import numpy as np
import pytest
from conf_options import experiment

from bench.data import Decathlon, prepare
from bench.data.setup import make_source
from bench.errors import ConfigError, DataError

PAIRS = {"train": "cross", "val": "mirrored", "test": "mirrored"}


@pytest.fixture
def root(tmp_path):
    """Ten subjects of different shapes."""
    folder = tmp_path / "decathlon"
    entries = []
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
    for i in range(10):
        paths = [f"./{kind}/s_{i:03d}.nii.gz" for kind in ("imagesTr", "labelsTr")]
        array = np.arange(4 * (5 + i % 2) * 6).reshape(4, 5 + i % 2, 6)
        for path, content in zip(paths, (array + i, array % 3), strict=True):
            image = nibabel.Nifti1Image(content.astype(np.int16), np.eye(4))
            nibabel.save(image, folder / path)
        entries.append({"image": paths[0], "label": paths[1]})
    (folder / "dataset.json").write_text(json.dumps({"training": entries}))
    return folder


def source(root, **settings):
    settings = {"shape": (4, 5, 6), "intensity": {"policy": "keep"}, **settings}
    return Decathlon(name="msd", ndim=3, classes=3, pairs=PAIRS, root=root, **settings)


def test_splits_are_disjoint_and_cut_as_the_fractions_say(root):
    subjects = source(root).subjects()
    assert len({subject.id for subject in subjects}) == 10
    assert [subject.split for subject in subjects] == ["train"] * 6 + ["val"] * 2 + ["test"] * 2


@pytest.mark.parametrize(
    ("fractions", "counts"), [((0.5, 0.3), (5, 3, 2)), ((0.7, 0.1), (7, 1, 2))]
)
def test_fractions_are_counted_without_rounding_errors(root, fractions, counts):
    splits = [subject.split for subject in source(root, fractions=fractions).subjects()]
    assert tuple(splits.count(split) for split in ("train", "val", "test")) == counts


@pytest.mark.parametrize("seed", [42, 7])
def test_order_is_the_shuffle_of_the_published_code(root, seed):
    expected = [f"s_{i:03d}" for i in range(10)]
    random.Random(seed).shuffle(expected)
    assert [subject.id for subject in source(root, split_seed=seed).subjects()] == expected


def test_images_and_labels_belong_together(root, tmp_path):
    dataset = prepare(source(root), tmp_path / "cache")
    assert dataset.shape == (4, 5, 6)
    assert dataset.class_names == ["background", "label 1", "label 2"]
    for i, name in enumerate(dataset.ids):
        number = int(name[2:])
        whole = dataset.images[i, 0] > 0  # padding and the first voxel of s_000 are 0
        values = dataset.images[i, 0][whole].astype(int) - number
        assert np.array_equal(dataset.labels[i, 0][whole], values % 3)


def test_settings_that_determine_the_arrays_are_listed(root):
    settings = source(root).settings()
    assert settings["split_seed"] == 42
    assert settings != source(root, split_seed=1).settings()
    assert settings != source(root, fractions=(0.5, 0.2)).settings()
    assert str(root) not in json.dumps(settings)


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0, 0.5), (0.6, 0)])
def test_fractions_that_leave_a_split_empty_are_refused(root, fractions):
    words = r"dataset.fractions=\[.*\]: must be the shares of train and val, both above"
    with pytest.raises(ConfigError, match=words):
        source(root, fractions=fractions).subjects()


def test_folder_without_listing_is_refused(root):
    (root / "dataset.json").unlink()
    words = "dataset.json does not exist. Point dataset.root at the folder that holds dataset.json"
    with pytest.raises(DataError, match=words):
        source(root).subjects()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"training": 3}',
        '{"training": [{}]}',
        '{"training": [{"image": 1}]}',
        '{"training": [{"image": "a.nii.gz", "label": 1}]}',
    ],
)
def test_damaged_listing_is_refused(root, text):
    (root / "dataset.json").write_text(text)
    with pytest.raises(DataError, match="must be JSON with a list 'training' of"):
        source(root).subjects()


def test_empty_listing_is_refused(root):
    (root / "dataset.json").write_text('{"training": []}')
    with pytest.raises(DataError, match=r"its list 'training' is empty. Download it again"):
        source(root).subjects()


@pytest.mark.parametrize(
    ("folder", "words"),
    [(None, "no folder is given"), ("nowhere", "nowhere does not exist"), ("empty", "is empty")],
)
def test_missing_folder_says_where_to_get_the_data(tmp_path, folder, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README.md").write_text("how to get it")
    place = folder and tmp_path / folder
    with pytest.raises(DataError, match=rf"{words}.*Pass dataset.root=PATH \(`--root PATH` of "):
        source(place).subjects()


def test_hippocampus_splits_and_classes(real_data):
    root = real_data / "hippocampus"
    hippocampus = make_source(experiment(["dataset=hippocampus", f"dataset.root={root}"]))
    subjects = hippocampus.subjects()
    splits = [subject.split for subject in subjects]
    assert [splits.count(split) for split in ("train", "val", "test")] == [120, 40, 40]
    sample = hippocampus.load(subjects[0])
    assert sample.image.shape == (1, 64, 64, 64)
    assert sample.image.min() == 0
    assert sample.image.max() == 1
    assert set(np.unique(sample.labels)) == {0, 1, 2}


def test_listing_named_as_learn2reg_does_is_read(root):
    plain = source(root).subjects()
    (root / "dataset.json").rename(root / "HippocampusMR_dataset.json")
    assert source(root).subjects() == plain


def test_listing_named_dataset_json_comes_first(root):
    plain = source(root).subjects()
    (root / "OASIS_dataset.json").write_text("{}")
    assert source(root).subjects() == plain


def test_several_listings_are_refused(root):
    (root / "dataset.json").rename(root / "a_dataset.json")
    (root / "b_dataset.json").write_text((root / "a_dataset.json").read_text())
    with pytest.raises(DataError, match=r"dataset.json does not exist. Point dataset.root at the"):
        source(root).subjects()


def test_listing_with_a_byte_order_mark_is_read(root):
    plain = source(root).subjects()
    listing = root / "dataset.json"
    listing.write_text("\ufeff" + listing.read_text(), encoding="utf-8")
    assert source(root).subjects() == plain
