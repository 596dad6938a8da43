"""From what the files hold to what is trained on: cut, padded, resampled, refused."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.preprocessing import crop_or_pad
from bench.data.source import Source
from bench.data.subject import Raw, Subject
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class Held(Source):
    """One subject, handed over as its files would hold it."""

    def subjects(self):
        return [Subject("a", "train", Path("image.tif"), Path("labels.tif"))]


def preprocess(image, labels=None, spacing=None, **settings):
    settings = {"classes": 9, "pairs": {}, **settings}
    source = Held(name="held", ndim=image.ndim, **settings)
    raw = Raw(image, labels, spacing or (1.0,) * image.ndim)
    return source.preprocess(source.subjects()[0], raw)


def image_of(shape):
    return np.random.default_rng(0).uniform(3, 9, shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 10)])
def test_border_is_cut_off_all_sides_of_image_and_labels(shape):
    image = image_of(shape)
    labels = (image > 5).astype(np.uint8)
    sample = preprocess(image, labels, border=2)
    inside = (slice(2, -2),) * len(shape)
    assert np.array_equal(sample.image[0], image[inside])
    assert np.array_equal(sample.labels, labels[inside])


@pytest.mark.parametrize("border", [4, 5])
def test_border_that_leaves_nothing_is_refused(border):
    words = rf"image.tif: has shape \(9, 8\), nothing is left of it without a border of {border}\."
    with pytest.raises(DataError, match=words):
        preprocess(image_of((9, 8)), border=border)


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
        ((1, 5), (4, 1)),
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

    least = float(image.min())
    sample = preprocess(image, labels, shape=target)
    assert sample.image.shape == (1, *target)
    inner = np.isin(sample.image[0], image)
    assert inner.all()
    kept = crop_or_pad(image, target, least)
    assert np.array_equal(kept, by_torchio(image, least))
    assert np.array_equal(sample.labels, by_torchio(labels, 0))


def test_padding_has_the_least_intensity_and_no_label():
    image = image_of((4, 5))
    sample = preprocess(image, np.ones((4, 5), np.uint8), shape=(6, 7), intensity={"policy": "zscore"})
    outside = sample.labels == 0
    assert outside.sum() == 6 * 7 - 4 * 5
    assert sample.image[0, 1:-1, 1:-1].min() < 0
    assert (sample.image[0][outside] == sample.image.min()).all()


def test_border_is_cut_before_the_shape_is_made():
    image = image_of((9, 12))
    sample = preprocess(image, border=2, shape=(5, 6))
    assert np.array_equal(sample.image[0], image[2:-2, 2:-2][:, 1:7])
    padded = preprocess(image, border=2, shape=(7, 8))
    assert padded.image[0, 0].tolist() == [image[2:-2, 2:-2].min()] * 8


def test_intensities_are_normalized_over_the_whole_image():
    image = image_of((8, 9))
    image[0, 0] = 100
    sample = preprocess(image, border=1, intensity={"policy": "quantile", "low": 0, "high": 1})
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
    sample = preprocess(ramp, labels, edges, spacing=spacing)
    assert sample.image.shape == (1, *shape)
    assert sample.labels.shape == shape
    assert sample.spacing == spacing
    inside = sample.image[0][tuple(slice(n // 4, -(n // 4)) for n in shape)]
    for axis, edge in enumerate(spacing):  # mm along an axis are what they were
        np.testing.assert_allclose(np.diff(inside, axis=axis), edge, rtol=1e-3)
    assert set(np.unique(sample.labels)) == {2, 7}
    off = np.abs(sample.image[0] - np.median(ramp))
    agree = (sample.labels == 7) == (sample.image[0] > np.median(ramp))
    assert agree[off > max(edges) * len(edges)].all()


def test_spacing_that_is_there_already_changes_nothing():
    image = image_of((6, 7))
    sample = preprocess(image, None, (0.5, 0.70001), spacing=(0.5, 0.7))
    assert np.array_equal(sample.image[0], image)


@pytest.mark.parametrize("cell", [2**24 + 1, 2**31 + 5, 2**32, 2**40 + 1])
def test_large_ids_are_resampled_as_they_are(cell):
    labels = np.full((6, 8), cell, np.int64)
    labels[:, :4] = 0
    sample = preprocess(image_of((6, 8)), labels, spacing_of_files, labels={"cell": "rest"}, **TWICE)
    assert sample.labels.tolist() == [[0, 0, 1, 1]] * 3


spacing_of_files = (1.0, 1.0)
TWICE = {"spacing": (2.0, 2.0)}


def test_bytes_are_resampled_before_their_bits_are_divided_by():
    image = np.full((6, 8), 128, np.uint8)
    image[0, 0] = 0
    sample = preprocess(image, spacing=(1.0, 1.0), **{"intensity": {"policy": "bits"}})
    assert sample.step == 1 / 256
