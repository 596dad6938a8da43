"""The size of a pixel: what TIFF files state, what a user gives, and the unit of distances."""

import struct

import numpy as np
import pytest
import tifffile
from image_files import gradient, write_tiff

from bench.data import TiffStacks, prepare
from bench.data.check import check
from bench.data.files.images import read_raw
from bench.data.files.tiff_spacing import pixel_edges
from bench.data.lengths import listed, readable
from bench.errors import ConfigError, DataError

IMAGE = gradient((8, 10))
SPLITS = {"train": ("a", [0, 5]), "val": ("a", [5, 7]), "test": ("b", None)}


@pytest.mark.parametrize(
    ("options", "edges"),
    [
        ({"imagej": True, "metadata": {"axes": "ZYX", "unit": "um", "spacing": 3.0}}, 3e-3),
        ({"imagej": True, "metadata": {"axes": "ZYX", "unit": "um"}}, None),
        ({"resolutionunit": "CENTIMETER"}, None),
    ],
    ids=["spacing", "no spacing", "no ImageJ"],
)
def test_slices_are_as_far_apart_as_the_file_says_or_voxels_have_no_size(tmp_path, options, edges):
    path = write_tiff(tmp_path / "volume.tif", np.stack([IMAGE] * 4), resolution=(2, 4), **options)
    raw = read_raw([path], None, 3)
    assert raw.shape == (10, 8, 4)
    if edges is None:
        assert pixel_edges(path) is not None
        assert (raw.spacing, raw.unit) == ((1, 1, 1), "px")
    else:
        assert raw.spacing == pytest.approx((5e-4, 2.5e-4, edges))
        assert raw.unit == "mm"


@pytest.fixture
def root(tmp_path):
    """Two stacks of which no two pages are alike."""
    draw = np.random.default_rng(0)
    for name, count in (("a", 7), ("b", 5)):
        pages = draw.integers(0, 200, (count, *IMAGE.shape), np.uint8)
        write_tiff(tmp_path / "stacks" / f"{name}.tif", pages)
    return tmp_path / "stacks"


def source(root, **settings):
    return TiffStacks(
        name="stacks",
        ndim=2,
        root=root,
        splits={
            split: {"images": f"{name}.tif", "slices": slices}
            for split, (name, slices) in SPLITS.items()
        },
        pairs=dict.fromkeys(SPLITS, "next"),
        **settings,
    )


def written(tmp_path, **options):
    return write_tiff(tmp_path / "image.tif", IMAGE, **options)


def of_ome(tmp_path, **metadata):
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(path, IMAGE, photometric="minisblack", metadata={"axes": "YX", **metadata})
    return path


