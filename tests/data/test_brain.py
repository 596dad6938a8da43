"""The layout of the papers' brain data, and the real slab where it lies."""

import nibabel
import numpy as np
import pytest
import torch
from conf_options import experiment

from bench.data import Brain, prepare
from bench.data.batches.loading import read_pairs
from bench.data.setup import make_source
from bench.errors import DataError
from bench.scores.overlap import dice_per_class, foreground_dice

PAIRS = dict.fromkeys(("train", "val", "test"), "atlas")
LISTING = "subject_id,SPLIT\na,train\nb,train\nc,val\nd,test\n"


def ramp(top):
    volume = np.zeros((4, 5, 6), np.uint8)
    volume[1:] = top
    return volume


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "brain"
    for i, place in enumerate(("atlas", "data/a", "data/b", "data/c", "data/d")):
        (folder / place).mkdir(parents=True)
        for name, content in (("brain_aligned", 64 + i), ("seg_coalesced_aligned", i % 3)):
            image = nibabel.Nifti1Image(ramp(content), np.eye(4))
            nibabel.save(image, folder / place / f"{name}.nii.gz")
    (folder / "metadata.csv").write_text(LISTING)
    return folder


def source(root):
    intensity = {"policy": "divide", "by": 128}
    return Brain(name="brain", ndim=3, classes=24, pairs=PAIRS, root=root, intensity=intensity)


def test_every_subject_is_paired_with_the_atlas(root, tmp_path):
    dataset = prepare(source(root), tmp_path / "cache")
    named = [
        [(dataset.ids[moving], dataset.ids[fixed]) for moving, fixed in dataset.pairs(split)]
        for split in ("train", "val", "test")
    ]
    assert named == [[("a", "atlas"), ("b", "atlas")], [("c", "atlas")], [("d", "atlas")]]
    found = {name: dataset.images[i].max() * dataset.step for i, name in enumerate(dataset.ids)}
    assert found["d"] == pytest.approx(68 / 128, rel=1e-3)
    assert dataset.class_names == ["background", "label 1", "label 2"]


def test_listing_saved_by_a_spreadsheet_is_read(root):
    (root / "metadata.csv").write_text("\ufeff" + LISTING.replace("\n", "\r\n"))
    assert [s.id for s in source(root).subjects()] == ["atlas", "a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("listing", "words"),
    [
        (LISTING.replace(",", ";"), "has the heading 'subject_id;SPLIT', separated by semicolons"),
        (LISTING.replace("c,val", "c,valid"), "subject c has SPLIT 'valid'; known: train, val"),
        ("", "lacks the column SPLIT; it has none"),
        (LISTING + "a,test\n", "subject a is listed in test and in train. List it once"),
        (LISTING + "e,test\n", "brain_aligned.nii.gz of subject e is missing. Copy it there"),
        (None, "metadata.csv does not exist. Point dataset.root at the folder that holds"),
    ],
)
def test_listing_that_does_not_fit_is_refused(root, tmp_path, listing, words):
    if listing is None:
        (root / "metadata.csv").unlink()
    else:
        (root / "metadata.csv").write_text(listing)
    with pytest.raises(DataError, match=words):
        prepare(source(root), tmp_path / "cache")


def test_row_that_is_cut_short_is_refused(root):
    (root / "metadata.csv").write_text(LISTING + "e\n")
    with pytest.raises(DataError, match=r"metadata.csv: subject e has SPLIT"):
        source(root).subjects()


def test_real_slab_before_registration(real_data, tmp_path):
    root = real_data / "brain_slab"
    slab = make_source(experiment(["dataset=brain", f"dataset.root={root}"]))
    dataset = prepare(slab, tmp_path)
    assert [len(dataset.pairs(split)) for split in ("train", "val", "test")] == [24, 6, 10]
    assert dataset.shape == (160, 192, 16)
    overlaps = []
    for pair in dataset.pairs("test"):
        batch = read_pairs(dataset, [pair], torch.device("cpu"))
        overlaps.append(foreground_dice(dice_per_class(*batch.segmentations, 5)))
    assert np.mean(overlaps) == pytest.approx(0.689, abs=0.001)
