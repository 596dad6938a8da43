"""Reading volumes: what is normalized, cropped and refused."""

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from bench.data.files.nifti import disagreement, whole
from bench.data.files.volumes import read_volume, read_volumes
from bench.data.preprocessing.intensity import Intensity
from bench.data.preprocessing.label_table import LabelTable
from bench.data.preprocessing.steps import preprocess
from bench.errors import ConfigError, DataError

KEEP = Intensity()
TABLE = LabelTable(3, None)


def read_subject(image, labels=None, intensity=KEEP, shape=None):
    raw = read_volumes([image], labels, 3)
    return preprocess(raw, str(image), str(labels), TABLE, intensity, shape=shape)


def read_nifti(image, labels, ignore_affine=False):
    """A volume of one channel."""
    raw = read_volumes([image], labels, 3, ignore_affine)
    (volume,) = raw.image
    return replace(raw, image=volume)


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
    assert read_volume(path)[0].shape == (1, 5, 6, 7)


def refused(words, image_path, labels_path=None):
    with pytest.raises(DataError, match=words) as raised:
        read_subject(image_path, labels_path)
    assert "\n" not in str(raised.value)


def test_values_that_are_not_finite_are_counted(files, tmp_path):
    image = files[2].copy()
    image[0, 0, :2] = np.nan, np.inf
    path = save(tmp_path / "nan.nii.gz", image)
    refused(r"nan.nii.gz: 2 voxels are not finite \(NaN or Inf\). Replace them, or leave", path)


def test_missing_file_is_named(tmp_path):
    refused(r"gone.nii.gz: no such file. Copy it there, or remove", tmp_path / "gone.nii.gz")


@pytest.mark.parametrize("kept", [10, 60, 0.5, 0.9])
def test_damaged_file_is_named(files, kept):
    path = files[0]
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    refused(r"image.nii.gz: cannot be read as NIfTI; it is damaged or truncated \(", path)


def test_file_of_another_kind_is_named(files):
    files[0].write_bytes(b"<html>404 not found</html>" * 40)
    refused(r"image.nii.gz: is a web page, such as a login .*Download the file again", files[0])


def test_last_axis_has_the_channels(files, tmp_path):
    channels = np.random.default_rng(0).uniform(1, 9, (3, 5, 6, 7)).astype(np.float32)
    path = save(tmp_path / "channels.nii.gz", np.moveaxis(channels, 0, -1), np.diag([-1, 2, 3, 1]))
    raw = read_volumes([path], None, 3)
    assert np.array_equal(raw.image, channels[:, ::-1])
    assert raw.spacing == (1, 2, 3)
    vectors = save(tmp_path / "vectors.nii.gz", np.moveaxis(channels, 0, -1)[:, :, :, None])
    assert np.array_equal(read_volumes([vectors], None, 3).image, channels)
    refused("channels.nii.gz: has 3 channels; a label map has one", files[0], path)


def test_more_than_one_axis_besides_the_spatial_ones_is_refused(tmp_path):
    path = save(tmp_path / "series.nii.gz", np.zeros((4, 4, 4, 2, 3), np.float32))
    refused(r"series.nii.gz: has 5 dimensions \(4, 4, 4, 2, 3\); 3 are needed, or 4 for", path)


def test_files_of_a_subject_are_its_channels(files, tmp_path):
    second = save(tmp_path / "second.nii.gz", files[2][::-1].copy() * 2, np.diag([-1, 1, 1, 1]))
    words = r"second.nii.gz: its affine disagrees with that of its image image.nii.gz"
    with pytest.raises(DataError, match=words):
        read_volumes([files[0], second], None, 3)
    affine = np.diag([-1.0, 1, 1, 1])
    affine[0, 3] = 4
    second = save(tmp_path / "second.nii.gz", files[2][::-1].copy() * 2, affine)
    raw = read_volumes([files[0], second], files[1], 3)
    np.testing.assert_array_equal(raw.image, np.stack([files[2], 2 * files[2]]))
    small = save(tmp_path / "small.nii.gz", files[2][1:])
    with pytest.raises(DataError, match=r"small.nii.gz: has shape \(4, 6, 7\), but its image"):
        read_volumes([files[0], small], None, 3)


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


