"""Sequences in the layout of the Cell Tracking Challenge, and PhC-U373's published split."""

import shutil

import numpy as np
import pytest
import torch
from conf_options import experiment
from image_files import write_sequence, write_tiff

from bench.data import prepare
from bench.data.batches.loading import read_pairs
from bench.data.setup import make_source
from bench.errors import ConfigError, DataError
from bench.scores.overlap import dice_per_class, foreground_dice

SPLITS = ("train", "val", "test")
SHAPE = (16, 20)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "phc"
    write_sequence(folder, "01", 6)
    write_sequence(folder, "02", 10)
    return folder


def source(root, *overrides):
    return make_source(experiment(["dataset=phc_u373", f"dataset.root={root}", *overrides]))


def frames(subjects, split):
    return [subject.place for subject in subjects if subject.split == split]


def test_frames_and_masks_are_found_by_their_numbers(root):
    subjects = source(root).subjects()
    assert [subject.id for subject in subjects][:2] == ["01/t000", "01/t001"]
    for subject in subjects:
        sequence, number = subject.series, subject.place
        assert subject.image == root / sequence / f"t{number:03d}.tif"
        assert subject.labels == root / f"{sequence}_ST" / "SEG" / f"man_seg{number:03d}.tif"
    assert {s.series for s in subjects if s.split == "train"} == {"01"}
    assert {s.series for s in subjects if s.split != "train"} == {"02"}


def test_published_split_of_115_frames(tmp_path):
    for sequence in ("01", "02"):
        write_sequence(tmp_path / "phc", sequence, 115)
    dataset = prepare(source(tmp_path / "phc"), tmp_path / "cache")
    numbers = [int(name[-3:]) for name in dataset.ids]

    def named(split):
        pairs = dataset.pairs(split)
        assert {dataset.ids[i][:2] for pair in pairs for i in pair} == {
            "01" if split == "train" else "02"
        }
        return [(numbers[moving], numbers[fixed]) for moving, fixed in pairs]

    assert [numbers[i] for i in dataset.members("val")] == [*range(50)]
    assert [numbers[i] for i in dataset.members("test")] == [*range(60, 115)]
    assert named("val") == [(z, z + 1) for z in range(49)]
    assert named("test") == [(z, z + 1) for z in range(60, 114)]
    expected = {(z, z + k) for z in range(115) for k in (-2, -1, 1, 2) if 0 <= z + k < 115}
    assert set(named("train")) == expected
    for i, number in enumerate(numbers):
        assert dataset.images[i, 0, -1, 0] * dataset.step == pytest.approx(number / 256)


@pytest.mark.parametrize(
    ("count", "val", "test"),
    [(10, (0, 4), (5, 10)), (23, (0, 10), (12, 23)), (230, (0, 100), (120, 230))],
)
def test_sequence_of_another_length_is_cut_in_proportion(root, count, val, test):
    shutil.rmtree(root / "02")
    shutil.rmtree(root / "02_ST")
    write_sequence(root, "02", count)
    subjects = source(root).subjects()
    assert frames(subjects, "train") == [*range(6)]
    assert frames(subjects, "val") == [*range(*val)]
    assert frames(subjects, "test") == [*range(*test)]


def test_sequence_need_not_begin_at_0(root):
    shutil.rmtree(root / "02")
    write_sequence(root, "02", 10, first=3)
    assert frames(source(root).subjects(), "test") == [*range(8, 13)]


def test_border_of_published_frames_is_cut_and_masks_are_one_class(tmp_path):
    for sequence in ("01", "02"):
        write_sequence(tmp_path / "phc", sequence, 4, (520, 696))
    dataset = prepare(source(tmp_path / "phc"), tmp_path / "cache")
    assert dataset.shape == (512, 688)
    assert dataset.class_names == ["background", "cell"]
    expected = np.zeros((512, 688))
    expected[1:5, 1:5] = expected[5:7, 5:7] = 1
    assert all(np.array_equal(one[0], expected) for one in dataset.labels)


def test_frames_as_wide_as_a_byte_are_divided_by_256(root, tmp_path):
    dataset = prepare(source(root), tmp_path / "cache")
    assert dataset.step == 1 / 256
    assert dataset.images.max() * dataset.step == 200 / 256


def test_masks_of_gold_truth_are_found(root):
    for sequence in ("01", "02"):
        (root / f"{sequence}_ST").rename(root / f"{sequence}_GT")
    found = source(root, "dataset.masks=GT").subjects()
    assert found[0].labels == root / "01_GT" / "SEG" / "man_seg000.tif"
    words = r"01_ST/SEG/man_seg000.tif, the mask of frame t000.tif, is missing. .*dataset.masks"
    with pytest.raises(DataError, match=words):
        source(root).subjects()


def test_missing_frames_are_named(root):
    for number in (4, 5, 8):
        (root / "02" / f"t{number:03d}.tif").unlink()
    words = r"02 lacks frame 4, 5, 8 of its sequence 0 to 9. Copy or download it again"
    with pytest.raises(DataError, match=words):
        source(root).subjects()


def test_many_missing_frames_are_not_all_listed(root):
    for number in range(1, 9):
        (root / "02" / f"t{number:03d}.tif").unlink()
    with pytest.raises(DataError, match="lacks frame 1, 2, 3, 4, 5 and more of its sequence 0 to"):
        source(root).subjects()


