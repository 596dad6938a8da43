"""The user's own volumes: what a table of subjects or of pairs may say."""

from dataclasses import replace

import numpy as np
import pytest
from image_files import write_nifti

from bench.data import NiftiTable, prepare
from bench.data.check import check
from bench.errors import ConfigError, DataError

SHAPE = (5, 4, 3)
SPLITS = ("train", "val", "test")
CROSS = dict.fromkeys(SPLITS, "cross")
SUBJECTS = {
    "a": "train", "b": "train", "c": "train", "d": "val", "e": "val", "f": "test", "g": "test",
}  # fmt: skip
PAIRS = """\
moving,fixed,split
a.nii,b.nii,train
c.nii,b.nii,train
d.nii,e.nii,val
f.nii,g.nii,test
"""


@pytest.fixture
def root(tmp_path):
    """Volumes whose least intensity is their number, with a label each."""
    folder = tmp_path / "own"
    for i, name in enumerate("abcdefgh"):
        image = np.full(SHAPE, 100, np.uint8)
        image[0] = i
        write_nifti(folder / f"{name}.nii", image)
        write_nifti(folder / f"{name}_labels.nii.gz", (image == i).astype(np.uint8))
    return folder


def table(rows=SUBJECTS, columns=("image", "labels", "split"), comma=","):
    """The text of a table of subjects."""
    cells = {"image": "{}.nii", "labels": "{}_labels.nii.gz", "id": "{}"}
    lines = [comma.join(columns)]
    for name, split in rows.items():
        lines.append(comma.join(cells.get(c, split).format(name) for c in columns))
    return "\n".join(lines) + "\n"


def source(root, text, pairs=CROSS, name="subjects.csv", encoding="utf-8", **further):
    (root / name).write_bytes(text.encode(encoding))
    settings = {"intensity": {"policy": "keep"}, "classes": 3, "table_file": name, **further}
    return NiftiTable(name="own", ndim=3, root=root, pairs=pairs, **settings)


def named_pairs(dataset):
    return {
        split: [(dataset.ids[moving], dataset.ids[fixed]) for moving, fixed in dataset.pairs(split)]
        for split in SPLITS
    }


def refused(words, root, tmp_path, text):
    with pytest.raises(DataError, match=words) as raised:
        prepare(source(root, text), tmp_path / "cache")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("policy", "train"),
    [
        ("cross", {("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b")}),
        ("mirrored", {("a", "c"), ("c", "a")}),
        ("next", {("a", "b"), ("b", "c")}),
        ("neighbours", {("a", "b"), ("b", "c"), ("b", "a"), ("c", "b")}),
        ("atlas", {("a", "h"), ("b", "h"), ("c", "h")}),
    ],
)
def test_subjects_are_paired_as_the_policy_says(root, tmp_path, policy, train):
    rows = {**SUBJECTS, "h": "atlas"} if policy == "atlas" else SUBJECTS
    dataset = prepare(source(root, table(rows), dict.fromkeys(SPLITS, policy)), tmp_path / "cache")
    pairs = named_pairs(dataset)
    assert set(pairs["train"]) == train
    assert {name for pair in pairs["val"] for name in pair} <= {"d", "e", "h"}
    assert {name for pair in pairs["test"] for name in pair} <= {"f", "g", "h"}
    for i, name in enumerate(dataset.ids):
        assert dataset.images[i].min() == "abcdefgh".index(name)
        assert dataset.labels[i].sum() == SHAPE[1] * SHAPE[2]


def test_images_may_lie_in_folders_and_anywhere(root, tmp_path):
    write_nifti(root / "sub" / "x.nii.gz", np.arange(60, dtype=np.uint8).reshape(SHAPE))
    rows = f"image,split\nsub/x.nii.gz,train\n{root / 'a.nii'},val\nb.nii,test\n"
    subjects = source(root, rows).subjects()
    assert [subject.id for subject in subjects] == ["x", "a", "b"]
    assert [subject.image for subject in subjects] == [
        root / "sub" / "x.nii.gz", root / "a.nii", root / "b.nii",
    ]  # fmt: skip


