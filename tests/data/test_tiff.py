"""TIFF stacks: what becomes a grey value or a label id, and what is refused."""

import contextlib
import struct

import numpy as np
import pytest
import tifffile
from image_files import write_tiff

from bench.data.files.tiff import (
    read_channels,
    read_label_slices,
    read_labels,
    read_slices,
)
from bench.data.files.tiff_stack import count_pages
from bench.errors import DataError

GREY_PALETTE = np.tile(np.arange(256, dtype=np.uint16)[::-1] * 257, (3, 1))  # 0 is white
RED, GREEN, BLACK = (200, 10, 0), (0, 255, 1), (0, 0, 0)
COLORS = {BLACK: 0, RED: 5, GREEN: 9}


def read_image(path, page):
    """A page of one channel."""
    (image,) = read_channels(path, page)
    return image


def pages_of(kind=np.uint8, shape=(5, 16, 20)):
    values = np.random.default_rng(0).integers(0, 200, shape)
    if kind is bool:
        return values > 100
    return (values * 257 if np.dtype(kind).itemsize == 2 else values).astype(kind)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "stack.tif"


def assert_holds(path, pages, read=read_image):
    assert count_pages(path) == len(pages)
    for i, page in enumerate(pages):
        found = read(path, i)
        assert found.dtype.isnative
        assert np.array_equal(found, page)


def refused(words, path, read=read_image, *further):
    with pytest.raises(DataError, match=words) as raised:
        read(path, 0, *further)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    "kind", [np.uint8, np.uint16, np.uint32, np.int8, np.int16, np.float16, np.float32, np.float64]
)
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_grey_values_are_read_as_they_are(path, kind, byteorder):
    pages = np.abs(pages_of(kind)) if np.dtype(kind).kind == "i" else pages_of(kind)
    pages = np.where(pages < 0, 0, pages)  # the least int8 has no positive twin
    write_tiff(path, pages, byteorder=byteorder)
    assert_holds(path, pages)
    assert read_image(path, 0).dtype.kind in "uf"
    assert read_image(path, 0).dtype.itemsize == np.dtype(kind).itemsize


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32])
def test_negative_pixels_are_refused(path, kind):
    write_tiff(path, np.full((3, 8, 9), -3, kind))
    words = rf"has negative {kind.__name__} pixels \(minimum -3\). Save it as float32, or add"
    refused(words, path)


def test_bilevel_images_are_read_as_0_and_1(path):
    pages = pages_of(bool)
    write_tiff(path, pages)
    assert_holds(path, pages.astype(np.uint8))
    assert read_image(path, 0).dtype == np.uint8


VOLUME = pages_of(np.uint16, (4, 6, 5))


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (VOLUME, {}),
        (VOLUME, {"imagej": True, "metadata": {"axes": "ZYX"}}),
        (VOLUME, {"ome": True, "metadata": {"axes": "ZYX"}}),
        (VOLUME.astype(np.float32), {"compression": "zlib"}),
    ],
)
def test_pages_are_the_slices_of_a_volume(path, array, options):
    write_tiff(path, array, **options)
    assert np.array_equal(read_slices(path)[:, 0], array)
    assert np.array_equal(read_label_slices(path), array)


def test_files_of_a_page_after_the_other_are_volumes(path):
    with tifffile.TiffWriter(path) as file:
        for page in VOLUME:
            file.write(page, photometric="minisblack", contiguous=False)
    assert np.array_equal(read_slices(path)[:, 0], VOLUME)


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX"])
def test_volumes_have_channels_along_axis_c(path, axes):
    both = np.stack([VOLUME, VOLUME[::-1]], axis=axes.index("C"))
    write_tiff(path, both, ome=True, metadata={"axes": axes})
    assert np.array_equal(read_slices(path), np.stack([VOLUME, VOLUME[::-1]], axis=1))
    with pytest.raises(DataError, match="has 2 channels; a label map has one id"):
        read_label_slices(path)