def test_scaling_of_the_header_is_applied(tmp_path):
    stored = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    file = nibabel.Nifti1Image(stored, np.eye(4))
    file.header.set_slope_inter(0.5, -3)
    nibabel.save(file, tmp_path / "scaled.nii.gz")
    assert nibabel.load(tmp_path / "scaled.nii.gz").dataobj.slope == 0.5
    (volume,), _ = read_volume(tmp_path / "scaled.nii.gz")
    np.testing.assert_allclose(volume, stored * 0.5 - 3)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("order", ["<", ">"])
def test_either_byte_order_is_read(tmp_path, kind, order):
    values = np.random.default_rng(0).integers(0, 200, (3, 4, 5)).astype(kind)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(kind)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4), header), tmp_path / "v.nii")
    assert nibabel.load(tmp_path / "v.nii").header.endianness == order
    (volume,), _ = read_volume(tmp_path / "v.nii")
    assert volume.dtype.isnative
    assert np.array_equal(volume, values)


LARGE = 2**24 + 1  # the least whole number that float32 cannot hold


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int64, np.uint64, np.float64])
def test_large_label_ids_are_not_rounded(files, tmp_path, kind):
    labels = np.full((5, 6, 7), LARGE, kind)
    labels[0] = LARGE - 1
    path = tmp_path / "large.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4), dtype=kind), path)
    found = read_nifti(files[0], path).labels
    assert found.dtype.kind in "ui"
    assert np.array_equal(found, labels)


def test_64_bit_labels_are_read(files, tmp_path):
    labels = files[3].astype(np.int64)
    path = tmp_path / "int64.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels, np.eye(4), dtype=np.int64), path)
    assert np.array_equal(read_subject(files[0], path).labels, labels)


@pytest.mark.parametrize("codes", ["LPS", "RAI", "PIR", "SLA"])
def test_labels_stored_in_another_orientation_are_turned_to_their_image(files, codes):
    """As they come from a tool that stores its results in an orientation of its own."""
    image_path, labels_path, image, labels = files
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    save(image_path, image, affine)
    plain = nibabel.Nifti1Image(labels, affine)
    turn = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(codes)
    )
    nibabel.save(plain.as_reoriented(turn), labels_path)
    assert "".join(nibabel.aff2axcodes(nibabel.load(labels_path).affine)) == codes
    raw = read_nifti(image_path, labels_path)
    assert np.array_equal(raw.image, image)
    assert np.array_equal(raw.labels, labels)
    assert raw.orientation == "RAS"


