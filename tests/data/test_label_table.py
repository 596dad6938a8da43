"""Label tables: which classes the ids of the files become."""

import nibabel
import numpy as np
import pytest

from bench.data.files.volumes import read_volume
from bench.data.preprocessing.label_table import BACKGROUND, TABLES, LabelTable
from bench.errors import ConfigError, DataError

# FreeSurfer's ids of left and right structures, and of those in the middle.
FREESURFER_SIDES = [
    (2, 41), (3, 42), (4, 43), (5, 44), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52),
    (17, 53), (18, 54), (26, 58), (28, 60), (30, 62), (31, 63),
]  # fmt: skip
# Those that VoxelMorph's evaluation names.
VOXELMORPH = [
    2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 28, 31,
    41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 60, 63,
]  # fmt: skip
OASIS_SIDES = [
    *zip(range(1, 11), range(20, 30), strict=True),
    *zip(range(14, 20), range(30, 36), strict=True),
]


def apply(labels, ids, classes=None):
    return LabelTable(classes, labels).apply(np.array(ids), "labels.tif").tolist()


def test_ids_are_merged_and_numbered_in_the_order_of_the_table():
    table = {"cell": [7, 3], "nucleus": 1}
    assert LabelTable(None, table).names == {0: "background", 1: "cell", 2: "nucleus"}
    assert apply(table, [[0, 7], [3, 1]]) == [[0, 1], [1, 2]]


def test_ids_of_the_background_are_dropped():
    table = {"cell": 5, "background": [2, 9], "nucleus": 1}
    assert LabelTable(None, table).names == {0: "background", 1: "cell", 2: "nucleus"}
    assert apply(table, [0, 1, 2, 5, 9]) == [0, 2, 0, 1, 0]


def test_rest_takes_every_id_but_the_background_and_those_listed():
    assert apply({"cell": "rest"}, [0, 1, 70000, 3]) == [0, 1, 1, 1]
    assert apply({"first": 1, "cell": "rest"}, [0, 1, 70000, 3]) == [0, 1, 2, 2]


def test_rest_can_be_dropped():
    assert apply({"cell": [4, 5], "background": "rest"}, [0, 4, 5, 6, 2**40]) == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.int16, np.int64, np.uint64])
def test_shape_and_meaning_do_not_depend_on_the_type_of_the_files(kind):
    ids = np.array([[[3, 0, 1]], [[1, 1, 3]]], kind)
    classes = LabelTable(4, None).apply(ids, "labels.tif")
    assert classes.dtype == np.int32
    assert np.array_equal(classes, ids)


def test_number_of_classes_names_them_by_their_ids():
    assert LabelTable(3, None).names == {0: "background", 1: "label 1", 2: "label 2"}
    assert apply(None, [0, 2, 1], 3) == [0, 2, 1]


def test_names_of_classes_keep_their_ids():
    classes = {"0": "nothing", 10: "ten"}
    assert LabelTable(classes, None).names == {0: "nothing", 10: "ten"}
    assert apply(None, [10, 0], classes) == [10, 0]


def test_background_needs_no_name():
    assert LabelTable({10: "ten"}, None).names == {0: "background", 10: "ten"}
    assert apply(None, [10, 0], {10: "ten"}) == [10, 0]


@pytest.mark.parametrize(
    ("name", "sides"), [("freesurfer", FREESURFER_SIDES), ("oasis35", OASIS_SIDES)]
)
def test_left_and_right_of_a_structure_are_one_class(name, sides):
    left, right = zip(*sides, strict=True)
    assert apply(name, left) == apply(name, right)


def test_freesurfer_table_has_the_structures_of_voxelmorphs_evaluation():
    table = LabelTable(None, "freesurfer")
    assert 0 not in apply("freesurfer", VOXELMORPH)
    assert {table.target[i] for i in VOXELMORPH} | {table.target[26]} == set(table.names) - {0}
    assert apply("freesurfer", [0, 5, 44, 77, 85, 251, 255]) == [0] * 7
    assert table.names[table.target[53]] == "hippocampus"