def test_column_id_tells_equal_file_names_apart(root, tmp_path):
    for name in SUBJECTS:
        write_nifti(root / name / "t1.nii", np.arange(60, dtype=np.uint8).reshape(SHAPE))
    lines = [f"{name}/t1.nii,{split}" for name, split in SUBJECTS.items()]
    text = "image,split\n" + "\n".join(lines)
    words = r"subject t1 is listed more than once. Remove a row, or distinguish equal file"
    refused(words, root, tmp_path, text)
    text = "id,image,split\n" + "\n".join(f"{line[0]},{line}" for line in lines)
    assert prepare(source(root, text), tmp_path / "cache").ids == [*SUBJECTS]


def test_of_given_pairs_at_most_so_many_are_taken(root, tmp_path):
    pairs = {split: {"policy": "cross", "most": 1} for split in CROSS}
    dataset = prepare(source(root, PAIRS, pairs), tmp_path / "cache")
    assert {split: len(found) for split, found in named_pairs(dataset).items()} == dict.fromkeys(
        CROSS, 1
    )


def test_given_pairs_are_taken_whatever_the_policy_says(root, tmp_path):
    dataset = prepare(source(root, PAIRS), tmp_path / "cache")
    assert named_pairs(dataset) == {
        "train": [("a.nii", "b.nii"), ("c.nii", "b.nii")],
        "val": [("d.nii", "e.nii")],
        "test": [("f.nii", "g.nii")],
    }
    assert not dataset.has_labels


@pytest.fixture
def folders(root, tmp_path):
    """Two pairs in folders, with labels and landmarks."""
    for role, names in (("moving", "ab"), ("fixed", "cd")):
        for kind, ending in (("", ".nii"), ("_labels", "_labels.nii.gz"), ("_landmarks", "")):
            folder = tmp_path / "pairs" / f"{role}{kind}"
            folder.mkdir(parents=True)
            for case, name in zip(("one", "two"), names, strict=True):
                if ending:
                    target = folder / f"{case}{'.nii' if not kind else '.nii.gz'}"
                    target.write_bytes((root / f"{name}{ending}").read_bytes())
                else:
                    (folder / f"{case}.csv").write_text("1,2,1\n")
    return tmp_path / "pairs"


def in_folders(folders):
    return NiftiTable(name="own", ndim=3, root=folders, pairs=CROSS, classes=8)


def test_files_of_one_name_in_two_folders_are_pairs(folders, tmp_path):
    dataset = prepare(in_folders(folders), tmp_path / "cache")
    pairs = [(dataset.ids[moving], dataset.ids[fixed]) for moving, fixed in dataset.pairs("test")]
    assert pairs == [("moving/one.nii", "fixed/one.nii"), ("moving/two.nii", "fixed/two.nii")]
    assert dataset.has_labels
    assert dataset.landmarks.shape == (4, 1, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda root: (root / "fixed" / "two.nii").rename(root / "fixed" / "2.nii"),
            r"fixed/2.nii: has no counterpart 2 in .*moving. Paired files have",
        ),
        (
            lambda root: (root / "moving_labels" / "one.nii.gz").unlink(),
            r"moving/one.nii: has no counterpart one in .*moving_labels. Paired files have",
        ),
        (
            lambda root: (root / "fixed" / "one.png").write_bytes(b""),
            r"one.png: has the same name one as one.nii. Keep one of them in .*fixed",
        ),
        (
            lambda root: [path.unlink() for path in (root / "fixed_landmarks").iterdir()],
            r"fixed_landmarks: is empty. Add a file for each pair",
        ),
    ],
)
def test_files_without_a_counterpart_are_refused(folders, change, words):
    change(folders)
    with pytest.raises(DataError, match=words) as raised:
        in_folders(folders).subjects()
    assert "\n" not in str(raised.value)


