"""The pixel size that a TIFF file states."""

import math
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.data.lengths import MILLIMETRES
from bench.errors import DataError

SCREEN = (1, 72, 96, 300)  # dots per inch that programs write whatever the image shows
UNKNOWN = ("", "pixel", "pixels", "px", "reference frame")  # units that are none
OME_DEFAULT = "µm"


def pixel_edges(path: Path, axes: str = "YX") -> tuple[float, ...] | None:
    """Edge lengths of a pixel, or of a voxel, in mm.

    Taken from OME (PhysicalSize), from ImageJ (resolution, spacing of slices, and unit), or else
    from the resolution per inch or centimetre, which says nothing of slices. A resolution of 1, 72,
    96 or 300 per inch is that of a screen or printer.

    Args:
        path: The file.
        axes: Along which axes, of X (columns), Y (rows) and Z (slices).

    Returns:
        One for each of the axes; None if the file does not state all.

    Raises:
        DataError: If the file states sizes in an unknown unit, or a resolution or spacing that is
            not a number above 0.
    """
    status = path.stat()
    return _edges(path, axes, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _edges(path: Path, axes: str, size: int, changed: int) -> tuple[float, ...] | None:
    import tifffile

    with tifffile.TiffFile(path) as file:
        if file.is_ome and file.ome_metadata:
            return _of_ome(file.ome_metadata, axes, path)
        tags = file.pages[0].tags
        resolutions = {axis: _resolution(tags, f"{axis}Resolution", path) for axis in "YX"}
        sizes = {axis: _inverse(each) for axis, each in resolutions.items()}
        if file.is_imagej:
            stated: Mapping[str, Any] = file.imagej_metadata or {}
            name = str(stated.get("unit", ""))
            if "Z" in axes and "spacing" in stated:
                sizes["Z"] = _spacing_of_slices(stated["spacing"], path)
        else:
            names = {2: "inch", 3: "cm"}
            name = names.get(tags.valueof("ResolutionUnit", 1), "")
            if name == "inch" and any(round(each, 3) in SCREEN for each in resolutions.values()):
                return None
        wanted = [sizes.get(axis, math.nan) for axis in axes]
        return _in_millimetres(wanted, [name] * len(axes), path)


def _of_ome(description: str, axes: str, path: Path) -> tuple[float, ...] | None:
    try:
        root = ElementTree.fromstring(description)
    except ElementTree.ParseError:
        return None
    pixels: Mapping[str, str] = next(
        (element.attrib for element in root.iter() if element.tag.endswith("}Pixels")), {}
    )
    sizes = [pixels.get(f"PhysicalSize{axis}", "nan") for axis in axes]
    names = [pixels.get(f"PhysicalSize{axis}Unit", OME_DEFAULT) for axis in axes]
    try:
        return _in_millimetres([float(size) for size in sizes], names, path)
    except ValueError:
        return None


def _in_millimetres(sizes: list[float], names: list[str], path: Path) -> tuple[float, ...] | None:
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        return None
    names = [name.replace("\\u00B5", "µ").strip() for name in names]
    if any(name.lower() in UNKNOWN for name in names):
        return None
    strange = [name for name in names if name not in MILLIMETRES]
    if strange:
        raise DataError(
            f"{path}: states pixels of {sizes[0]:g} {strange[0]}, an unknown unit of length. Set "
            "dataset.pixel_size, in mm."
        )
    return tuple(size * MILLIMETRES[name] for size, name in zip(sizes, names, strict=True))


def _spacing_of_slices(value: object, path: Path) -> float:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise DataError(
            f"{path}: its ImageJ spacing is {value!r}, which is not a number above 0. Correct it "
            "in ImageJ (Image > Properties), or set dataset.pixel_size, in mm."
        )
    return float(value)


def _resolution(tags: Any, name: str, path: Path) -> float:
    """Pixels in a unit; 0 if the file does not say."""
    value = tags.valueof(name, (0, 1))
    if not (isinstance(value, tuple) and len(value) == 2):
        raise DataError(
            f"{path}: its {name} is {value!r}, which is not a number; the file is damaged. Copy or "
            "download it again, or set dataset.pixel_size, in mm."
        )
    numerator, denominator = value
    return numerator / denominator if denominator else 0.0


def _inverse(value: float) -> float:
    return 1 / value if value > 0 else math.nan
