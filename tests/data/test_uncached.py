"""A data set without a cache: the same as with one, read when it is used."""

import os
import pickle

import numpy as np
import pytest
import torch
from image_files import write_nifti, write_tiff

from bench.data import NiftiTable, TiffStacks, prepare
from bench.data.batches.augmentation import Augmentation, RandomAffine
from bench.data.batches.loading import TrainingImages, TrainingPairs, read_pairs
from bench.data.sources.subject import SPLITS
from bench.errors import DataError

CPU = torch.device("cpu")
SHAPE = (6, 7, 8)
SUBJECTS = {name: ["train", "val", "test"][i // 2] for i, name in enumerate("abcdef")}
TABLE = {"five": 5, "few": [2, 3], "background": "rest"}


def write_volumes(root, kind=np.uint8, top=9, labelled=True):
    random = np.random.default_rng(0)
    rows = []
    for name, split in SUBJECTS.items():
        image = random.integers(0, 256, SHAPE).astype(kind)
        write_nifti(root / f"{name}.nii", image)
        labels = np.arange(np.prod(SHAPE)).reshape(SHAPE) % top
        write_nifti(root / f"{name}_labels.nii", labels.astype(np.uint16))
        rows.append(f"{name}.nii,{split}" + (f",{name}_labels.nii" if labelled else ""))
    rows.insert(0, "image,split" + (",labels" if labelled else ""))
    (root / "subjects.csv").write_text("\n".join(rows))


def volumes(root, kind=np.uint8, top=9, labelled=True, **settings):
    write_volumes(root, kind, top, labelled)
    settings = {"labels": TABLE, "pairs": dict.fromkeys(SPLITS, "cross"), **settings}
    return NiftiTable(name="own", ndim=3, root=root, **settings)


def mixed(root):
    own = volumes(root, intensity={"policy": "divide", "by": 100}, shape=[5, 7, 9])
    write_nifti(root / "d.nii", np.random.default_rng(1).random(SHAPE, np.float32))
    return own


def pairs_of_volumes(root):
    own = volumes(root)
    rows = ["moving,fixed,split", "a.nii,b.nii,train", "c.nii,b.nii,val", "e.nii,f.nii,test"]
    (root / "subjects.csv").write_text("\n".join(rows))
    return own


def stacks(root):
    random = np.random.default_rng(0)
    write_tiff(root / "images.tif", random.integers(0, 65536, (9, 12, 14)).astype(np.uint16))
    write_tiff(root / "labels.tif", random.integers(0, 5, (9, 12, 14)).astype(np.uint8))
    files = {"images": "images.tif", "labels": "labels.tif"}
    limits = zip(SPLITS, ([0, 4], [4, 6], [6, 9]), strict=True)
    return TiffStacks(
        name="stacks",
        ndim=2,
        root=root,
        splits={split: {**files, "slices": slices} for split, slices in limits},
        labels={"one": 1, "others": "rest"},
        pairs={"train": {"policy": "neighbours", "within": 2}, "val": "next", "test": "next"},
        intensity={"policy": "bits"},
        border=1,
    )


SOURCES = {
    "bytes": lambda root: volumes(root, intensity={"policy": "bits"}),
    "floats": lambda root: volumes(root, np.float32, intensity={"policy": "zscore"}),
    "mixed": mixed,
    "no labels": lambda root: volumes(root, labelled=False),
    "many classes": lambda root: volumes(root, top=300, labels=None, classes=1000),
    "resampled": lambda root: volumes(root, spacing=[2, 2, 1.5]),
    "pairs": pairs_of_volumes,
    "stacks": stacks,
}


@pytest.fixture(params=SOURCES)
def both(request, tmp_path):
    """A data set with a cache, and without."""
    (tmp_path / "own").mkdir()
    source = SOURCES[request.param](tmp_path / "own")
    return prepare(source, tmp_path / "cache"), prepare(source, None)


def test_it_describes_itself_as_with_a_cache(both):
    cached, direct = both
    for name in (
        "name", "fingerprint", "ids", "class_names", "spacing", "shape", "ndim", "channels",
        "step", "has_labels",
    ):  # fmt: skip
        assert getattr(direct, name) == getattr(cached, name), name
    for split in SPLITS:
        assert direct.members(split) == cached.members(split)
        assert direct.pairs(split) == cached.pairs(split)


def test_it_gives_the_same_images_and_labels(both):
    cached, direct = both
    everyone = list(range(len(cached.ids)))
    arrays = {"images": (direct.images, cached.images)}
    if cached.has_labels:
        arrays["labels"] = (direct.labels, cached.labels)
    else:
        assert direct.labels is None
    for own, kept in arrays.values():
        for places in (everyone, everyone[::-1], [1, 1]):
            assert own[places].dtype == kept[places].dtype
            assert np.array_equal(own[places], kept[places])
        assert np.array_equal(own[2], kept[2])


def assert_same_batch(one, other):
    assert torch.equal(one.moving, other.moving)
    assert torch.equal(one.fixed, other.fixed)
    assert one.has_labels == other.has_labels
    if one.has_labels:
        for labels, expected in zip(one.segmentations, other.segmentations, strict=True):
            assert labels.dtype == expected.dtype
            assert torch.equal(labels, expected)


def test_it_gives_the_same_batches(both):
    cached, direct = both
    for split in SPLITS:
        pairs = cached.pairs(split)
        assert_same_batch(read_pairs(direct, pairs, CPU), read_pairs(cached, pairs, CPU))
    augmentation = Augmentation(RandomAffine(rotation=20, flip=True))
    batches = [TrainingPairs(own, augmentation, 3).batch(range(4), CPU) for own in both]
    assert_same_batch(*batches)
    images = [
        TrainingImages(own, augmentation, 3, own.has_labels).batch([0, 1], CPU) for own in both
    ]
    assert torch.equal(images[0][0], images[1][0])


def test_it_survives_pickling_before_and_after_it_is_read(both):
    cached, direct = both
    sizes = set()
    for _ in range(2):
        data = pickle.dumps(direct)
        sizes.add(len(data))
        copy = pickle.loads(data)
        pairs = cached.pairs("train")
        assert_same_batch(read_pairs(copy, pairs, CPU), read_pairs(cached, pairs, CPU))
        assert direct.images[[0]].shape == cached.images[[0]].shape
        if direct.has_labels:
            assert direct.labels[[0]].shape == cached.labels[[0]].shape
    assert len(sizes) == 1  # what was read stays behind


def test_it_keeps_nothing(tmp_path, monkeypatch):
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    source = volumes(tmp_path / "own")
    before = sorted(tmp_path.rglob("*"))
    dataset = prepare(source, None)
    assert dataset.images[[0, 3]].shape == (2, 1, *SHAPE)
    assert dataset.folder is None
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", ["truncated", "removed"])
def test_file_damaged_later_is_named_when_it_is_used(tmp_path, damage):
    dataset = prepare(volumes(tmp_path), None)
    path = tmp_path / "e.nii"
    if damage == "truncated":
        os.truncate(path, 400)
    else:
        path.unlink()
    assert dataset.images[[0]].shape == (1, 1, *SHAPE)
    with pytest.raises(DataError, match=r"e.nii: "):
        dataset.images[[4]]


def test_damaged_file_is_found_at_the_start(tmp_path):
    source = volumes(tmp_path)
    os.truncate(tmp_path / "e.nii", 400)
    with pytest.raises(DataError, match=r"e.nii: cannot be read as NIfTI"):
        prepare(source, None)