@pytest.mark.parametrize("read", [read_slices, read_label_slices])
@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (
            VOLUME,
            {"imagej": True, "metadata": {"axes": "TYX"}},
            r"its 4 pages as times \(axis T\).*ImageJ: Image > Properties; tifffile: metadata=",
        ),
        (
            VOLUME,
            {"ome": True, "metadata": {"axes": "CYX"}},
            r"its 4 pages as channels of one 2D image \(axis C\), but a volume needs slices",
        ),
        (VOLUME[0], {}, "is a 2D image of one page, but the data set needs vol"),
        (
            VOLUME[:3],
            {"photometric": "rgb", "planarconfig": "separate"},
            "of one page, whose planes are colours, but the data set.*photometric='minisblack'",
        ),
        (
            np.stack([VOLUME, VOLUME]),
            {"imagej": True, "metadata": {"axes": "TZYX"}},
            "has the axes TZYX of lengths .*Save each time point as a separate file",
        ),
    ],
)
def test_pages_that_are_no_slices_are_told(path, read, array, options, words):
    write_tiff(path, array, **options)
    with pytest.raises(DataError, match=words) as raised:
        read(path)
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_complex_pixels_are_refused(path):
    write_tiff(path, pages_of(np.complex64))
    for read in (read_image, read_labels):
        refused("holds complex64 pixels", path, read)


@pytest.mark.parametrize("compression", ["deflate", "lzw", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_compressed_pages_are_read(path, compression, kind, byteorder):
    pages = pages_of(kind)
    write_tiff(path, pages, compression=compression, byteorder=byteorder, rowsperstrip=4)
    assert_holds(path, pages)
    assert_holds(path, pages, read_labels)


@pytest.mark.parametrize(
    "options",
    [
        {"bigtiff": True},
        {"imagej": True},
        {"imagej": True, "metadata": {"axes": "TYX"}},
        {"metadata": None},
        {"metadata": None, "bigtiff": True, "compression": "deflate"},
        {"tile": (16, 16)},
        {"predictor": True, "compression": "deflate"},
        {"ome": True},
    ],
    ids=str,
)
def test_other_kinds_of_stacks_are_read(path, options):
    pages = pages_of()
    write_tiff(path, pages, **options)
    assert_holds(path, pages)
    assert_holds(path, pages, read_labels)


def test_hyperstack_of_one_channel_and_time_is_a_stack(path):
    pages = pages_of(np.uint16)
    write_tiff(path, pages[None, :, None], imagej=True, metadata={"axes": "TZCYX"})
    assert tifffile.TiffFile(path).is_imagej
    assert_holds(path, pages)


def test_pages_written_one_by_one_are_a_stack(path):
    pages = pages_of()
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, photometric="minisblack", contiguous=False)
    assert_holds(path, pages)


@pytest.mark.parametrize("shape", [(16, 20), (1, 16, 20), (1, 1, 7), (7, 1)])
def test_single_image_is_a_stack_of_one_page(path, shape):
    image = pages_of(shape=shape)
    write_tiff(path, image)
    assert_holds(path, image.reshape(1, *shape[-2:]))


@pytest.mark.parametrize("shape", [(5, 1, 7), (3, 8, 3), (4, 8, 4)])
def test_narrow_pages_stay_pages(path, shape):
    pages = pages_of(shape=shape)
    write_tiff(path, pages)
    assert_holds(path, pages)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_images_that_are_all_grey_become_grey(path, samples, planar):
    pages = pages_of()
    colour = np.stack([pages] * 3 + [np.full_like(pages, 7)] * (samples - 3), -1)
    alpha = {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    if planar == "separate":
        colour = np.moveaxis(colour, -1, 1)
    write_tiff(path, colour, photometric="rgb", planarconfig=planar, **alpha)
    assert_holds(path, pages)


def test_transparency_of_grey_images_is_left_out(path):
    pages = pages_of()
    pair = np.stack([pages, np.full_like(pages, 255)], -1)
    write_tiff(path, pair, extrasamples=["unassalpha"], planarconfig="contig")
    assert_holds(path, pages)
    assert_holds(path, pages, read_labels)


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_coloured_images_have_three_channels(path, samples, planar):
    colour = pages_of(shape=(5, 16, 20, samples))
    colour[..., 3:] = 255
    stored = colour if planar == "contig" else np.moveaxis(colour, -1, 1)
    write_tiff(path, stored, photometric="rgb", planarconfig=planar)
    assert_holds(path, np.moveaxis(colour[..., :3], -1, 1), read_channels)


def test_transparency_that_varies_is_refused(path):
    colour = pages_of(shape=(5, 16, 20, 4))
    write_tiff(path, colour, photometric="rgb", extrasamples=["unassalpha"])
    refused("has an alpha channel with varying transparency. Flatten", path)
    pair = pages_of(shape=(5, 16, 20, 2))
    write_tiff(path, pair, extrasamples=["unassalpha"], planarconfig="contig")
    refused("has an alpha channel", path)


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ("ZCYX", {"imagej": True}),
        ("ZCYX", {"ome": True}),
        ("CZYX", {"ome": True}),
        ("TCYX", {"ome": True}),
    ],
)
def test_axis_c_has_the_channels(path, axes, options):
    sizes = {"Z": 5, "T": 5, "C": 2, "Y": 16, "X": 20}
    stored = pages_of(np.uint16, [sizes[axis] for axis in axes])
    write_tiff(path, stored, metadata={"axes": axes}, **options)
    pages = stored.swapaxes(0, 1) if axes[0] == "C" else stored
    assert_holds(path, pages, read_channels)
    refused("has 2 channels; a label map has one id", path, read_labels)