def test_given_pairs_with_labels(root, tmp_path):
    lines = ["fixed_labels,moving,fixed,split,moving_labels"]
    for line in PAIRS.splitlines()[1:]:
        moving, fixed, split = line.split(",")
        lines.append(f"{fixed[0]}_labels.nii.gz,{moving},{fixed},{split},{moving[0]}_labels.nii.gz")
    dataset = prepare(source(root, "\n".join(lines)), tmp_path / "cache")
    assert dataset.class_names == ["background", "label 1"]
    assert len(dataset.ids) == 7


def test_pairs_of_a_split_can_be_in_any_order(root, tmp_path):
    lines = PAIRS.splitlines()
    text = "\n".join([lines[0], lines[4], lines[1], lines[3], lines[2]])
    dataset = prepare(source(root, text), tmp_path / "cache")
    assert named_pairs(dataset)["train"] == [("a.nii", "b.nii"), ("c.nii", "b.nii")]


def test_image_that_never_moves_may_be_fixed_in_several_splits(root, tmp_path):
    text = "moving,fixed,split\n" + "".join(
        f"{name}.nii,h.nii,{split}\n" for name, split in SUBJECTS.items()
    )
    dataset = prepare(source(root, text), tmp_path / "cache")
    assert dataset.ids.count("h.nii") == 1
    pairs = named_pairs(dataset)
    assert [len(pairs[split]) for split in SPLITS] == [3, 2, 2]
    assert {fixed for split in SPLITS for _, fixed in pairs[split]} == {"h.nii"}


@pytest.mark.parametrize("row", ["a.nii,g.nii,test", "h.nii,a.nii,test", "h.nii,c.nii,val"])
def test_image_that_moves_in_one_split_is_refused_in_another(root, tmp_path, row):
    image = next(name for name in ("a.nii", "c.nii") if name in row)
    split = row.rpartition(",")[2]
    words = rf"{image} is in train and in {split}. Keep every image in one split"
    refused(words, root, tmp_path, PAIRS + row + "\n")


def test_fixed_image_that_moves_later_in_another_split_is_refused(root, tmp_path):
    words = "b.nii is in train and in test. Keep every image in one split"
    refused(words, root, tmp_path, PAIRS + "b.nii,g.nii,test\n")


def test_one_image_under_two_names_is_refused(root, tmp_path):
    words = r"a.nii \(train\) and ./a.nii \(test\) are the same image, .*a.nii. List it"
    refused(words, root, tmp_path, PAIRS + "./a.nii,g.nii,test\n")


def test_image_with_two_label_maps_is_refused(root, tmp_path):
    text = (
        "moving,moving_labels,fixed,fixed_labels,split\n"
        "a.nii,a_labels.nii.gz,b.nii,b_labels.nii.gz,train\n"
        "c.nii,c_labels.nii.gz,b.nii,a_labels.nii.gz,train\n"
    )
    words = "line 3 gives b.nii the labels a_labels.nii.gz, but an earlier line gives b_lab"
    refused(words, root, tmp_path, text)