@pytest.mark.parametrize(
    ("metadata", "edges"),
    [
        ({"PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}, (5e-4, 2.5e-4)),  # µm by default
        (
            {
                "PhysicalSizeY": 4.6,
                "PhysicalSizeYUnit": "nm",
                "PhysicalSizeX": 2,
                "PhysicalSizeXUnit": "mm",
            },
            (4.6e-6, 2),
        ),
        ({"PhysicalSizeX": 0.25}, None),
        ({"PhysicalSizeY": 0, "PhysicalSizeX": 0.25}, None),
        (
            {
                "PhysicalSizeY": 1,
                "PhysicalSizeYUnit": "pixel",
                "PhysicalSizeX": 1,
                "PhysicalSizeXUnit": "pixel",
            },
            None,
        ),
        ({}, None),
    ],
)
def test_ome_files_state_physical_sizes(tmp_path, metadata, edges):
    assert pixel_edges(of_ome(tmp_path, **metadata)) == (edges and pytest.approx(edges))


@pytest.mark.parametrize(
    ("unit", "edges"),
    [
        ("micron", (2.5e-4, 5e-4)),
        ("um", (2.5e-4, 5e-4)),
        ("\\u00B5m", (2.5e-4, 5e-4)),
        ("mm", (0.25, 0.5)),
        ("inch", (6.35, 12.7)),
        ("pixel", None),
        (None, None),
    ],
)
def test_imagej_files_state_pixels_in_a_unit(tmp_path, unit, edges):
    metadata = {"unit": unit} if unit else {}
    path = written(tmp_path, imagej=True, resolution=(2, 4), metadata=metadata)
    assert pixel_edges(path) == (edges and pytest.approx(edges))


@pytest.mark.parametrize(
    ("resolution", "unit", "edges"),
    [
        ((100, 200), "CENTIMETER", (0.05, 0.1)),
        ((25400, 25400), "INCH", (1e-3, 1e-3)),
        ((72, 72), "INCH", None),  # of a screen
        ((300, 300), "INCH", None),  # of a printer
        ((100, 200), "NONE", None),
    ],
)
def test_resolution_counts_if_it_is_per_length(tmp_path, resolution, unit, edges):
    path = written(tmp_path, resolution=resolution, resolutionunit=unit)
    assert pixel_edges(path) == (edges and pytest.approx(edges))


def test_a_plain_file_states_nothing(tmp_path):
    path = written(tmp_path)
    assert pixel_edges(path) is None
    assert read_raw([path], None, 2).unit == "px"


@pytest.mark.parametrize("value", [(5, 0), (5, 2), (3, 1), (2, 4)])
def test_resolution_that_is_no_number_is_refused(tmp_path, value):
    path = written(tmp_path, resolution=(50, 50), resolutionunit="CENTIMETER")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["YResolution"]
    # its kind (rational, SHORT, ASCII) and how many it holds
    content[tag.offset + 2 : tag.offset + 8] = struct.pack(file.byteorder + "HI", *value)
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"image.tif: its YResolution is .*, which is not a number"):
        pixel_edges(path)


@pytest.mark.parametrize("spacing", ["wide", -3.0, 0, "nan", "inf"])
def test_spacing_of_slices_that_is_no_number_above_0_is_refused(tmp_path, spacing):
    """The sizes along X and Y would be left out with it."""
    path = tmp_path / "x.tif"
    metadata = {"axes": "ZYX", "unit": "um", "spacing": spacing}
    write_tiff(path, np.zeros((3, 4, 5), np.uint8), imagej=True, metadata=metadata)
    with pytest.raises(
        DataError, match=rf"its ImageJ spacing is '?{spacing}'?, which is not a number"
    ):
        pixel_edges(path, "ZYX")


def test_another_unit_is_refused_until_a_size_is_given(root, tmp_path):
    for name in "ab":
        state(root / f"{name}.tif", 0.5, "furlong")
    with pytest.raises(DataError, match=r"pixels of 0.5 furlong, .* Set dataset.pixel_size, in mm"):
        prepare(source(root), tmp_path / "cache")
    assert prepare(source(root, pixel_size=0.5), tmp_path / "cache").spacing == (0.5, 0.5)


def state(path, size, unit="um"):
    """Writes a file again, with the size of its pixels as ImageJ does."""
    pages, resolution = tifffile.imread(path), (1 / size, 1 / size)
    write_tiff(path, pages, imagej=True, resolution=resolution, metadata={"unit": unit})


def test_a_set_has_the_spacing_of_its_files(root, tmp_path):
    unknown = prepare(source(root), tmp_path / "cache")
    assert (unknown.spacing, unknown.unit) == ((1, 1), "px")
    for name in "ab":
        state(root / f"{name}.tif", 0.5)
    known = prepare(source(root), tmp_path / "cache")
    assert known.spacing == pytest.approx((0.5, 0.5), rel=1e-4)
    assert known.unit == "µm"
    assert np.array_equal(known.images, unknown.images)
    direct = prepare(source(root), None)
    assert (direct.spacing, direct.unit) == (known.spacing, "µm")


def test_files_that_say_nothing_do_not_go_with_others(root, tmp_path):
    state(root / "a.tif", 0.5)
    words = r"subject b.tif/000 does not state the size .* Set dataset.pixel_size, in mm"
    with pytest.raises(DataError, match=words):
        prepare(source(root), tmp_path / "cache")
    faults = check(source(root)).faults
    assert "7 files state the size of their voxels, 5 do not. Set dataset.pixel_size" in faults[0]
    dataset = prepare(source(root, pixel_size=[5e-4, 0.001]), tmp_path / "cache")
    assert dataset.spacing == pytest.approx((0.5, 1))
    report = check(source(root, pixel_size=[5e-4, 0.001]))
    assert not report.faults
    assert list(report.splits["test"].spacings) == ["0.5 x 1 µm"]


@pytest.mark.parametrize("size", [0, -1, "wide", [1], [1, 2, 3], [1, 0], True, float("inf")])
def test_a_size_that_is_none_is_refused(root, size):
    with pytest.raises(
        ConfigError, match=r"^dataset.pixel_size=.*: must be a number above 0 in mm"
    ):
        source(root, pixel_size=size)


def test_a_size_counts_for_the_identity_once_it_is_given(root):
    assert "pixel_size" not in source(root).settings()
    assert source(root, pixel_size=2).settings()["pixel_size"] == 2


def test_distances_are_in_a_unit_with_few_digits():
    assert readable((1.0, 0.5), "mm") == ((1.0, 0.5), "mm")
    assert readable((1.0, 1.0), "px") == ((1.0, 1.0), "px")
    assert listed((6.5e-4, 6.5e-4), "mm") == "0.65 x 0.65 µm"
    assert listed((4.6e-6, 4.6e-6), "mm") == "4.6 x 4.6 nm"
    assert listed((4.6e-6, 5e-5), "mm") == "4.6 x 50 nm"
