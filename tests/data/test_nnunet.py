"""Raw data sets of nnU-Net v2."""

import json

import numpy as np
import pytest
from image_files import write_nifti
from PIL import Image

from bench.data import Decathlon, NnUNet, prepare
from bench.errors import ConfigError, DataError

PAIRS = {"train": "cross", "val": "mirrored", "test": "mirrored"}
SHAPE = (4, 5, 6)
DESCRIPTION = {
    "channel_names": {"0": "T1", "1": "T2"},
    "labels": {"background": 0, "liver": 1, "tumour": 2},
    "numTraining": 10,
    "file_ending": ".nii.gz",
}


def write_case(folder, part, number):
    values = np.arange(120, dtype=np.int16).reshape(SHAPE) + number
    for channel in range(2):
        path = folder / f"images{part}" / f"case_{number:02d}_{channel:04d}.nii.gz"
        write_nifti(path, values * (channel + 1))
    labels = (values % 3).astype(np.uint8)
    write_nifti(folder / f"labels{part}" / f"case_{number:02d}.nii.gz", labels)


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "Dataset001_Liver"
    for number in range(10):
        write_case(folder, "Tr", number)
    (folder / "dataset.json").write_text(json.dumps(DESCRIPTION))
    return folder


def source(root, ndim=3, **settings):
    settings = {"intensity": {"policy": "keep"}, **settings}
    return NnUNet(name="nn", ndim=ndim, pairs=PAIRS, root=root, **settings)


def refused(words, root, tmp_path, **settings):
    with pytest.raises(DataError, match=words) as caught:
        prepare(source(root, **settings), tmp_path / "cache")
    assert len(str(caught.value).splitlines()) == 1


def test_channels_and_classes_are_those_of_the_description(root, tmp_path):
    dataset = prepare(source(root), tmp_path / "cache")
    assert dataset.channels == 2
    assert dataset.class_names == ["background", "liver", "tumour"]
    assert [len(dataset.members(split)) for split in ("train", "val", "test")] == [6, 2, 2]
    for i, name in enumerate(dataset.ids):
        values = np.arange(120).reshape(SHAPE) + int(name.removeprefix("case_"))
        np.testing.assert_array_equal(dataset.images[i], [values, 2 * values])
        np.testing.assert_array_equal(dataset.labels[i, 0], values % 3)


def test_channels_are_chosen_by_their_names(root, tmp_path):
    dataset = prepare(source(root, moving="T2", fixed="T1"), tmp_path / "cache")
    assert dataset.roles == {"moving": [1], "fixed": [0]}
    assert (dataset.channels, dataset.stored_channels) == (1, 2)
    words = r"dataset.moving=PD: is not a channel; images have 2, counted from 0 \(T1, T2\)"
    with pytest.raises(ConfigError, match=words):
        prepare(source(root, moving="PD", fixed="T1"), tmp_path / "cache")


def test_a_changed_second_channel_makes_a_new_cache(root, tmp_path):
    before = prepare(source(root), tmp_path / "cache")
    path = root / "imagesTr" / "case_03_0001.nii.gz"
    write_nifti(path, np.arange(120, dtype=np.int16).reshape(SHAPE)[::-1])
    after = prepare(source(root), tmp_path / "cache")
    assert after.folder != before.folder
    assert after.fingerprint != before.fingerprint


def test_test_images_with_labels_are_the_test_split(root, tmp_path):
    for number in (20, 21, 22):
        write_case(root, "Ts", number)
    dataset = prepare(source(root), tmp_path / "cache")
    assert [len(dataset.members(split)) for split in ("train", "val", "test")] == [8, 2, 3]
    assert [dataset.ids[i] for i in dataset.members("test")] == ["case_20", "case_21", "case_22"]


def test_pictures_in_colour_hold_all_channels(tmp_path):
    root = tmp_path / "nn"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    names = {str(i): name for i, name in enumerate("RGB")}
    description = {**DESCRIPTION, "channel_names": names, "file_ending": ".png"}
    (root / "dataset.json").write_text(json.dumps(description))
    random = np.random.default_rng(0)
    for i in range(10):
        image = random.integers(0, 255, (8, 9, 3)).astype(np.uint8)
        Image.fromarray(image).save(root / "imagesTr" / f"{i}_0000.png")
        Image.fromarray(image[..., 0] % 3).save(root / "labelsTr" / f"{i}.png")
    dataset = prepare(source(root, ndim=2), tmp_path / "cache")
    assert dataset.channels == 3
    assert dataset.shape == (8, 9)
    grey = prepare(source(root, ndim=2, color="grey"), tmp_path / "cache")
    assert grey.channels == 1


def test_what_is_missing_is_named(root, tmp_path):
    (root / "imagesTr" / "case_04_0001.nii.gz").unlink()
    refused("imagesTr/case_04_0001.nii.gz of case case_04", root, tmp_path)
    write_case(root, "Tr", 4)
    regions = {"background": 0, "whole": [1, 2], "core": 2}
    (root / "dataset.json").write_text(json.dumps({**DESCRIPTION, "labels": regions}))
    refused("its labels are overlapping regions. Define classes in dataset.labels,", root, tmp_path)
    (root / "dataset.json").write_text(json.dumps({**DESCRIPTION, "file_ending": ".png"}))
    words = "imagesTr holds no images NAME_0000.png, which dataset.json announces. Point"
    refused(words, root, tmp_path, classes=3)
    (root / "dataset.json").write_text(json.dumps({"training": []}))
    refused("dataset.json: lacks channel_names, labels or file_ending", root, tmp_path)
    (root / "dataset.json").unlink()
    refused("dataset.json does not exist. Point dataset.root at", root, tmp_path)


def test_decathlon_says_whose_layout_it_is(root):
    decathlon = Decathlon(name="msd", ndim=3, classes=3, pairs=PAIRS, root=root)
    with pytest.raises(DataError, match=r"has the layout of nnU-Net v2. Use dataset=nnunet"):
        decathlon.subjects()
