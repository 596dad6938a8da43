"""Reading of PNG and JPEG images."""

import io
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.data.files.colors import Color, ids_of_colors, without_alpha
from bench.data.files.kinds import JPEG, PNG, kind_of
from bench.data.files.tiff_spacing import SCREEN
from bench.data.lengths import MILLIMETRES
from bench.errors import DataError

PALETTE = 3  # colour type in byte 25 of a PNG
METRE = 1  # unit of a PNG's resolution; any other is none


def read_picture(path: Path) -> np.ndarray:
    """Grey values (1, H, W), or red, green and blue (3, H, W), of the file's type.

    Colours that are all grey become grey values. Pixels are as stored, whatever turn an EXIF
    header asks for.

    Raises:
        DataError: If it cannot be read, or has transparent pixels.
    """
    values = _decode(path)
    if kind_of(path) == JPEG and values.shape[-1] == 4:
        raise DataError(
            f"{path}: holds CMYK colours, but images must be grey or RGB. Convert the file."
        )
    return without_alpha(np.moveaxis(values, -1, 0), path)


def read_picture_labels(path: Path, colors: Mapping[Color, int] | None = None) -> np.ndarray:
    """Label ids (H, W); from a palette it reads positions, not colours.

    Args:
        path: PNG file.
        colors: The id of each colour, for files in colour.

    Raises:
        DataError: If it is a JPEG, cannot be read or does not hold labels.
    """
    if kind_of(path) == JPEG:
        raise DataError(
            f"{path}: is a JPEG, and its compression changes label ids. Export the labels again as "
            "PNG, TIFF or NIfTI."
        )
    if path.read_bytes()[25:26] == bytes([PALETTE]):
        from PIL import Image

        _decode(path)  # says what is wrong with a damaged file
        return np.asarray(Image.open(io.BytesIO(path.read_bytes())))
    values = _decode(path)
    if values.shape[-1] <= 2:
        return values[..., 0]
    return ids_of_colors(values[..., :3], path, colors)


def png_edges(path: Path) -> tuple[float, float] | None:
    """Edge lengths of a pixel in mm, along rows and columns of the array (Y, X).

    From the resolution that a PNG states in pixels per metre; resolutions of screens and printers
    count as none, as in TIFF.

    Returns:
        None if the file does not state them, or is not a PNG.
    """
    data = path.read_bytes() if kind_of(path) == PNG else b""
    chunk = data.find(b"pHYs", 0, max(data.find(b"IDAT"), 0))
    if chunk < 0:
        return None
    across, down, unit = struct.unpack_from(">IIB", data, chunk + 4)
    inch = MILLIMETRES["inch"] / MILLIMETRES["m"]
    of_screen = any(abs(across * inch - dots) < 0.05 for dots in SCREEN)
    if unit != METRE or not across or not down or of_screen:
        return None
    return MILLIMETRES["m"] / down, MILLIMETRES["m"] / across


def _decode(path: Path) -> np.ndarray:
    """(H, W, channels)."""
    import imagecodecs

    kind = kind_of(path)
    decode = imagecodecs.jpeg8_decode if kind == JPEG else imagecodecs.png_decode
    try:
        values = decode(path.read_bytes())
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path}: cannot be read as {kind}; it is damaged or truncated "
            f"({type(error).__name__}). Copy or download it again."
        ) from error
    return values if values.ndim == 3 else values[..., None]
