"""Reading volumes: what is normalized, cropped and refused."""

import nibabel
import numpy as np
import pytest

from bench.data.intensity import Intensity
from bench.data.label_table import LabelTable
from bench.data.nifti import read_nifti, read_volume
from bench.data.preprocessing import preprocess
from bench.errors import ConfigError, DataError

KEEP = Intensity()
TABLE = LabelTable(3, None)


def read_subject(image, labels=None, intensity=KEEP, shape=None):
    raw = read_nifti(image, labels)
    return preprocess(raw, str(image), str(labels), TABLE, intensity, shape=shape)


def save(path, array, affine=None):
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
    return path


@pytest.fixture
def files(tmp_path):
    """An image and its labels of shape (5, 6, 7)."""
    random = np.random.default_rng(0)
    image = random.uniform(1, 9, size=(5, 6, 7)).astype(np.float32)
    labels = random.integers(3, size=(5, 6, 7)).astype(np.uint8)
    return (
        save(tmp_path / "image.nii.gz", image),
        save(tmp_path / "labels.nii.gz", labels),
        image,
        labels,
    )


def test_image_and_labels_are_read_as_they_are(files):
    image_path, labels_path, image, labels = files
    sample = read_subject(image_path, labels_path)
    assert np.array_equal(sample.image, image[None])
    assert np.array_equal(sample.labels, labels)
    assert sample.spacing == (1, 1, 1)
    assert read_subject(image_path, None).labels is None


@pytest.mark.parametrize("shape", [(3, 4, 5), (9, 8, 11), (3, 8, 7)])
def test_cropping_and_padding_keep_the_centre_of_image_and_labels(files, shape):
    image_path, labels_path, image, labels = files
    sample = read_subject(image_path, labels_path, KEEP, shape)
    assert sample.image.shape == (1, *shape)
    assert sample.labels.shape == shape
    inner = sample.image[0][sample.image[0] > image.min()]
    assert np.isin(inner, image).all()
    overlap = [min(a, b) for a, b in zip(shape, image.shape, strict=True)]
    assert inner.size >= np.prod(overlap) - 1  # padding has the least intensity
    assert sample.image.min() == image.min() or min(shape) < 5
    for label in (1, 2):  # labels stay with their voxels
        values = sample.image[0][sample.labels == label]
        assert np.isin(values, image[labels == label]).all()


def test_volumes_are_turned_to_ras_with_their_spacing(files, tmp_path):
    *_, image, labels = files
    affine = np.array([[0, 0, 3.0, 0], [-1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])
    turned_image = save(tmp_path / "turned.nii.gz", image, affine)
    turned_labels = save(tmp_path / "turned_labels.nii.gz", labels, affine)
    sample = read_subject(turned_image, turned_labels)
    assert np.array_equal(sample.image[0], image.transpose(2, 0, 1)[:, ::-1])
    assert np.array_equal(sample.labels, labels.transpose(2, 0, 1)[:, ::-1])
    assert sample.spacing == pytest.approx((3, 1, 2))


def test_divide_policy(files):
    image_path, _, image, _ = files
    sample = read_subject(image_path, None, Intensity("divide", by=128))
    np.testing.assert_allclose(sample.image[0], image / 128, rtol=1e-6)


def test_quantile_policy_maps_quantiles_to_zero_and_one_before_padding(files):
    image_path, _, image, _ = files
    intensity = Intensity("quantile", low=0.1, high=0.9)
    low, high = np.quantile(image, [0.1, 0.9])
    expected = ((image - low) / (high - low)).clip(0, 1)
    sample = read_subject(image_path, None, intensity, (7, 8, 9))
    np.testing.assert_allclose(sample.image[0, 1:-1, 1:-1, 1:-1], expected, atol=1e-6)
    assert not sample.image[0, 0].any()


def test_a_single_volume_of_a_series_counts_as_a_volume(files, tmp_path):
    path = save(tmp_path / "series.nii.gz", files[2][..., None])
    assert read_volume(path)[0].shape == (5, 6, 7)


def refused(words, image_path, labels_path=None):
    with pytest.raises(DataError, match=words) as raised:
        read_subject(image_path, labels_path)
    assert "\n" not in str(raised.value)


def test_values_that_are_not_finite_are_counted(files, tmp_path):
    image = files[2].copy()
    image[0, 0, :2] = np.nan, np.inf
    path = save(tmp_path / "nan.nii.gz", image)
    refused(r"nan.nii.gz: 2 voxels are not finite \(NaN or Inf\). Replace them, or take", path)


def test_missing_file_is_named(tmp_path):
    refused(r"gone.nii.gz: no such file. Copy it there, or take", tmp_path / "gone.nii.gz")


@pytest.mark.parametrize("kept", [0, 10, 60, 0.5, 0.9])
def test_damaged_file_is_named(files, kept):
    path = files[0]
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    refused(r"image.nii.gz: cannot be read as NIfTI, it is damaged or cut short \(", path)


def test_file_of_another_kind_is_named(files):
    files[0].write_bytes(b"<html>404 not found</html>" * 40)
    refused(r"image.nii.gz: cannot be read as NIfTI.*Copy or download it again", files[0])


def test_series_is_refused(tmp_path):
    path = save(tmp_path / "series.nii.gz", np.zeros((4, 4, 4, 3), np.float32))
    refused(r"series.nii.gz: has 4 dimensions \(4, 4, 4, 3\), 3 are needed. Store one", path)


def test_labels_of_another_shape_are_refused(files, tmp_path):
    path = save(tmp_path / "other.nii.gz", np.zeros((5, 6, 8), np.uint8))
    words = r"other.nii.gz: has shape \(5, 6, 8\), but its image image.nii.gz has \(5, 6, 7\)"
    refused(words, files[0], path)


def test_undeclared_labels_are_refused(files, tmp_path):
    labels = files[3].copy()
    labels[0, 0, :2] = 7, 9
    path = save(tmp_path / "more.nii.gz", labels)
    words = r"labels 7, 9 are outside the declared classes 0, 1, 2. Declare them in dataset.clas"
    refused(words, files[0], path)


def test_interpolated_labels_are_refused(files, tmp_path):
    path = save(tmp_path / "smooth.nii.gz", files[3].astype(np.float32) / 2)
    words = r"smooth.nii.gz: label 0.5 is not a whole number. Resample label maps with nearest"
    refused(words, files[0], path)


def test_whole_labels_stored_as_floats_are_read(files, tmp_path):
    path = save(tmp_path / "float.nii.gz", files[3].astype(np.float32))
    sample = read_subject(files[0], path)
    assert np.array_equal(sample.labels, files[3])


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (
            {"policy": "log"},
            "intensity.policy=log: must be one of keep, divide, bits, range",
        ),
        ({"policy": "quantile", "low": 0.9, "high": 0.1}, "low=0.9, high=0.1 must satisfy 0 <= lo"),
        ({"policy": "quantile", "high": 99}, "high=99 must satisfy 0 <= low < high <= 1"),
    ],
)
def test_impossible_intensity_is_refused(section, words):
    with pytest.raises(ConfigError, match=words):
        Intensity.from_config(section)