def test_pair_of_an_image_with_itself_is_refused(root, tmp_path):
    refused("a.nii", root, tmp_path, PAIRS + "a.nii,a.nii,train\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,split\na.nii,train\n", "lacks the column image; it has file, split"),
        ("moving,split\na.nii,train\n", "lacks the column .*; it has moving, split. Sep"),
        (table(comma=";"), "subjects.csv: has the heading 'image;labels;split', separated by semi"),
        ("", "lacks the column image; it has none"),
        ("image,split\n", "subjects.csv: has no rows below its header. Add at least one"),
        ("image,split\n\n\n", "has no rows below its header."),
        (table() + ",a_labels.nii.gz,train\n", "line 9 has no image. Fill it in"),
        (PAIRS + "h.nii,,train\n", "line 6 has no fixed image. Fill it in"),
        (PAIRS + ",h.nii,train\n", "line 6 has no moving image. Fill it in"),
        (table() + "h.nii,,\n", "subject h has split ''; known: train, val, test, atlas"),
        (table() + "h.nii\n", "subject h has split ''"),
        (table({**SUBJECTS, "b": "atlas", "h": "atlas"}), "line 9 is a second atlas. Keep one row"),
        (table({**SUBJECTS, "h": "tset"}), "subject h has split 'tset'; known: train, val, tes"),
        (PAIRS + "h.nii,b.nii,atlas\n", r"subject h.nii has split 'atlas'; known: train"),
        (table() + "a.nii,a_labels.nii.gz,train\n", "subject a is listed more than once. Remove a"),
        (table() + "a.nii,a_labels.nii.gz,test\n", "subject a is listed more than once. Remove a"),
        (table() + "h,1.nii,,train\n", "line 9 has 4 cells under 3 headings. Quote a cell"),
        (table() + '"h.nii,,train\nz.nii,,train\n', r"line 10 is not CSV \(unexpected end"),
        ("image,image\na.nii,b.nii\n", "has several columns image. Rename or delete all but one"),
        (table() + "z.nii,,train\n", "z.nii of subject z is missing. Copy it there, or remove"),
    ],
)  # fmt: skip
def test_table_that_does_not_fit_is_refused(root, tmp_path, text, words):
    refused(words, root, tmp_path, text)


def test_line_is_counted_as_an_editor_does(root, tmp_path):
    text = table().replace("\nd.nii", "\n\n\nd.nii") + ",x,train\n"
    assert text.splitlines()[10].startswith(",x")
    refused("line 11 has no image", root, tmp_path, text)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace(",", " , "),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", ",,\n"),
        lambda text: text.replace("a.nii,", '"a.nii",'),
        lambda text: text.replace("\n", "\n\n"),
    ],
    ids=["mark", "crlf", "both", "spaces", "no end", "empty columns", "quotes", "empty lines"],
)
def test_table_saved_by_a_spreadsheet_is_read(root, change):
    plain = source(root, table()).subjects()
    assert source(root, change(table())).subjects() == plain
    assert [subject.id for subject in plain] == [*SUBJECTS]


def test_columns_without_a_name_do_not_shift_the_others(root):
    plain = source(root, table()).subjects()
    text = "".join(f",,{line}\n" for line in table().splitlines())
    assert source(root, text).subjects() == plain


def test_table_that_is_no_text_is_refused(root):
    with pytest.raises(DataError, match=r"is not UTF-8 text. Save it as CSV in UTF-8"):
        source(root, table(), encoding="utf-16").subjects()


def test_missing_table_says_what_to_write(root):
    own = source(root, table())
    (root / "subjects.csv").unlink()
    words = (
        r"dataset own: .*subjects.csv does not exist. Write a CSV there with the columns image, "
        r"labels and split, name your table with dataset.table_file, or put pairs into folders"
    )
    with pytest.raises(DataError, match=words):
        own.subjects()
    named = source(root, table(), name="other.csv")
    assert len(named.subjects()) == 7
    with pytest.raises(ConfigError, match=r"dataset.table_file=null: must be the path of a CSV"):
        replace(own, table_file=None).subjects()


def test_labels_are_given_for_all_or_none(root, tmp_path):
    no_column = table(columns=("image", "split"))
    no_cell = table().replace("_labels.nii.gz", "")
    for name in SUBJECTS:
        no_cell = no_cell.replace(f",{name},", ",,")
    for text in (no_column, no_cell):
        assert not prepare(source(root, text), tmp_path / "cache").has_labels
    words = "subject c has no labels, unlike the first subject. Give labels to all"
    refused(words, root, tmp_path, table().replace(",c_labels.nii.gz,", ",,"))


