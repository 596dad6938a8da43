"""Stacks of slices: which slices are which split, and the archive of Platelet EM."""

import numpy as np
import pytest
from conf_options import experiment
from image_files import write_tiff

from bench.config.overrides import quoted
from bench.data import TiffStacks, prepare
from bench.data.setup import make_source
from bench.errors import ConfigError, DataError

PAIRS = {"train": {"policy": "neighbours", "within": 1}, "val": "next", "test": "next"}
SHAPE = (8, 10)
ALL = slice(None)


def numbered(count, kind=np.uint8):
    """Slices whose corner holds 10 times their number."""
    pages = np.zeros((count, *SHAPE), kind)
    pages[:, 4:] = 1
    pages[:, 0, 0] = 10 * np.arange(count)
    return pages


def labels_of(count):
    pages = np.zeros((count, *SHAPE), np.uint8)
    pages[:, 4:] = 1
    return pages


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "stacks"
    for name, count in (("a", 9), ("b", 5)):
        write_tiff(folder / "images" / f"{name}.tif", numbered(count))
        write_tiff(folder / "labels" / f"{name}.tif", labels_of(count))
    return folder


def of(name, slices=None, labels=True):
    labels = {"labels": f"labels/{name}.tif"} if labels else {}
    return {"images": f"images/{name}.tif", **labels, "slices": slices}


THREE = {"train": of("a", [0, 5]), "val": of("a", [5, 7]), "test": of("b")}


def source(root, splits=THREE, **settings):
    settings = {"classes": 2, "pairs": PAIRS, "intensity": {"policy": "keep"}, **settings}
    return TiffStacks(name="stacks", ndim=2, root=root, splits=splits, **settings)


def test_each_split_is_a_range_of_slices(root, tmp_path):
    dataset = prepare(source(root), tmp_path / "cache")
    counts = [len(dataset.members(split)) for split in ("train", "val", "test")]
    assert counts == [5, 2, 5]
    assert dataset.shape == SHAPE
    corners = (dataset.images[:, 0, 0, 0] * dataset.step).tolist()
    assert corners == [*range(0, 70, 10), *range(0, 50, 10)]
    assert dataset.labels[3, 0].tolist() == labels_of(1)[0].tolist()
    assert dataset.spacing == (1.0, 1.0)


def test_only_neighbouring_slices_of_a_split_are_paired(root, tmp_path):
    splits = {**THREE, "train": of("a", [0, 3]), "val": of("a", [7, 9])}
    dataset = prepare(source(root, splits), tmp_path / "cache")

    def named(split):
        return [(dataset.ids[a][-7:], dataset.ids[b][-7:]) for a, b in dataset.pairs(split)]

    assert named("val") == [("tif/007", "tif/008")]
    assert set(named("train")) == {
        ("tif/000", "tif/001"), ("tif/001", "tif/000"),
        ("tif/001", "tif/002"), ("tif/002", "tif/001"),
    }  # fmt: skip
    assert len(named("test")) == 4


def test_slice_in_two_splits_is_refused(root, tmp_path):
    splits = {**THREE, "val": of("a", [4, 7])}
    words = r"subject images/a.tif/004 is listed in train and in val. List it once, in one split"
    with pytest.raises(DataError, match=words):
        prepare(source(root, splits), tmp_path / "cache")


def test_first_pattern_that_fits_is_taken(root):
    patterns = ["missing/*.tif", "images/a.tif", "images/b.tif"]
    splits = {**THREE, "test": {"images": patterns, "labels": ["nowhere.tif", "labels/a*.tif"]}}
    subjects = [s for s in source(root, splits).subjects() if s.split == "test"]
    assert {s.image.name for s in subjects} == {s.labels.name for s in subjects} == {"a.tif"}
    assert len(subjects) == 9