def turned_by(degrees):
    """An affine of voxels of 1 x 2 x 3 mm, turned about the third axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:2, :2] = [[c, -s], [s, c]]
    return affine @ np.diag([1, 2, 3, 1])


@pytest.mark.parametrize("degrees", [0, 20, -40])
def test_oblique_grids_keep_their_spacing(files, degrees):
    save(files[0], files[2], turned_by(degrees))
    save(files[1], files[3], turned_by(degrees))
    raw = read_nifti(*files[:2])
    assert raw.spacing == pytest.approx((1, 2, 3))
    assert np.array_equal(raw.labels, files[3])


def with_affine(path, array, affine):
    """Writes a file whose header holds an affine, however broken."""
    file = nibabel.Nifti1Image(array, None)
    file.header["sform_code"] = 1
    for name, row in zip(("srow_x", "srow_y", "srow_z"), affine, strict=False):
        file.header[name] = row
    nibabel.save(nibabel.Nifti1Image(array, None, file.header), path)
    np.testing.assert_allclose(nibabel.load(path).affine, affine, rtol=1e-5)
    return path


def sheared(by):
    affine = np.eye(4)
    affine[0, 1] = by
    return affine


def singular(value):
    affine = np.eye(4)
    affine[1, 1] = value
    return affine


def test_slight_shear_of_rounded_headers_is_accepted(files):
    with_affine(files[0], files[2], sheared(0.01))
    assert np.array_equal(read_nifti(files[0], None).image, files[2])


@pytest.mark.parametrize("affine", [sheared(1), sheared(0.1), sheared(-0.3)])
def test_sheared_grid_is_refused(files, affine):
    with_affine(files[0], files[2], affine)
    angle = abs(np.degrees(np.arctan(affine[0, 1])))
    words = rf"image.nii.gz: its affine is sheared \(axes differ from a right angle by {angle:.1f} "
    refused(words, files[0])


@pytest.mark.parametrize("value", [0, np.nan, np.inf])
def test_grid_without_a_place_is_refused(files, value):
    words = "image.nii.gz: its affine is not invertible, so orientation and spacing are unknown"
    with_affine(files[0], files[2], singular(value))
    refused(words, files[0])


@pytest.mark.parametrize("affine", [singular(0), singular(np.nan), singular(np.inf), sheared(1e9)])
def test_labels_without_a_place_are_refused_unless_it_is_ignored(files, affine):
    image_path, labels_path, _, labels = files
    with_affine(labels_path, labels, affine)
    refused("labels.nii.gz: ", image_path, labels_path)
    raw = read_nifti(image_path, labels_path, ignore_affine=True)
    assert np.array_equal(raw.labels, labels)


def moved(x=0.0, size=1.0, mirrored=False):
    affine = np.diag([size, 1, 1, 1])
    affine[0, 3] = x
    return np.diag([-1, 1, 1, 1]) @ affine if mirrored else affine


@pytest.mark.parametrize(
    ("affine", "shift"),
    [
        (moved(x=3), 3),
        (moved(x=-0.6), 0.6),
        (moved(x=1), 1),
        (moved(size=2), 4),  # the fifth voxel is at 8 mm, not at 4
        (moved(mirrored=True), 4),
    ],
)
def test_labels_that_lie_elsewhere_are_refused_unless_it_is_ignored(files, affine, shift):
    image_path, labels_path, image, labels = files
    save(labels_path, labels, affine)
    words = (
        r"labels.nii.gz: its affine disagrees with that of its image image.nii.gz: they place "
        rf"the same voxel up to {shift:.3g} voxel{'s' * (shift != 1)} apart. Correct the header"
    )
    refused(words, image_path, labels_path)
    raw = read_nifti(image_path, labels_path, ignore_affine=True)
    assert np.array_equal(raw.image, image)
    assert np.array_equal(raw.labels, labels)


def test_labels_less_than_half_a_voxel_away_are_accepted(files):
    save(files[1], files[3], moved(x=0.3))
    assert np.array_equal(read_nifti(*files[:2]).labels, files[3])


def test_ignored_place_of_labels_leaves_them_on_a_turned_image(files):
    """Both are turned alike, whatever the labels' header says."""
    save(files[0], files[2], np.diag([-1, 1, 1, 1]))
    raw = read_nifti(*files[:2], ignore_affine=True)
    assert np.array_equal(raw.image, files[2][::-1])
    assert np.array_equal(raw.labels, files[3][::-1])


@pytest.mark.parametrize(
    "kind",
    [np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]), np.complex64],
    ids=["rgb", "complex"],
)
def test_voxels_that_are_no_grey_values_are_refused(tmp_path, kind):
    path = save(tmp_path / "colour.nii.gz", np.zeros((3, 4, 5), kind))
    refused(r"colour.nii.gz: holds .* voxels, but needs one grey value per voxel", path)


@pytest.mark.parametrize("kept", [100, 347, 352, 500])
def test_uncompressed_file_cut_short_is_named(tmp_path, kept):
    path = save(tmp_path / "cut.nii", np.ones((5, 6, 7), np.float32))
    path.write_bytes(path.read_bytes()[:kept])
    refused(r"cut.nii: cannot be read as NIfTI; it is damaged or truncated \(", path)