def test_single_subject_makes_no_pair(root, tmp_path):
    rows = {name: split for name, split in SUBJECTS.items() if name != "e"}
    dataset = prepare(source(root, table(rows)), tmp_path / "cache")
    assert len(dataset.pairs("train")) == 6
    words = "split 'val' has 1 subject; pairing 'cross' needs at least 2. Add"
    with pytest.raises(DataError, match=words):
        dataset.pairs("val")


def test_atlas_is_asked_for_by_its_split(root, tmp_path):
    dataset = prepare(source(root, table(), dict.fromkeys(SPLITS, "atlas")), tmp_path / "cache")
    with pytest.raises(
        DataError, match="pairing 'atlas' needs a subject with split 'atlas'; the dat"
    ):
        dataset.pairs("train")


def test_pairs_belong_to_the_settings(root):
    settings = [source(root, text).settings() for text in (table(), PAIRS, PAIRS[:-1])]
    assert settings[1] == settings[2]
    assert settings[0] != settings[1]
    assert source(root, PAIRS.replace("c.nii,b", "b.nii,c")).settings() != settings[1]


@pytest.mark.parametrize(
    "text", [table(columns=("image", "labels")), "moving,fixed\na.nii,b.nii\nc.nii,b.nii\n"]
)
def test_without_a_column_of_splits_all_is_tested_on(root, tmp_path, text):
    dataset = prepare(source(root, text), tmp_path / "cache")
    assert dataset.pairs("test")
    with pytest.raises(DataError, match="split 'train' has no subjects, but this run needs some"):
        dataset.pairs("train")


def test_columns_may_be_called_otherwise(root, tmp_path):
    text = "source,target,mask,part\na.nii,b.nii,a_labels.nii.gz,train\n"
    names = {"moving": "source", "fixed": "target", "split": "part", "moving_labels": "mask"}
    chosen = source(root, text + "f.nii,g.nii,f_labels.nii.gz,test\n", columns=names)
    subjects = {subject.id: subject for subject in chosen.subjects()}
    assert chosen.given_pairs() == {"train": [("a.nii", "b.nii")], "test": [("f.nii", "g.nii")]}
    assert subjects["a.nii"].labels == root / "a_labels.nii.gz"
    assert subjects["b.nii"].labels is None
    plain = source(root, PAIRS).settings()
    assert "columns" not in plain
    wrong = source(root, text, columns={**names, "fixed_labels": "other"})
    words = "lacks the column other of dataset.columns.fixed_labels; it has source, target, mask"
    with pytest.raises(DataError, match=words):
        wrong.subjects()


@pytest.fixture
def masked(root):
    """The volumes of `root`, with masks of a box."""
    box = np.zeros(SHAPE, np.uint8)
    box[1:4, 1:3] = 255
    write_nifti(root / "box.nii", box)
    write_nifti(root / "empty.nii", 0 * box)
    return root


def test_outside_of_a_mask_lie_the_least_intensity_and_label_0(masked, tmp_path):
    draw = np.random.default_rng(0)
    volume = draw.integers(10, 200, SHAPE, np.uint8)
    write_nifti(masked / "a.nii", volume)
    write_nifti(masked / "a_labels.nii.gz", np.full(SHAPE, 2, np.uint8))
    text = "image,labels,brain,split\na.nii,a_labels.nii.gz,box.nii,train\n"
    others = "".join(
        f"{n}.nii,{n}_labels.nii.gz,box.nii,{s}\n" for n, s in (("b", "val"), ("c", "test"))
    )
    dataset = prepare(source(masked, text + others, mask="brain"), tmp_path / "cache")
    inside = np.zeros(SHAPE, bool)
    inside[1:4, 1:3] = True
    image = dataset.images[0, 0] * (dataset.step or 1)
    assert np.array_equal(image[inside], volume[inside])
    assert np.unique(image[~inside]).tolist() == [volume.min()]
    names = np.array(dataset.class_names)[dataset.labels[0, 0]]
    assert set(names[inside]) == {"label 2"}
    assert set(names[~inside]) == {"background"}
    plain = source(masked, text + others)
    assert "mask" not in plain.settings()
    assert prepare(plain, tmp_path / "cache").fingerprint != dataset.fingerprint