@pytest.mark.parametrize("options", [{"imagej": True}, {"ome": True}], ids=str)
def test_axis_c_alone_has_channels_of_an_image_or_slices_of_a_stack(path, options):
    stored = pages_of(np.uint16, (3, 16, 20))
    write_tiff(path, stored, metadata={"axes": "CYX"}, **options)
    assert np.array_equal(read_channels(path, None), stored)
    assert_holds(path, stored)


def test_stack_where_one_image_is_needed_is_refused(path):
    write_tiff(path, pages_of())
    for read in (read_channels, read_labels):
        with pytest.raises(DataError, match="has 5 pages, but the data set needs one"):
            read(path, None)


def test_samples_that_are_neither_colour_nor_transparency_are_channels(path):
    stored = pages_of(shape=(16, 20, 5))
    extra = ["unspecified"] * 4
    write_tiff(path, stored, planarconfig="contig", extrasamples=extra)
    assert_holds(path, np.moveaxis(stored, -1, 0)[None], read_channels)


def test_colours_for_printing_are_refused(path):
    write_tiff(path, pages_of(shape=(16, 20, 4)), photometric="separated")
    refused("holds SEPARATED pixels, but images must be grey or RGB. Convert", path)


def test_grey_palette_becomes_grey(path):
    positions = pages_of()
    write_tiff(path, positions, photometric="palette", colormap=GREY_PALETTE)
    assert_holds(path, 255 - positions)