@pytest.mark.parametrize(("name", "count"), [("oasis35", 36), ("oasis4", 5)])
def test_oasis_tables_hold_every_id(name, count):
    table = LabelTable(None, name)
    assert sorted(table.target) == list(range(count))
    assert set(table.target.values()) == set(table.names)
    assert table.unknown([count]) == [count]


def test_oasis_vessels_are_dropped():
    assert apply("oasis35", [0, 18, 34]) == [0, 0, 0]


@pytest.mark.parametrize("name", TABLES)
def test_tables_name_every_class_once(name):
    names = list(LabelTable(None, name).names.values())
    assert names[0] == BACKGROUND
    assert len(set(names)) == len(names)


def test_real_freesurfer_segmentation(real_set):
    path = real_set("brain_whole") / "seg.nii.gz"
    (ids,), _ = read_volume(path)
    table = LabelTable(None, "freesurfer")
    classes = table.apply(ids, str(path))
    assert classes.shape == nibabel.load(path).shape
    assert np.unique(classes).tolist() == sorted(table.names)
    for name, sides in (("hippocampus", (17, 53)), ("cerebral cortex", (3, 42))):
        own = next(i for i, known in table.names.items() if known == name)
        assert np.array_equal(classes == own, np.isin(ids, sides))


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([0, 7], r"labels.tif: labels 7 are outside the declared classes 0, 1, 2\. Declare them"),
        ([9, -1, 7], r"labels -1, 7, 9 are outside the declared classes 0, 1, 2\."),
        (range(40), r"labels 3, 4, .*, 14, … \(37 in all\) are outside"),
        ([2**40 + 1], rf"labels {2**40 + 1} are outside"),
    ],
)
def test_unknown_ids_are_named(ids, words):
    with pytest.raises(DataError, match=words):
        apply({"cell": 1, "nucleus": 2}, list(ids))


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"a": [1, 2], "b": [2, 3]}, r"dataset.labels: id 2 is listed for two classes\."),
        ({"a": [0, 1]}, r"dataset.labels: id 0 is listed for two classes\."),
        ({"a": 1, "background": 1}, r"dataset.labels: id 1 is listed for two classes\."),
        ({"a": "rest", "b": "rest"}, r"dataset.labels: only one class can be 'rest'."),
        ({"a": [1.5]}, r"dataset.labels: 1.5 is not a label id; give whole numbers\."),
        ({"a": True}, "dataset.labels: True is not a label id"),
        ({"a": "1"}, "dataset.labels: '1' is not a label id"),
        ({"a": None}, "dataset.labels: None is not a label id"),
        ({"a": 65536}, r"label id 65536 is outside 0 to 65535\. Renumber it\."),
        ({"a": [1, -2]}, r"label id -2 is outside 0 to 65535\."),
        ("aseg", r"dataset.labels=aseg: no such table\. Known: freesurfer, oasis35, oasis4\. Or"),
        ([1, 2], r"dataset.labels=\[1,2\]: must be a table"),
    ],
)
def test_impossible_table_is_refused(labels, words):
    with pytest.raises(ConfigError, match=words):
        LabelTable(None, labels)


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (None, "dataset.classes or dataset.labels must define the labels."),
        ({0: "background", 65536: "far"}, "label id 65536 is outside 0 to 65535"),
        (70000, "label id 65536 is outside 0 to 65535"),
        ({"cell": 1}, "must be a number of at least 1, or names"),
        (["background", "cell"], "must be a number of at least 1, or names"),
    ],
)
def test_impossible_classes_are_refused(classes, words):
    with pytest.raises(ConfigError, match=words):
        LabelTable(classes, None)


def test_id_listed_twice_for_one_class_does_no_harm():
    assert apply({"cell": [1, 1]}, [0, 1]) == [0, 1]


def test_settings_tell_tables_apart():
    tables = [{"a": 1}, {"b": 1}, {"a": [1, 2]}, {"a": "rest"}, {"a": 1, "background": 2}]
    settings = [LabelTable(None, table).settings() for table in tables]
    assert all(one != other for i, one in enumerate(settings) for other in settings[:i])