def test_check_says_what_the_masks_take_in(masked):
    draw = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 1:3, 0] = 2
    labels[0, 0, :3] = 1
    whole = np.ones(SHAPE, np.uint8)
    write_nifti(masked / "whole.nii", whole)
    for name in "abc":
        write_nifti(masked / f"{name}.nii", draw.integers(10, 200, SHAPE, np.uint8))
        write_nifti(masked / f"{name}_labels.nii.gz", labels)
    text = "image,labels,brain,split\na.nii,a_labels.nii.gz,box.nii,test\n"
    text += "b.nii,b_labels.nii.gz,box.nii,test\nc.nii,c_labels.nii.gz,whole.nii,test\n"
    inside = 6 * SHAPE[2] / whole.size
    share = (inside + inside + 1) / 3
    report = check(source(masked, text, mask="brain"))
    assert not report.faults
    line = (
        f"3 of 3 subjects have a mask; on average {share:.1%} of the voxels lie inside; 6 "
        "voxels outside have labels; those become 0"
    )
    assert line in report.notes
    assert not any("mask" in note for note in check(source(masked, text)).notes)


def test_masks_of_pairs_are_of_both_or_of_each(masked):
    both = source(masked, "moving,fixed,brain\na.nii,b.nii,box.nii\n", mask="brain")
    assert {subject.mask for subject in both.subjects()} == {masked / "box.nii"}
    text = "moving,fixed,moving_m,fixed_m\na.nii,b.nii,box.nii,empty.nii\n"
    each = {subject.id: subject.mask for subject in source(masked, text, mask="m").subjects()}
    assert each == {"a.nii": masked / "box.nii", "b.nii": masked / "empty.nii"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,m\na.nii,box.nii\nb.nii,empty.nii\n", "empty.nii: is an empty mask, which"),
        ("image,m\na.nii,box.nii\nb.nii,\n", "line 3 gives b.nii no mask in the column m. Fill it"),
        ("image,brain\na.nii,box.nii\n", "has no column m; its columns are image, brain. Corr"),
        (
            "moving,fixed,moving_m\na.nii,b.nii,box.nii\n",
            "no column m, nor moving_m and fixed_m; its columns are moving, fixed, moving_m. Corr",
        ),
        (
            "moving,fixed,m\na.nii,b.nii,box.nii\na.nii,c.nii,empty.nii\n",
            "line 3 gives a.nii the mask empty.nii, but an earlier line gives box.nii",
        ),
    ],
)
def test_masks_that_are_empty_or_missing_are_refused(masked, tmp_path, text, words):
    with pytest.raises(DataError, match=words) as raised:
        prepare(source(masked, text, mask="m"), tmp_path / "cache")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("column", ["label", "Labels", "segmentation", "seg", "label map", "LABEL"])
def test_column_that_is_called_almost_so_is_refused(root, column):
    text = table().replace("labels,", f"{column},", 1)
    words = f"has a column {column}, which the suite does not read; it reads labels. Rename"
    with pytest.raises(DataError, match=words):
        source(root, text).subjects()
    assert len(source(root, text, columns={"labels": column}).subjects()) == len(SUBJECTS)


@pytest.mark.parametrize("column", ["moving_label", "fixed_seg", "Split"])
def test_so_is_one_of_a_table_of_pairs(root, column):
    text = PAIRS.replace("split", f"x,{column}", 1)
    with pytest.raises(DataError, match=f"has a column {column}, which the suite does not read"):
        source(root, text).subjects()


def test_other_columns_are_the_users(root):
    text = table().replace("split", "split,age,site,note", 1)
    assert len(source(root, text).subjects()) == len(SUBJECTS)