def test_palette_of_eight_bits_is_not_black(path):
    positions = pages_of()
    write_tiff(path, positions, photometric="palette", colormap=GREY_PALETTE // 257)
    assert_holds(path, 255 - positions)


def test_coloured_palette_becomes_colours_but_labels_are_its_positions(path):
    positions = pages_of()
    palette = GREY_PALETTE.copy()
    palette[0, 7] = 1000
    write_tiff(path, positions, photometric="palette", colormap=palette)
    colours = np.moveaxis((palette.T >> 8)[positions], -1, 1)
    assert_holds(path, colours, read_channels)
    assert_holds(path, positions, read_labels)


@pytest.mark.parametrize(
    "second",
    [
        {"photometric": "palette", "colormap": GREY_PALETTE[:, ::-1]},
        {"photometric": "minisblack"},
    ],
)
def test_pages_of_different_palettes_are_refused(path, second):
    first = {"photometric": "palette", "colormap": GREY_PALETTE}
    with tifffile.TiffWriter(path) as file:
        for page, options in zip(pages_of(), (first, first, second), strict=False):
            file.write(page, contiguous=False, metadata=None, **options)
    for read in (read_image, read_labels):
        refused("page 2 has another palette than page 0. Save all pages with one", path, read)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_images_whose_0_is_white_are_inverted_but_labels_are_not(path, kind):
    pages = pages_of(kind)
    write_tiff(path, pages, photometric="miniswhite")
    assert_holds(path, np.iinfo(kind).max - pages)
    assert_holds(path, pages, read_labels)


def test_bilevel_images_whose_0_is_white_are_inverted(path):
    pages = pages_of(bool)
    write_tiff(path, pages, photometric="miniswhite")
    assert_holds(path, (~pages).astype(np.uint8))


def test_grey_labels_are_read_as_they_are(path):
    for kind in (np.uint8, np.uint16, np.int32, np.float16, np.float32, bool):
        pages = pages_of(kind)
        write_tiff(path, pages)
        assert_holds(path, pages, read_labels)
        assert read_labels(path, 0).dtype.kind in "ui"


def test_large_label_ids_are_not_rounded(path):
    pages = np.array([[[2**24 + 1, 0, 2**32 - 1, 2]]], np.uint32)
    write_tiff(path, pages)
    assert_holds(path, pages, read_labels)
    write_tiff(path, pages.astype(np.float64))
    assert_holds(path, pages, read_labels)


def test_labels_between_whole_numbers_are_refused(path):
    write_tiff(path, np.full((8, 9), 1.5, np.float32))
    words = r"label 1.5 is not a whole number. Save label maps as integers, resampled with nearest"
    refused(words, path, read_labels)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_labels_that_are_not_finite_are_refused(path, value):
    write_tiff(path, np.array([[1, 0], [value, 2]], np.float32))
    refused(f"label {value} is not a whole number. Save label maps as integers", path, read_labels)


@pytest.mark.parametrize("value", [-1e30, 2.0**54])
def test_labels_beyond_what_is_exact_are_refused(path, value):
    write_tiff(path, np.array([[1, 0], [value, 2]]))
    refused(rf"label .* exceeds {2**53}. Renumber labels from 0", path, read_labels)


def coloured(shape=(2, 6, 7), samples=3):
    """Positions of colours among `COLORS`, and the same in colour."""
    places = np.random.default_rng(0).integers(0, 3, shape)
    colour = np.array(list(COLORS), np.uint8)[places]
    if samples == 4:
        colour = np.concatenate([colour, np.full((*shape, 1), 255, np.uint8)], -1)
    return np.array(list(COLORS.values()))[places], colour


@pytest.mark.parametrize("samples", [3, 4])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colours_of_label_maps_become_their_ids(path, samples, planar):
    ids, colour = coloured(samples=samples)
    stored = colour if planar == "contig" else np.moveaxis(colour, -1, 1)
    write_tiff(path, stored, photometric="rgb", planarconfig=planar)
    assert_holds(path, ids, lambda path, page: read_labels(path, page, COLORS))


def test_unknown_colour_of_a_label_map_is_named(path):
    _, colour = coloured()
    colour[0, 2, 3] = 1, 2, 3
    write_tiff(path, colour, photometric="rgb")
    words = r"colour \(1, 2, 3\) is not in dataset.colors. Add the colour with its"
    refused(words, path, read_labels, COLORS)


@pytest.mark.parametrize("colors", [None, {}])
def test_colours_of_label_maps_must_be_said(path, colors):
    write_tiff(path, coloured()[1], photometric="rgb")
    words = "holds colours, but labels must be ids. Map each"
    refused(words, path, read_labels, colors)


def test_colours_of_16_bits_are_not_taken_for_others(path):
    colour = np.zeros((4, 8, 3), np.uint16)
    colour[0] = 0, 0, 256  # not (0, 1, 0)
    write_tiff(path, colour, photometric="rgb")
    refused(r"stack.tif: .*(colour|uint16)", path, read_labels, {(0, 0, 0): 0, (0, 1, 0): 1})


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((2, 3, 16, 20), {"ome": True, "metadata": {"axes": "TZYX"}}),
        ((2, 3, 16, 20), {}),
        ((2, 2, 2, 16, 20), {"imagej": True, "metadata": {"axes": "TZCYX"}}),
    ],
)
def test_several_times_of_stacks_are_refused(path, shape, options):
    write_tiff(path, pages_of(shape=shape), **options)
    lengths = ", ".join(str(n) for n in shape)
    words = rf"has the axes .* of lengths \({lengths}\); a stack of 2D pages is needed. Save"
    refused(words, path)


