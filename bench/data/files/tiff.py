"""Reading of TIFF stacks: images and label maps."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.data.files.colors import Color, ids_of_colors, without_alpha
from bench.data.files.nifti import LARGEST_LABEL
from bench.data.files.tiff_stack import COLORS, Stack, read_stack
from bench.errors import DataError

SLICES = "ZIQ"  # axes of pages that may be slices: named so, or not named


def read_channels(path: Path, page: int | None) -> np.ndarray:
    """One page as an image.

    Args:
        path: TIFF file; of any byte order, compressed or not.
        page: Counted from 0; None for a file that holds one image. Where only axis C distinguishes
            pages, they are slices of a stack if `page` is given, else channels of one image.

    Returns:
        (C, *S) of the file's type, unsigned if it is an integer: grey values, red, green and
        blue, or the file's channels (axis C of OME and ImageJ). Inverted files are turned so
        that 0 is black; stacks whose colours and palettes are all grey become grey values.

    Raises:
        DataError: If it cannot be read or holds something else.
    """
    stack = read_stack(path)
    return _page(path, page, _image(stack, path), stack.single)


def read_slices(path: Path) -> np.ndarray:
    """All pages of a volume.

    Returns:
        (N, C, *S), each as `read_channels` gives one.

    Raises:
        DataError: If it cannot be read, or its pages are not slices.
    """
    return _image(_slices(path), path)


def read_label_slices(path: Path, colors: Mapping[Color, int] | None = None) -> np.ndarray:
    """All pages of a volume as label ids (N, *S), each as `read_labels` gives one.

    Raises:
        DataError: If it cannot be read, does not hold labels, or its pages are not slices.
    """
    count = len(_slices(path).pages)
    return np.stack([read_labels(path, number, colors) for number in range(count)])


def _slices(path: Path) -> Stack:
    """A file whose pages are the slices of one volume."""
    stack = read_stack(path)
    if stack.axis and stack.axis in SLICES:
        return stack
    if stack.single or stack.axis:
        axis = stack.axis or "C"
        count = len(stack.pages) if stack.axis else stack.pages.shape[1]
        what = {"C": "channels of one 2D image", "T": "times"}.get(axis, "something else")
        raise DataError(
            f"{path}: declares its {count} pages as {what} (axis {axis}), but a volume needs "
            "slices (axis Z). If they are slices, declare them so (ImageJ: Image > Properties; "
            "tifffile: metadata={'axes': 'ZYX'})."
        )
    planes = ", whose planes are colours" if stack.color else ""
    raise DataError(
        f"{path}: is a 2D image of one page{planes}, but the data set needs volumes. Set "
        "dataset.ndim=2, or save the volume with one page per slice (tifffile: "
        "photometric='minisblack')."
    )


def _page(path: Path, page: int | None, pages: np.ndarray, single: bool) -> np.ndarray:
    """One of the pages (N, C, *S), or the only one."""
    if page is not None:
        return pages[0, page][None] if single else pages[page]
    if len(pages) != 1:
        raise DataError(
            f"{path}: has {len(pages)} pages, but the data set needs one image per file. Save the "
            "page as a file, use dataset=tiff_stack, or set dataset.ndim=3 if the pages are slices "
            "of a volume."
        )
    return pages[0]


def _image(stack: Stack, path: Path) -> np.ndarray:
    """All pages (N, C, *S) as images."""
    values = np.moveaxis(stack.pages, 1, 0)
    if stack.palette is not None:
        values = np.moveaxis(stack.palette[values[0]], -1, 0)
    elif stack.photometric not in ("MINISBLACK", "MINISWHITE", *COLORS):
        raise DataError(
            f"{path}: holds {stack.photometric} pixels, but images must be grey or RGB. Convert "
            "the file."
        )
    if stack.palette is not None or stack.color or stack.alpha:
        values = without_alpha(values, path)
    values = np.moveaxis(values, 0, 1)
    inverted = stack.photometric == "MINISWHITE"
    if values.dtype.kind == "b":
        return (values ^ inverted).astype(np.uint8)
    if values.dtype.kind == "i":
        if values.min(initial=0) < 0:
            raise DataError(
                f"{path}: has negative {values.dtype} pixels (minimum {values.min()}). Save it as "
                "float32, or add an offset."
            )
        values = values.astype(f"u{values.dtype.itemsize}")
    if values.dtype.kind not in "uf":
        raise DataError(
            f"{path}: holds {values.dtype} pixels, but images need grey values. Convert the file."
        )
    if inverted:
        top = np.iinfo(values.dtype).max if values.dtype.kind == "u" else values.max()
        values = top - values
    return values


def read_labels(
    path: Path, page: int | None, colors: Mapping[Color, int] | None = None
) -> np.ndarray:
    """One page as label ids.

    Args:
        path: TIFF file. From a palette it reads positions, not colours.
        page: Counted from 0; None for a file that holds one map.
        colors: The id of each colour, for files in colour.

    Returns:
        (*S) whole numbers.

    Raises:
        DataError: If it cannot be read or does not hold labels.
    """
    stack = read_stack(path)
    values = _page(path, page, stack.pages, stack.single)
    values = values[: len(values) - stack.alpha]
    if stack.color:
        return ids_of_colors(np.moveaxis(values[:3], 0, -1), path, colors)
    if len(values) != 1:
        raise DataError(
            f"{path}: has {len(values)} channels; a label map has one id per pixel. Save it with "
            "one channel."
        )
    values = values[0]
    if values.dtype.kind == "f":
        broken = values[~np.isfinite(values) | (values != np.round(values))]
        if broken.size:
            raise DataError(
                f"{path}: label {broken.flat[0]:g} is not a whole number. Save label maps as "
                "integers, resampled with nearest-neighbour interpolation."
            )
        largest = float(np.abs(values).max(initial=0))
        if largest > LARGEST_LABEL:
            raise DataError(
                f"{path}: label {largest:.9g} exceeds {LARGEST_LABEL}. Renumber labels from 0."
            )
        return values.astype(np.int64)
    if values.dtype.kind not in "uib":
        raise DataError(
            f"{path}: holds {values.dtype} pixels, but labels must be ids. Convert the file."
        )
    return values.astype(np.uint8) if values.dtype.kind == "b" else values
