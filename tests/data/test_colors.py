"""Colours as one channel, and data sets of images of several channels."""

import numpy as np
import pytest
from image_files import write_nifti, write_tiff
from PIL import Image

from bench.data import NiftiTable, TiffStacks, prepare
from bench.data.check import check
from bench.data.files.colors import converted, haematoxylin
from bench.errors import ConfigError, DataError

PAIRS = {"train": "next", "val": "next", "test": "next"}
PIXELS = np.array(
    [[255, 255, 255], [120, 60, 150], [0, 10, 200], [200, 120, 180]], np.uint8
).T.reshape(3, 2, 2)


def test_haematoxylin_is_that_of_scikit_image():
    expected = [0, 0.07244161, 1.85194779, 0.0142536]  # rgb2hed of scikit-image 0.26
    for pixels in (PIXELS, PIXELS.astype(np.uint16) * 257, PIXELS / 255):
        np.testing.assert_allclose(haematoxylin(pixels).ravel(), expected, rtol=1e-5, atol=1e-7)


def test_grey_is_the_luminance():
    grey = converted(PIXELS, "grey", "a.png")
    assert grey.dtype == np.uint8
    assert grey.tolist() == [[[255, 88], [29, 151]]]
    assert converted(PIXELS / 255, "grey", "a.png") == pytest.approx(grey / 255, abs=2e-3)
    assert converted(grey, "grey", "a.png") is grey


def test_what_has_no_colours_is_refused():
    words = r"a.png: has 2 channel\(s\), but dataset.color=grey needs red, green and blue"
    with pytest.raises(DataError, match=words):
        converted(PIXELS[:2], "grey", "a.png")
    with pytest.raises(DataError, match=r"has 1 channel\(s\), but dataset.color=hed needs"):
        converted(PIXELS[:1], "hed", "a.png")


def table(root, **settings):
    settings = {"intensity": {"policy": "bits"}, **settings}
    return NiftiTable(name="own", root=root, pairs=PAIRS, **settings)


@pytest.fixture
def coloured(tmp_path):
    """Three colour images with labels in a table, all tested on."""
    random = np.random.default_rng(0)
    root = tmp_path / "own"
    root.mkdir()
    rows = ["image,labels"]
    images = random.integers(0, 255, (3, 8, 9, 3)).astype(np.uint8)
    for i, image in enumerate(images):
        Image.fromarray(image).save(root / f"{i}.png")
        Image.fromarray(image[..., 0] % 3).save(root / f"{i}_labels.png")
        rows.append(f"{i}.png,{i}_labels.png")
    (root / "subjects.csv").write_text("\n".join(rows))
    return root, images


def test_colour_images_of_a_table_have_three_channels(coloured, tmp_path):
    root, images = coloured
    dataset = prepare(table(root, ndim=2), tmp_path / "cache")
    assert (dataset.channels, dataset.shape, dataset.step) == (3, (8, 9), 1 / 256)
    assert np.array_equal(dataset.images, np.moveaxis(images, -1, 1))
    assert np.array_equal(dataset.labels[:, 0], images[..., 0] % 3)
    for color in ("grey", "hed"):
        settings = {"color": color, "intensity": {"policy": "keep"}}
        one = prepare(table(root, ndim=2, **settings), tmp_path / "cache")
        assert one.channels == 1
        expected = converted(np.moveaxis(images[1], -1, 0), color, "")
        np.testing.assert_allclose(one.images[1].astype(float), expected, atol=1e-3)
    with pytest.raises(ConfigError, match=r"dataset.color=gray: must be null .*, or grey, hed"):
        table(root, ndim=2, color="gray")


def test_settings_without_colour_are_what_they_were(coloured):
    assert "color" not in table(coloured[0], ndim=2).settings()
    assert table(coloured[0], ndim=2, color="grey").settings()["color"] == "grey"


def test_channels_that_differ_are_named(coloured, tmp_path):
    root, images = coloured
    Image.fromarray(images[1][..., 0]).save(root / "1.png")
    words = r"subject 1 has 1 channel\(s\), but the first subject has 3. Give"
    with pytest.raises(DataError, match=words):
        prepare(table(root, ndim=2), tmp_path / "cache")
    faults = check(table(root, ndim=2)).faults
    assert any("1.png: has 1 channel(s), but most images have 3" in fault for fault in faults)
    assert check(table(root, ndim=2, color="grey")).faults == []


def test_a_channel_that_is_the_same_everywhere_is_named(coloured, tmp_path):
    root, images = coloured
    images[1][..., 2] = 7
    Image.fromarray(images[1]).save(root / "1.png")
    with pytest.raises(DataError, match=r"1.png \(channel 2\): has the same intensity everywhere"):
        prepare(table(root, ndim=2), tmp_path / "cache")


def test_intensities_are_normalized_and_padded_by_channel(tmp_path):
    random = np.random.default_rng(0)
    values = random.uniform(1, 9, (2, 5, 6, 7)).astype(np.float32) * [[[[1]]], [[[100]]]]
    for i, channel in enumerate(values):
        write_nifti(tmp_path / f"{i}.nii.gz", channel.astype(np.float32))
    write_nifti(tmp_path / "both.nii.gz", np.moveaxis(values, 0, -1).astype(np.float32))
    (tmp_path / "subjects.csv").write_text("image,id\n0.nii.gz; 1.nii.gz,a\nboth.nii.gz,b\n")
    settings = {"intensity": {"policy": "quantile", "low": 0.1, "high": 0.9}, "shape": (7, 6, 7)}
    source = table(tmp_path, ndim=3, **settings)
    first, second = (source.load(subject).image for subject in source.subjects())
    np.testing.assert_allclose(first, second)
    for channel, image in zip(values, first, strict=True):
        low, high = np.quantile(channel.astype(np.float32), [0.1, 0.9])
        np.testing.assert_allclose(image[1:-1], ((channel - low) / (high - low)).clip(0, 1), 1e-4)
        assert not image[0].any()
    resampled = table(tmp_path, ndim=3, spacing=(2, 2, 2), **settings)
    assert resampled.load(resampled.subjects()[0]).image.shape == (2, 7, 6, 7)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_folder_with_a_file_per_slice_is_a_stack(tmp_path, ending):
    random = np.random.default_rng(0)
    images = random.integers(0, 255, (12, 8, 9, 3)).astype(np.uint8)
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for i, image in enumerate(images):
        names = [tmp_path / folder / f"s{i}{ending}" for folder in ("images", "labels")]
        if ending == ".png":
            Image.fromarray(image).save(names[0])
            Image.fromarray(image[..., 0] % 3).save(names[1])
        else:
            write_tiff(names[0], image, photometric="rgb")
            write_tiff(names[1], image[..., 0] % 3)
    (tmp_path / "images" / "notes.txt").write_text("ten")
    splits = {"train": [0, 6], "val": [6, 9], "test": [9, 12]}
    sections = {
        split: {"images": "images", "labels": "labels", "slices": slices}
        for split, slices in splits.items()
    }
    policy = {"policy": "bits"}
    source = TiffStacks(
        name="s", ndim=2, pairs=PAIRS, root=tmp_path, splits=sections, intensity=policy
    )
    dataset = prepare(source, tmp_path / "cache")
    assert np.array_equal(dataset.images, np.moveaxis(images, -1, 1))
    assert np.array_equal(dataset.labels[:, 0], images[..., 0] % 3)
    assert dataset.pairs("test") == [(9, 10), (10, 11)]
    (tmp_path / "labels" / f"s11{ending}").unlink()
    with pytest.raises(DataError, match=r"images has 12 slices, but .*labels has 11. Give each"):
        source.subjects()
