"""NRRD, MetaImage and DICOM: they agree with NIfTI of the same image."""

import locale

import numpy as np
import pytest
import SimpleITK as sitk
from image_files import itk_image, write_series
from volumes import HEADERS

from bench.data.files.images import read_raw
from bench.errors import DataError

SHAPE = (7, 6, 5)  # as ITK counts axes


def image_of(affine, channels=1):
    """A SimpleITK image whose voxels lie where an affine in RAS puts them."""
    random = np.random.default_rng(0)
    values = random.integers(0, 900, (*SHAPE, channels)).astype(np.int16)
    return itk_image(values[..., 0] if channels == 1 else values, affine)


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd", ".nhdr"])
@pytest.mark.parametrize("channels", [1, 3])
def test_volumes_agree_with_nifti(tmp_path, header, ending, channels):
    image = image_of(HEADERS[header], channels)
    paths = [tmp_path / f"image{end}" for end in (".nii.gz", ending)]
    for path in paths:
        sitk.WriteImage(image, str(path))
    nifti, other = (read_raw([path], None, 3) for path in paths)
    assert other.image.shape == (channels, *other.shape)
    np.testing.assert_array_equal(other.image, nifti.image)
    np.testing.assert_allclose(other.affine, nifti.affine, atol=1e-4)
    np.testing.assert_allclose(other.spacing, nifti.spacing, rtol=1e-5)
    assert other.orientation == nifti.orientation


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_labels_of_either_kind_lie_on_the_image(tmp_path, ending):
    image = image_of(HEADERS["oblique"])
    sitk.WriteImage(image, str(tmp_path / "image.nii.gz"))
    sitk.WriteImage(sitk.Cast(image > 300, sitk.sitkUInt8), str(tmp_path / f"labels{ending}"))
    raw = read_raw([tmp_path / "image.nii.gz"], tmp_path / f"labels{ending}", 3)
    np.testing.assert_array_equal(raw.labels, raw.image[0] > 300)


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".nii"])
def test_planes_are_2d_images(tmp_path, ending):
    values = np.random.default_rng(0).integers(0, 255, (6, 7)).astype(np.uint8)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([0.5, 2])
    path = tmp_path / f"image{ending}"
    sitk.WriteImage(image, str(path))
    raw = read_raw([path], None, 2)
    np.testing.assert_array_equal(raw.image[0], values.T[::-1, ::-1])  # LPS to RAS
    assert raw.spacing == pytest.approx((0.5, 2))
    assert raw.orientation == "LP"


@pytest.mark.parametrize("header", ["plain", "oblique", "anisotropic"])
def test_folder_of_a_series_agrees_with_nifti(tmp_path, header):
    image = image_of(HEADERS[header])
    sitk.WriteImage(image, str(tmp_path / "image.nii.gz"))
    write_series(tmp_path / "series", image)
    nifti = read_raw([tmp_path / "image.nii.gz"], None, 3)
    before = locale.setlocale(locale.LC_ALL)
    raw = read_raw([tmp_path / "series"], None, 3)
    assert locale.setlocale(locale.LC_ALL) == before
    np.testing.assert_array_equal(raw.image, nifti.image)
    np.testing.assert_allclose(raw.affine, nifti.affine, atol=1e-4)


def refused(words, path, ndim=3):
    with pytest.raises(DataError, match=words) as caught:
        read_raw([path], None, ndim)
    assert len(str(caught.value).splitlines()) == 1


def test_series_that_are_mixed_or_lack_a_slice_are_refused(tmp_path):
    image = image_of(HEADERS["plain"])
    write_series(tmp_path / "gap", image)
    (tmp_path / "gap" / "1.2.3-2.dcm").unlink()
    refused("gap: the 4 slices are 1 to 2 mm apart; some are missing or dup", tmp_path / "gap")
    write_series(tmp_path / "two", image)
    write_series(tmp_path / "two", image, series="1.2.4")
    refused("two: holds 2 DICOM series; one is needed", tmp_path / "two")


def test_a_slice_is_a_2d_image_and_no_volume(tmp_path):
    image = image_of(HEADERS["anisotropic"])
    write_series(tmp_path / "series", image)
    path = tmp_path / "series" / "1.2.3-1.dcm"
    raw = read_raw([path], None, 2)
    assert raw.spacing == pytest.approx((0.8, 1))
    assert raw.shape == SHAPE[:2]
    refused(r"is a 2D image of \(7, 6, 1\), but the data set needs volumes", path)
    sitk.WriteImage(image, str(tmp_path / "image.mha"))
    refused(r"image.mha: is a volume of \(7, 6, 5\), but the data set", tmp_path / "image.mha", 2)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("kept", [40, 0.8])
def test_damaged_files_are_named(tmp_path, ending, kept):
    path = tmp_path / f"image{ending}"
    sitk.WriteImage(image_of(HEADERS["plain"]), str(path))
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    refused(rf"image{ending}: ITK cannot read it; it is damaged or truncated", path)