def test_pages_of_different_shape_are_refused(path):
    with tifffile.TiffWriter(path) as file:
        for shape in ((16, 20), (16, 20), (8, 20)):
            file.write(np.zeros(shape, np.uint8), photometric="minisblack")
    words = r"its pages differ in shape or kind \(.*\(8, 20\)\). Save a stack of equal pages"
    refused(words, path)


def test_pages_of_different_type_are_refused(path):
    with tifffile.TiffWriter(path) as file:
        for kind in (np.uint8, np.uint16):
            file.write(np.zeros((16, 20), kind), photometric="minisblack")
    refused("its pages differ in shape or kind", path)


def one_by_one(path, pages):
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, photometric="minisblack", contiguous=False, metadata=None)


WRITERS = {
    "plain": write_tiff,
    "deflate": lambda path, pages: write_tiff(path, pages, compression="deflate"),
    "lzw strips": lambda path, pages: write_tiff(path, pages, compression="lzw", rowsperstrip=4),
    "packbits strips": lambda p, pages: write_tiff(
        p, pages, compression="packbits", rowsperstrip=4
    ),
    "tiles": lambda path, pages: write_tiff(path, pages, tile=(16, 16)),
    "big": lambda path, pages: write_tiff(path, pages, bigtiff=True, metadata=None),
    "imagej": lambda path, pages: write_tiff(path, pages, imagej=True),
    "one by one": one_by_one,
    "one page": lambda path, pages: write_tiff(path, pages[:1]),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_file_cut_short_anywhere_is_refused_or_whole(path, writer):
    """Never fewer pages, never other pixels: a lost end may only be one that nothing needs."""
    pages = pages_of(shape=(4, 8, 20))
    WRITERS[writer](path, pages)
    data = path.read_bytes()
    count = count_pages(path)
    cut = path.with_name("cut.tif")
    wrong = []
    for kept in sorted({*range(20, len(data), 23), *range(len(data) - 20, len(data))}):
        cut.write_bytes(data[:kept])
        with contextlib.suppress(DataError):
            found = [read_image(cut, i) for i in range(count_pages(cut))]
            if len(found) != count or not np.array_equal(np.stack(found), pages[:count]):
                wrong.append(kept)
    assert wrong == [], f"cut from {len(data)} bytes"


@pytest.mark.parametrize("writer", WRITERS)
def test_last_header_that_is_lost_is_missed_without_help_from_the_reader(path, writer, monkeypatch):
    WRITERS[writer](path, pages_of(shape=(4, 8, 20)))
    with tifffile.TiffFile(path) as file:
        last = file.pages[-1]
        ends = [last.offset + 2, max(np.add(last.dataoffsets, last.databytecounts)) - 1]
    monkeypatch.setattr("logging.Logger.isEnabledFor", lambda self, level: False)
    data = path.read_bytes()
    for kept in ends:
        path.write_bytes(data[:kept])
        refused("cannot be read as TIFF; it is damaged or truncated", path)


@pytest.mark.parametrize("kept", [0, 1, 3, 5, 8, 12, 18, 0.1, 0.3, 0.5])
@pytest.mark.parametrize("big", [False, True])
def test_file_of_which_half_or_more_is_lost_is_refused(path, big, kept):
    write_tiff(path, pages_of(), bigtiff=big)
    data = path.read_bytes()
    path.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    words = "cannot be read as TIFF; it is damaged or truncated"
    refused(words, path)
    with pytest.raises(DataError, match=words):
        count_pages(path)


def test_file_of_another_kind_is_refused(path):
    path.write_bytes(b"<html>404 not found</html>" * 40)
    words = r"cannot be read as TIFF; it is damaged or truncated \(.*\). Copy or download it again"
    refused(words, path)
    refused(words, path, read_labels)


@pytest.mark.parametrize("edits", [{24: 1}, {10: 1, 182: 0}], ids=["kind of tag", "no width"])
def test_damaged_tag_is_refused(path, edits):
    """A height that is bytes, which tifffile compares with a number; a page of no pixels."""
    content = bytearray(write_tiff(path, np.zeros((5, 6), np.uint8)).read_bytes())
    for place, value in edits.items():
        content[place] = value
    path.write_bytes(content)
    refused("cannot be read as TIFF; it is damaged or truncated", path)


@pytest.mark.parametrize("name", ["ImageWidth", "ImageLength"])
def test_shape_of_which_the_file_cannot_hold_the_pixels_is_refused(path, name):
    """Nothing is allocated for it: that would take all memory, or be refused for another reason."""
    write_tiff(path, np.zeros((5, 6), np.float32), compression="zlib")
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags[name]
    content = bytearray(path.read_bytes())
    content[tag.offset + 2 : tag.offset + 12] = struct.pack(f"{file.byteorder}HII", 4, 1, 1 << 28)
    path.write_bytes(content)
    refused(r"damaged or truncated \(page 0 declares more pixels than it has room for\)", path)


def test_constant_image_of_any_compression_is_read(path):
    image = np.zeros((4096, 4096), np.uint8)
    for compression in ("zlib", "lzw", "lzma", "zstd"):
        write_tiff(path, image, compression=compression, rowsperstrip=4096)
        assert np.array_equal(read_channels(path, None)[0], image), compression


def test_damaged_compression_is_refused(path):
    write_tiff(path, pages_of(), compression="deflate")
    data = bytearray(path.read_bytes())
    start = tifffile.TiffFile(path).pages[0].dataoffsets[0]
    data[start : start + 60] = bytes(60)
    path.write_bytes(data)
    refused("cannot be read as TIFF; it is damaged or truncated", path)


OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" {uuid}><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="5" SizeY="6" SizeZ="{count}"'
    ' SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image>'
    "</OME>"
)
EVERY = "<TiffData/>"
OF_SLICE = '<TiffData FirstZ="{}" IFD="{}" PlaneCount="1">{}</TiffData>'
OF_FILE = '<UUID FileName="{}">urn:uuid:{}</UUID>'