def test_pattern_that_fits_several_files_is_refused(root):
    splits = {**THREE, "test": {"images": ["none.tif", "images/*.tif"]}}
    words = r"2 files match images/\*.tif in .*: a.tif, b.tif. Name one in dataset"
    with pytest.raises(DataError, match=words):
        source(root, splits).subjects()


def test_pattern_that_fits_nothing_names_the_first(root):
    splits = {**THREE, "test": {**of("b"), "labels": ["labels/c.tif", "d.tif"]}}
    words = (
        r"stacks/labels/c.tif does not exist. Point dataset.root at the folder that holds it, or "
        r"name the file in dataset.splits.test.labels"
    )
    with pytest.raises(DataError, match=words):
        source(root, splits).subjects()


@pytest.mark.parametrize("name", ["/data/b.tif", "../b.tif", "labels/../images/b.tif"])
def test_file_outside_the_root_is_refused(root, name):
    words = rf"test.images={quoted(name)}: must lie below dataset.root=.*stacks. Point data"
    with pytest.raises(ConfigError, match=words):
        source(root, {**THREE, "test": {"images": ["none.tif", name]}}).subjects()


def test_stack_of_another_number_of_labels_is_refused(root):
    splits = {**THREE, "test": {**of("b"), "labels": "labels/a.tif"}}
    words = r"b.tif has 5 slices, but .*a.tif has 9. Give each slice one label map"
    with pytest.raises(DataError, match=words):
        source(root, splits).subjects()


def test_labels_of_another_shape_are_refused(root, tmp_path):
    write_tiff(root / "labels" / "b.tif", np.zeros((5, 8, 9), np.uint8))
    words = r"labels/b.tif: has \(8, 9\) pixels, but its image b.tif has \(8, 10\). Resample"
    with pytest.raises(DataError, match=words):
        prepare(source(root), tmp_path / "cache")


def test_stacks_of_different_shape_may_be_cropped_to_one(root, tmp_path):
    write_tiff(root / "images" / "b.tif", numbered(5)[:, :6])
    write_tiff(root / "labels" / "b.tif", labels_of(5)[:, :6])
    assert [6, 10] in prepare(source(root), tmp_path / "cache").shapes
    assert prepare(source(root, shape=[8, 8]), tmp_path / "cache").shape == (8, 8)


@pytest.mark.parametrize(
    "slices", [[3, 3], [4, 2], [0, 10], [9, 12], [-2, 3], [3], [0, 3, 6], 5], ids=str
)
def test_empty_or_outside_ranges_of_slices_are_refused(root, slices):
    words = r"dataset.splits.val.slices=.*must be \[first, end\)"
    with pytest.raises(ConfigError, match=words):
        source(root, {**THREE, "val": of("a", slices)}).subjects()


def test_refused_range_is_named_with_the_number_of_slices(root):
    words = r"slices=\[0,10\]: must be \[first, end\) within the 9 slices of .*a.tif"
    with pytest.raises(ConfigError, match=words):
        source(root, {**THREE, "val": of("a", [0, 10])}).subjects()


def test_labels_are_optional_for_all_or_none(root, tmp_path):
    names = {"train": ("a", [0, 5]), "val": ("a", [5, 7]), "test": ("b", None)}
    splits = {split: of(*place, labels=False) for split, place in names.items()}
    assert not prepare(source(root, splits), tmp_path / "cache").has_labels
    with pytest.raises(DataError, match=r"has no labels, unlike the first subject. Give"):
        prepare(source(root, {**THREE, "test": splits["test"]}), tmp_path / "cache")


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({**THREE, "tset": of("a")}, "dataset.splits.tset: no such split. Known: train"),
        (
            {**THREE, "val": {"labels": "a"}},
            "dataset.splits.val.images: is missing. Name a TIFF fi",
        ),
    ],
)
def test_impossible_splits_are_refused(root, splits, words):
    with pytest.raises(ConfigError, match=words):
        source(root, splits).subjects()