def test_missing_mask_is_named(root):
    (root / "01_ST" / "SEG" / "man_seg003.tif").unlink()
    words = "01_ST/SEG/man_seg003.tif, the mask of frame t003.tif, is missing. Copy or"
    with pytest.raises(DataError, match=words):
        source(root).subjects()


def test_missing_sequence_is_named(root):
    shutil.rmtree(root / "02")
    words = (
        r"dataset phc_u373: .*phc/02 holds no frames tNNN.tif. Point dataset.root at the folder "
        "that holds 02 and 02_ST"
    )
    with pytest.raises(DataError, match=words):
        source(root).subjects()


def test_folder_above_the_sequences_is_refused(root):
    with pytest.raises(DataError, match=r"holds no frames tNNN.tif. Point dataset.root at the"):
        source(root.parent).subjects()


@pytest.mark.parametrize("path", ["02/t007.tif", "02_ST/SEG/man_seg007.tif"])
def test_frame_of_several_pages_is_refused(root, tmp_path, path):
    write_tiff(root / path, np.stack([np.eye(*SHAPE, dtype=np.uint8)] * 3))
    words = rf"{path}: has 3 pages, but the data set needs one image per file. Save"
    with pytest.raises(DataError, match=words):
        prepare(source(root), tmp_path / "cache")


def test_mask_of_another_shape_is_refused(root, tmp_path):
    write_tiff(root / "02_ST/SEG/man_seg001.tif", np.zeros((16, 19), np.uint16))
    words = r"man_seg001.tif: has \(16, 19\) pixels, but its image t001.tif has \(16, 20\)"
    with pytest.raises(DataError, match=words):
        prepare(source(root), tmp_path / "cache")


def test_other_files_in_the_folders_are_left_alone(root):
    (root / "01" / "notes.txt").write_text("x")
    write_tiff(root / "01" / "thumbnail.tif", np.eye(5, dtype=np.uint8))
    assert frames(source(root).subjects(), "train") == [*range(6)]


@pytest.mark.parametrize("limits", ["[5,5]", "[0,116]", "[60,50]", "[-1,5]"])
def test_impossible_frames_are_refused(root, limits):
    words = r"dataset.splits.val.frames=.*: must be \[first, end\) within 115 frames"
    with pytest.raises(ConfigError, match=words):
        source(root, f"dataset.splits.val.frames={limits}").subjects()


def test_unknown_split_is_refused(root):
    splits = "+dataset.splits.tset={sequence: '02', frames: null, of: null}"
    with pytest.raises(ConfigError, match=r"dataset.splits.tset: no such split. Known: train"):
        source(root, splits)


def test_split_can_be_left_out_but_not_its_sequence(root, tmp_path):
    left_out = source(root, "dataset.splits.val=null")
    assert {subject.split for subject in left_out.subjects()} == {"train", "test"}
    with pytest.raises(DataError, match="split 'val' has no subjects"):
        prepare(left_out, tmp_path / "cache").pairs("val")
    with pytest.raises(ConfigError, match=r"dataset.splits.val: names no sequence. Name one"):
        source(root, "~dataset.splits.val.sequence").subjects()


def test_frame_in_two_splits_is_refused(root, tmp_path):
    with pytest.raises(DataError, match="subject 02/t005 is listed in test and in val"):
        prepare(source(root, "dataset.splits.val.frames=[0,70]"), tmp_path / "cache")


def test_real_colonies_before_registration(real_set, tmp_path):
    root = real_set("phc_trpl")
    dataset = prepare(source(root), tmp_path)
    assert dataset.shape == (384, 384)
    assert dataset.class_names == ["background", "cell"]
    assert [len(dataset.members(split)) for split in SPLITS] == [10, 4, 5]
    assert [len(dataset.pairs(split)) for split in SPLITS] == [2 * (9 + 8), 3, 4]
    for split in ("val", "test"):
        for pair in dataset.pairs(split):
            batch = read_pairs(dataset, [pair], torch.device("cpu"))
            overlap = foreground_dice(dice_per_class(*batch.segmentations, 2))
            assert 0.64 < overlap < 0.83  # as the data's README says


ONE_SEQUENCE = [  # cut into splits by ranges of frames
    "dataset.splits.train={sequence: '01', frames: [0, 6], of: 10}",
    "dataset.splits.val={sequence: '01', frames: [6, 8], of: 10}",
    "dataset.splits.test={sequence: '01', frames: [8, 10], of: 10}",
]


def test_one_sequence_makes_all_splits_by_its_frames(root):
    shutil.rmtree(root / "01")
    write_sequence(root, "01", 20)
    subjects = source(root, *ONE_SEQUENCE).subjects()
    assert {subject.series for subject in subjects} == {"01"}
    ranges = {"train": range(12), "val": range(12, 16), "test": range(16, 20)}
    for split, expected in ranges.items():
        assert frames(subjects, split) == [*expected]


def test_one_real_sequence_makes_all_splits(real_set, tmp_path):
    root = real_set("phc_c2c12")
    dataset = prepare(source(root, *ONE_SEQUENCE, "dataset.border=0"), tmp_path)
    assert dataset.shape == (234, 234)
    assert [len(dataset.members(split)) for split in SPLITS] == [6, 2, 2]
    assert [len(dataset.pairs(split)) for split in SPLITS] == [2 * (5 + 4), 1, 1]
    assert dataset.class_names == ["background", "cell"]
    batch = read_pairs(dataset, dataset.pairs("test"), torch.device("cpu"))
    assert 0.3 < foreground_dice(dice_per_class(*batch.segmentations, 2)) < 1
