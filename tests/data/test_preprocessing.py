"""From what the files hold to what is trained on: cut, padded, resampled, refused."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.sources.source import Source
from bench.data.sources.subject import Raw, Subject
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class Held(Source):
    """One subject, handed over as its files would hold it."""

    def subjects(self):
        return [Subject("a", "train", Path("image.tif"), Path("labels.tif"))]


def process(image, ids=None, edges=None, **settings):
    usual = {"ndim": image.ndim, "classes": 9, "pairs": {}, "intensity": {"policy": "keep"}}
    source = Held(name="held", **{**usual, **settings})
    raw = Raw(image[None], ids, edges or (1.0,) * image.ndim)
    return source.preprocess(source.subjects()[0], raw)


def image_of(shape):
    return np.random.default_rng(0).uniform(3, 9, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 10)])
def test_border_is_cut_off_all_sides_of_image_and_labels(shape):
    image = image_of(shape)
    labels = (image > 5).astype(np.uint8)
    sample = process(image, labels, border=2)
    inside = (slice(2, -2),) * len(shape)
    assert np.array_equal(sample.image[0], image[inside])
    assert np.array_equal(sample.labels, labels[inside])


@pytest.mark.parametrize("border", [4, 5])
def test_border_that_leaves_nothing_is_refused(border):
    words = rf"image.tif: has shape \(9, 8\); cutting a border of {border} leaves nothing\."
    with pytest.raises(DataError, match=words):
        process(image_of((9, 8)), border=border)


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((8, 8, 8), (5, 6, 7)),
        ((9, 9, 9), (6, 7, 8)),
        ((5, 6, 7), (8, 8, 8)),
        ((6, 7, 8), (9, 9, 9)),
        ((8, 5, 9), (5, 8, 9)),
        ((9, 4), (4, 9)),
        ((7, 6), (8, 5)),
        ((1, 5), (4, 3)),
    ],
)
def test_cropping_and_padding_are_those_of_torchio(shape, target):
    import torchio

    image = image_of(shape)
    labels = np.random.default_rng(1).integers(1, 9, shape).astype(np.uint8)
    flat = len(shape) == 2

    def by_torchio(array, value):
        tensor = torch.from_numpy(array)[None]
        transform = torchio.CropOrPad((*target, 1) if flat else target, padding_mode=value)
        own = torchio.ScalarImage(tensor=tensor[..., None] if flat else tensor)
        found = transform(own).numpy()[0]
        return found[..., 0] if flat else found

    sample = process(image, labels, shape=target)
    assert np.array_equal(sample.image[0], by_torchio(image, float(image.min())))
    assert np.array_equal(sample.labels, by_torchio(labels, 0))


def test_padding_has_the_least_intensity_and_no_label():
    image = image_of((4, 5))
    sample = process(image, np.ones((4, 5), np.uint8), shape=(6, 7), intensity={"policy": "zscore"})
    outside = sample.labels == 0
    assert outside.sum() == 6 * 7 - 4 * 5
    assert sample.image[0, 1:-1, 1:-1].min() < 0
    assert (sample.image[0][outside] == sample.image.min()).all()


def test_border_is_cut_before_the_shape_is_made():
    image = image_of((9, 12))
    sample = process(image, border=2, shape=(5, 6))
    assert np.array_equal(sample.image[0], image[2:-2, 2:-2][:, 1:7])
    padded = process(image, border=2, shape=(7, 8))
    assert padded.image[0, 0].tolist() == [image[2:-2, 2:-2].min()] * 8


def test_intensities_are_normalized_over_the_whole_image():
    image = image_of((8, 9))
    image[0, 0] = 100
    sample = process(image, border=1, intensity={"policy": "quantile", "low": 0, "high": 1})
    expected = (image - image.min()) / (100 - image.min())
    np.testing.assert_allclose(sample.image[0], expected[1:-1, 1:-1], rtol=1e-6)


@pytest.mark.parametrize(
    ("edges", "spacing", "shape"),
    [
        ((1.0, 1.0), (2.0, 3.0), (12, 8)),
        ((0.5, 2.0), (1.0, 1.0), (12, 48)),
        ((1.0, 1.0, 1.0), (2.0, 1.0, 3.0), (12, 24, 8)),
        ((3.0, 1.0, 1.0), (1.0, 1.0, 1.0), (72, 24, 24)),
    ],
)
def test_resampling_changes_spacing_and_shape(edges, spacing, shape):
    lines = np.indices((24,) * len(edges)).astype(np.float32)
    ramp = sum(line * edge for line, edge in zip(lines, edges, strict=True))
    labels = np.where(ramp > np.median(ramp), 7, 2).astype(np.uint8)
    sample = process(ramp, labels, edges, spacing=spacing)
    assert sample.image.shape == (1, *shape)
    assert sample.labels.shape == shape
    assert sample.spacing == spacing
    inside = sample.image[0][tuple(slice(n // 4, -(n // 4)) for n in shape)]
    for axis, edge in enumerate(spacing):  # mm along an axis are what they were
        np.testing.assert_allclose(np.diff(inside, axis=axis), edge, rtol=1e-3)
    assert set(np.unique(sample.labels)) == {2, 7}
    away = np.abs(sample.image[0] - np.median(ramp)) > max(edges) * len(edges)
    bright = sample.image[0] > np.median(ramp)
    assert away.any()
    assert np.array_equal(sample.labels[away] == 7, bright[away])


def test_spacing_that_is_there_already_changes_nothing():
    image = image_of((6, 7))
    sample = process(image, None, (0.5, 0.70001), spacing=(0.5, 0.7))
    assert np.array_equal(sample.image[0], image)


@pytest.mark.parametrize("cell", [2**24 + 1, 2**31 + 5, 2**32, 2**40 + 1])
def test_large_ids_are_resampled_as_they_are(cell):
    ids = np.full((6, 8), cell, np.int64)
    ids[:, :4] = 0
    sample = process(image_of((6, 8)), ids, labels={"cell": "rest"}, spacing=(2.0, 2.0))
    assert sample.labels.tolist() == [[0, 0, 1, 1]] * 3


def test_grey_values_between_bytes_are_divided_as_bytes_are():
    image = np.arange(48, dtype=np.uint8).reshape(6, 8)
    sample = process(image, spacing=(2.0, 2.0), intensity={"policy": "bits"})
    assert sample.step is None
    assert image.min() / 256 <= sample.image.min() < sample.image.max() <= image.max() / 256


def test_bytes_stay_whole_multiples_of_their_step():
    image = np.random.default_rng(0).integers(0, 256, (6, 8)).astype(np.uint8)
    for intensity in ({"policy": "bits"}, {"policy": "divide", "by": 100}, {"policy": "keep"}):
        sample = process(image, intensity=intensity, border=1, shape=(6, 4))
        counts = sample.image / np.float32(sample.step)
        np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)
        assert counts.max() <= 255


@pytest.mark.parametrize("value", [70_000, -70_000])
def test_intensities_beyond_half_precision_are_refused(value):
    image = image_of((6, 8))
    image[2, 3] = value
    words = (
        r"image.tif: intensities reach 70000, but the cache holds at most 65504. Scale them with"
    )
    with pytest.raises(DataError, match=words):
        process(image)
    assert process(image, intensity={"policy": "divide", "by": 2}).image.shape == (1, 6, 8)


@pytest.mark.parametrize("value", [0, 3.5])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_image_of_one_intensity_is_refused(value, kind):
    words = "image.tif: has the same intensity everywhere, so there is nothing to align"
    for policy in ("keep", "zscore", "quantile"):
        with pytest.raises(DataError, match=words):
            process(np.full((6, 8), value, kind), intensity={"policy": policy})


def test_unknown_labels_are_named_with_their_file():
    with pytest.raises(DataError, match=r"labels.tif: labels 9 are outside the declared classes"):
        process(image_of((6, 8)), np.full((6, 8), 9))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"spacing": [1, 2, 3]}, r"dataset.spacing=\[1,2,3\]: must have 2 numbers above 0"),
        ({"spacing": [1, 0]}, r"dataset.spacing=\[1,0\]: must have 2 numbers"),
        ({"shape": [-4, 5]}, r"dataset.shape=\[-4,5\]: must have 2 whole numbers"),
        ({"shape": [1, 5]}, r"dataset.shape=\[1,5\]: must have 2 whole numbers of at least 3"),
        ({"pairs": None}, r"dataset.pairs=null: must be a policy for each split, such as"),
        ({"pairs": "cross"}, r"dataset.pairs=cross: must be a policy for each split, such as"),
        ({"border": -1}, r"dataset.border=-1: must be a whole number"),
        ({"border": True}, r"dataset.border=true: must be a whole number"),
        ({"ndim": 2.0}, r"dataset.ndim=2.0: must be 2 or 3"),
        ({"shape": [True, 5]}, r"dataset.shape=\[true,5\]: must have 2 whole numbers"),
        ({"classes": 0}, r"dataset.classes=0: must be a number of at least 1"),
        (
            {"classes": {0: "rest", 1: "a", 2: "a"}},
            r"dataset.classes: 1 and 2 are both named a. Give each its name, or merge them: "
            r"dataset.labels=\{a: \[1, 2\], …\}.",
        ),
        ({"classes": True}, r"dataset.classes=true: must be a number of at least 1, or names"),
    ],
)
def test_impossible_settings_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        process(image_of((6, 8)), **settings)