def test_split_left_out_is_named(root, tmp_path):
    with pytest.raises(DataError, match=r"split 'val' has no subjects, but this run needs"):
        prepare(source(root, {**THREE, "val": None}), tmp_path / "cache").pairs("val")


def test_rows_of_colours_need_an_id(root):
    with pytest.raises(ConfigError, match=r"dataset.colors: must be rows \[red, green, blue, id\]"):
        prepare(source(root, colors=[[1, 2, 3]]), None)


COUNTS = {"50": 50, "24": 24}


@pytest.fixture
def archive(tmp_path):
    """Platelet EM as its archive is laid out, of tiny slices; ids of the classes by stack."""
    folder = tmp_path / "platelet"
    ids = {}
    for name, count in COUNTS.items():
        random = np.random.default_rng(count)
        write_tiff(
            folder / "images" / f"{name}-images.tif",
            random.integers(0, 256, (count, 9, 11)).astype(np.uint8),
        )
        ids[name] = random.integers(0, 7, (count, 9, 11))
    return folder, ids


def platelet(folder):
    return experiment(["dataset=platelet_em", f"dataset.root={folder}"])


@pytest.mark.parametrize("kind", ["colours", "classes", "both"])
def test_platelet_archive_has_three_classes(archive, tmp_path, kind):
    folder, ids = archive
    colors = {row[3]: row[:3] for row in platelet(folder)["dataset"]["colors"]}
    assert sorted(colors) == list(range(7))
    palette = np.array([colors[i] for i in range(7)], np.uint8)
    for name, own in ids.items():
        if kind != "classes":
            shown = palette[own if kind == "colours" else np.zeros_like(own)]
            path = folder / "labels-semantic" / f"{name}-semantic.tif"
            write_tiff(path, shown, photometric="rgb")
        if kind != "colours":  # is taken first
            write_tiff(folder / "labels-class" / f"{name}-class.tif", own.astype(np.uint8))
    dataset = prepare(make_source(platelet(folder)), tmp_path / "cache")
    assert dataset.class_names == ["background", "cytoplasm", "organelle"]
    merged = np.array([0, 1, 2, 2, 2, 2, 2])
    places = {"train": ("50", ALL), "val": ("24", slice(12)), "test": ("24", slice(12, 24))}
    for split, (name, slices) in places.items():
        assert np.array_equal(dataset.labels[dataset.members(split), 0], merged[ids[name][slices]])
    assert [len(dataset.pairs(split)) for split in places] == [2 * (49 + 48), 11, 11]
    assert dataset.step == 1 / 256


def test_platelet_colour_that_is_not_declared_is_named(archive, tmp_path):
    folder, ids = archive
    for name, own in ids.items():
        shown = np.zeros((*own.shape, 3), np.uint8)
        shown[3, 4, 5] = 1, 1, 225
        path = folder / "labels-semantic" / f"{name}-semantic.tif"
        write_tiff(path, shown, photometric="rgb")
    words = r"50-semantic.tif: colour \(1, 1, 225\) is not in dataset.colors"
    with pytest.raises(DataError, match=words):
        prepare(make_source(platelet(folder)), tmp_path / "cache")


def test_colours_belong_to_the_settings(archive):
    settings = make_source(platelet(archive[0])).settings()
    assert settings["colors"][1] == [1, 1, 224, 1]


def test_real_electron_microscopy(real_set, tmp_path):
    root = real_set("em_isbi2012")
    stacks = make_source(experiment(["dataset=tiff_stack", f"dataset.root={root}"]))
    dataset = prepare(stacks, tmp_path)
    assert dataset.shape == (512, 512)
    assert [len(dataset.pairs(split)) for split in ("train", "val", "test")] == [34, 5, 5]
    assert dataset.class_names == ["background", "label 1"]
    for split, share in (("train", 0.769), ("val", 0.791), ("test", 0.804)):
        assert dataset.labels[dataset.members(split)].mean() == pytest.approx(share, abs=0.001)