def described(path, description, pages=VOLUME[:3], further=()):
    """Writes a page after the other, the first with a description, further pages at the end."""
    with tifffile.TiffWriter(path) as file:
        for page in (*pages, *further):
            options = {"photometric": "minisblack", "contiguous": False, "metadata": None}
            file.write(page, description=description, **options)
            description = None


def of_ome(count, data=EVERY, uuid=""):
    return OME.format(count=count, data=data, uuid=uuid)


@pytest.mark.parametrize("own", ["", 'UUID="urn:uuid:a"'])
@pytest.mark.parametrize("there", [True, False])
def test_image_of_several_files_is_refused(path, there, own):
    """Nobody watches the others for changes, and one that is missing would be zeros."""
    other = path.with_name("part2.tif")
    files = [(path.name, "a"), (path.name, "a"), (other.name, "b")]
    data = "".join(
        OF_SLICE.format(z, z % 2, OF_FILE.format(*names)) for z, names in enumerate(files)
    )
    described(path, of_ome(3, data, own), VOLUME[:2])
    if there:
        described(other, None, VOLUME[2:3])
    words = "is one of several files; its metadata refer to part2.tif. Save the image as one file"
    refused(words, path)
    with pytest.raises(DataError, match=words):
        count_pages(path)


def test_ome_file_that_names_itself_is_read(path):
    for own, name in (("", path.name), ('UUID="urn:uuid:a"', "as it was called before.tif")):
        data = "".join(OF_SLICE.format(z, z, OF_FILE.format(name, "a")) for z in range(3))
        described(path, of_ome(3, data, own))
        assert np.array_equal(read_slices(path)[:, 0], VOLUME[:3])


