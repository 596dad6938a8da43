"""PNG and JPEG: grey, colour, transparency and labels."""

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from bench.data.files.images import read_raw
from bench.data.files.pictures import read_picture, read_picture_labels
from bench.errors import DataError

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 255, (8, 11)).astype(np.uint8)
COLOUR = RANDOM.integers(0, 255, (8, 11, 3)).astype(np.uint8)


def png(path, values):
    path.write_bytes(imagecodecs.png_encode(values))
    return path


def refused(words, function, *arguments):
    with pytest.raises(DataError, match=words) as caught:
        function(*arguments)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_grey_and_colour_are_channels(tmp_path, kind):
    scale = np.iinfo(kind).max // 255
    grey, colour = (values.astype(kind) * scale for values in (GREY, COLOUR))
    found = read_picture(png(tmp_path / "grey.png", grey))
    assert found.dtype == kind
    assert np.array_equal(found, grey[None])
    assert np.array_equal(read_picture(png(tmp_path / "a.png", colour)), np.moveaxis(colour, -1, 0))
    as_colour = np.stack([grey] * 3, -1)
    assert np.array_equal(read_picture(png(tmp_path / "b.png", as_colour)), grey[None])


def test_transparency_is_left_out_where_it_says_nothing(tmp_path):
    opaque = np.concatenate([COLOUR, np.full_like(COLOUR[..., :1], 255)], -1)
    found = read_picture(png(tmp_path / "opaque.png", opaque))
    assert np.array_equal(found, np.moveaxis(COLOUR, -1, 0))
    opaque[2, 3, 3] = 0
    words = "clear.png: has an alpha channel with varying transparency. Flatten"
    refused(words, read_picture, png(tmp_path / "clear.png", opaque))


def test_jpeg_is_an_image_but_no_label_map(tmp_path):
    smooth = np.add.outer(np.arange(32), np.arange(24)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "grey.jpg", quality=100)
    found = read_picture(tmp_path / "grey.jpg")
    assert np.abs(found[0].astype(int) - smooth).max() <= 2
    Image.fromarray(COLOUR).save(tmp_path / "colour.jpg")
    assert read_picture(tmp_path / "colour.jpg").shape == (3, 8, 11)
    words = "grey.jpg: is a JPEG, and its compression changes label ids. Export"
    refused(words, read_raw, [tmp_path / "grey.jpg"], tmp_path / "grey.jpg", 2)
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "print.jpg")
    refused("print.jpg: holds CMYK colours, but images", read_picture, tmp_path / "print.jpg")


def test_labels_are_ids_palette_positions_or_colours(tmp_path):
    ids = RANDOM.integers(0, 3, (8, 11)).astype(np.uint16) * 300
    assert np.array_equal(read_picture_labels(png(tmp_path / "ids.png", ids)), ids)
    palette = Image.fromarray((ids // 300).astype(np.uint8), "P")
    palette.putpalette([0, 0, 0, 200, 10, 0, 0, 255, 1])
    palette.save(tmp_path / "palette.png")
    assert np.array_equal(read_picture_labels(tmp_path / "palette.png"), ids // 300)
    assert read_picture(tmp_path / "palette.png").shape == (3, 8, 11)
    colours = np.array([[0, 0, 0], [200, 10, 0], [0, 255, 1]], np.uint8)[ids // 300]
    path = png(tmp_path / "colours.png", colours)
    table = {(0, 0, 0): 0, (200, 10, 0): 5, (0, 255, 1): 9}
    expected = np.array([0, 5, 9])[ids // 300]
    assert np.array_equal(read_picture_labels(path, table), expected)
    refused("holds colours, but labels must be ids. Map", read_picture_labels, path)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_damaged_files_are_named(tmp_path, name):
    Image.fromarray(GREY).save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    refused(
        f"{name}: cannot be read as .*; it is damaged or truncated", read_picture, tmp_path / name
    )


def test_files_of_an_image_are_its_channels(tmp_path):
    first, second = png(tmp_path / "a.png", GREY), png(tmp_path / "b.png", COLOUR)
    raw = read_raw([first, second], first, 2)
    assert np.array_equal(raw.image, np.concatenate([GREY[None], np.moveaxis(COLOUR, -1, 0)]))
    assert np.array_equal(raw.labels, GREY)
    small = png(tmp_path / "small.png", GREY[1:])
    refused(
        r"small.png: has \(7, 11\) pixels, but its image a.png has",
        read_raw,
        [first, small],
        None,
        2,
    )
    refused("is a 2D image \\(PNG\\), but the data set needs volumes", read_raw, [first], None, 3)