@pytest.mark.parametrize(("unit", "edge"), [("mm", 0.5), ("micron", 500.0), ("meter", 5e-4)])
def test_edges_are_in_mm_whatever_unit_the_header_names(tmp_path, unit, edge):
    image = nibabel.Nifti1Image(np.ones((5, 6, 7), np.uint8), np.diag([edge, edge, edge, 1]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "image.nii.gz")
    raw = read_nifti(tmp_path / "image.nii.gz", None)
    assert raw.spacing == pytest.approx((0.5, 0.5, 0.5))
    assert np.diag(raw.affine)[:3] == pytest.approx([0.5] * 3)


def test_unit_of_a_code_that_nobody_knows_is_mm(tmp_path):
    image = nibabel.Nifti1Image(np.ones((5, 6, 7), np.uint8), np.diag([2, 2, 2, 1.0]))
    image.header["xyzt_units"] = 7
    nibabel.save(image, tmp_path / "image.nii.gz")
    assert read_nifti(tmp_path / "image.nii.gz", None).spacing == pytest.approx((2, 2, 2))


def test_qform_that_cannot_be_read_is_told(tmp_path):
    image = nibabel.Nifti1Image(np.ones((5, 6, 7), np.uint8), np.eye(4))
    image.set_sform(np.eye(4), code=1)
    image.header["qform_code"] = 1
    image.header["quatern_b"] = 5
    nibabel.save(image, tmp_path / "image.nii")
    assert (
        disagreement(tmp_path / "image.nii") == "its qform cannot be read; the suite uses the sform"
    )
    assert read_nifti(tmp_path / "image.nii", None).image.shape == (5, 6, 7)


def test_sform_and_qform_that_differ_are_told(tmp_path):
    image = nibabel.Nifti1Image(np.ones((5, 6, 7), np.uint8), np.eye(4))
    path = tmp_path / "image.nii.gz"
    nibabel.save(image, path)
    assert disagreement(path) is None
    moved = np.eye(4)
    moved[0, 3] = 30
    image.set_qform(moved, code=1)
    image.set_sform(np.eye(4), code=1)
    nibabel.save(image, path)
    assert disagreement(path) == (
        "sform and qform put a voxel up to 30 mm apart; the suite uses the sform"
    )
    np.testing.assert_array_equal(read_nifti(path, None).affine, np.eye(4))


@pytest.mark.parametrize(
    ("kind", "top"), [(np.uint8, 2), (np.uint8, 4), (np.int16, 4), (np.int16, 199)]
)
def test_labels_that_nibabel_scaled_are_whole(files, tmp_path, kind, top):
    """Floats saved as integers get a scale factor, by which 2 comes back as 2.0000001."""
    image = files[0]
    shape = nibabel.load(image).shape
    labels = np.arange(np.prod(shape)).reshape(shape) % (top + 1.0)
    scaled = nibabel.Nifti1Image(labels, nibabel.load(image).affine)
    scaled.set_data_dtype(kind)
    path = tmp_path / "scaled.nii"
    nibabel.save(scaled, path)
    stored = np.asarray(nibabel.load(path).dataobj)
    assert np.any(stored != np.round(stored))
    assert np.array_equal(whole(stored, path), labels)


@pytest.mark.parametrize("broken", [0.5, 1.3, np.nan])
def test_scaled_labels_that_are_no_whole_numbers_are_refused(tmp_path, broken):
    labels = np.zeros((4, 4, 4))
    labels[0, 0], labels[0, 0, 0] = 4, 0 if np.isnan(broken) else broken
    path = tmp_path / "scaled.nii"
    scaled = nibabel.Nifti1Image(labels, np.eye(4))
    scaled.set_data_dtype(np.int16)
    nibabel.save(scaled, path)
    stored = np.asarray(nibabel.load(path).dataobj)
    stored[0, 0, 0] = broken
    with pytest.raises(DataError, match=rf"label {str(broken)[:3]}.* is not a whole number"):
        whole(stored, path)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize(
    ("place", "form", "values"),
    [(108, "f", [0]), (108, "f", [-1]), (108, "f", [1e30]), (40, "4h", [3, 2000, 2000, 500])],
    ids=["inside the header", "before the file", "beyond the file", "more than there is room for"],
)
def test_header_that_does_not_say_where_voxels_are_is_refused(tmp_path, name, place, form, values):
    """nibabel read the header as voxels, or reserved 4 GB."""
    path = save(tmp_path / "x.nii", np.ones((5, 6, 7), np.int16))
    content = bytearray(path.read_bytes())
    struct.pack_into(f"<{form}", content, place, *values)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    refused(f"{name}: cannot be read as NIfTI; it is damaged or truncated", path)


@pytest.mark.parametrize("label", [1e30, -1e30])
def test_labels_beyond_whole_numbers_are_refused(label):
    with pytest.raises(DataError, match=r"label 1e\+30 exceeds 9007199254740992"):
        whole(np.array([0.0, label]), Path("x.nii"))