IMAGEJ = "ImageJ=1.53t\nimages={0}\n"
GAPS = "".join(OF_SLICE.format(z, page, "") for page, z in enumerate((0, 2, 4)))
TWICE = "".join(OF_SLICE.format(z, page, "") for z, page in enumerate((0, 0, 2)))


@pytest.mark.parametrize(
    ("description", "stated", "held"),
    [
        (of_ome(5), "5 pages", 3),
        (of_ome(2), "2 pages", 3),
        (of_ome(1), "1 page", 3),
        (of_ome(5, GAPS), "5 pages", 3),
        (of_ome(3, TWICE), "3 pages", 2),
        (of_ome(10**12), f"{10**12} pages", 3),  # for which tifffile would make a list
        (of_ome(3, f'<TiffData IFD="0" PlaneCount="{10**12}"/>'), f"{10**12} pages", 3),
        (IMAGEJ.format(5), "5 pages", 3),
        (IMAGEJ.format(5) + "slices=5\n", "5 pages", 3),
        (IMAGEJ.format(2) + "slices=2\n", "2 pages", 3),
        ('{"shape": [5, 6, 5]}', "5 pages", 3),
    ],
)
def test_pages_are_as_many_as_the_metadata_state(path, description, stated, held):
    described(path, description)
    words = f"its metadata declare {stated}, but it holds {held}. Copy it again if it is"
    refused(words, path)
    with pytest.raises(DataError, match=words):
        count_pages(path)


@pytest.mark.parametrize("description", [IMAGEJ + "slices={0}\n", '{{"shape": [{0}, 6, 5]}}'])
def test_stack_with_one_header_is_read_if_its_pixels_are_there(path, description):
    """As ImageJ and tifffile write those above 4 GB."""
    options = {"truncate": True, "metadata": None}
    write_tiff(path, VOLUME, description=description.format(4), **options)
    assert len(tifffile.TiffFile(path).pages) == 1
    assert_holds(path, VOLUME)
    write_tiff(path, VOLUME, description=description.format(3000000), **options)
    refused("its metadata declare 3000000 pages, but it holds 1", path)


def test_thumbnail_behind_the_pages_is_none_of_them(path):
    every = "".join(OF_SLICE.format(z, z, "") for z in range(3))
    described(path, of_ome(3, every), VOLUME[:3], further=[VOLUME[0, :2, :2]])
    assert_holds(path, VOLUME[:3])


def test_smaller_copies_of_a_pyramid_are_no_pages(path):
    with tifffile.TiffWriter(path, ome=True) as file:
        options = {"photometric": "minisblack", "tile": (16, 16)}
        pages = pages_of(shape=(3, 64, 48))
        file.write(pages, subifds=1, metadata={"axes": "ZYX"}, **options)
        file.write(pages[:, ::2, ::2], subfiletype=1, **options)
    assert_holds(path, pages)


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ("ZYXS", {"imagej": True}),
        ("ZYXS", {"ome": True}),
        ("ZSYX", {"ome": True, "planarconfig": "separate"}),
        ("TZCYX", {"imagej": True}),
        ("TZCYX", {"ome": True, "compression": "zlib"}),
    ],
)
def test_pages_of_colours_and_hyperstacks_are_counted_as_written(path, axes, options):
    sizes = {"T": 1, "Z": 4, "C": 2, "S": 3, "Y": 16, "X": 20}
    stored = pages_of(shape=[sizes[axis] for axis in axes])
    colour = {"photometric": "rgb"} if "S" in axes else {}
    write_tiff(path, stored, metadata={"axes": axes}, **colour, **options)
    pages = np.moveaxis(stored, axes.index("S"), 1) if "S" in axes else stored[0]
    assert_holds(path, pages, read_channels)


def test_missing_file_is_named(tmp_path):
    words = "gone.tif: no such file. Copy it there, or point dataset.root elsewhere"
    refused(words, tmp_path / "gone.tif")


def test_file_that_changes_is_read_anew(path):
    for shape in ((2, 8, 9), (3, 8, 9)):
        pages = pages_of(shape=shape)
        write_tiff(path, pages)
        assert_holds(path, pages)
