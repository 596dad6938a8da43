"""Checks that a TIFF file has the pages that it declares."""

import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from bench.errors import DataError, counted

ROOM = 1 << 16  # bytes of pixels in a stored byte: no compression has more, zstd half as much


def check_pages(file: Any, path: Path) -> None:
    """Checks the header of every page.

    Raises:
        ValueError: If the file ends before its last pixel, or before its last header; or states a
            shape for which there would be no memory, and there are no pixels.
        DataError: If pages differ in their palettes, since the suite reads all with the first one.
    """
    size, first = file.filehandle.size, file.pages[0]
    palette = _palette(first)
    for i, page in enumerate(file.pages):
        if 0 in page.shape:
            raise ValueError(f"page {i} has no pixels")
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if count <= 0 or offset + count > size:
                raise ValueError(f"page {i} lacks pixels")
        if page.nbytes > ROOM * sum(page.databytecounts):
            raise ValueError(f"page {i} declares more pixels than it has room for")
        if page.shape == first.shape and _palette(page) != palette:
            raise DataError(
                f"{path}: page {i} has another palette than page 0. Save all pages with one "
                "palette, or as grey values or RGB (Fiji: Image > Type)."
            )
    end = file.pages.next_page_offset
    file.filehandle.seek(end)
    if file.filehandle.read(file.tiff.offsetsize) != bytes(file.tiff.offsetsize):
        raise ValueError(f"the header after page {len(file.pages) - 1} is missing")


def _palette(page: Any) -> bytes | None:
    """The colours that a page's values stand for, if it has a palette."""
    colours = page.colormap if getattr(page.photometric, "name", "") == "PALETTE" else None
    return None if colours is None else np.asarray(colours).tobytes()


def check_ome(file: Any, path: Path) -> None:
    """Raises DataError if OME metadata refer to other files, or declare missing pages.

    tifffile would read the other files, which nobody watches for changes, and put zeros where a
    file or page is missing; it also makes a list as long as the metadata say.
    """
    count = len(file.pages)
    try:
        root = ElementTree.fromstring(file.ome_metadata)
        own = root.get("UUID")
        for uuid in (each for each in root.iter() if each.tag.endswith("UUID")):
            name = uuid.get("FileName", "another file")
            if own is None and name.lower() == path.name.lower():
                own = uuid.text
            elif uuid.text != own:
                raise _of_several(path, name)
        most = count * file.pages[0].samplesperpixel  # channels of a colour image are in one page
        for each in root.iter():
            if each.tag.endswith("}Pixels"):
                stated = math.prod(int(each.attrib[f"Size{axis}"]) for axis in "ZCT")
            elif each.tag.endswith("}TiffData"):
                stated = int(each.get("PlaneCount", each.get("NumPlanes", 0)))
            else:
                continue
            if stated > most:
                raise _of_other_length(path, stated, count)
    except (ElementTree.ParseError, KeyError, ValueError):
        return  # tifffile says what it makes of it


def check_count(file: Any, path: Path) -> None:
    """Raises DataError unless the file has the pages that its metadata declare.

    Pages of another shape, such as a thumbnail, do not count. ImageJ and tifffile write large
    stacks with the header of the first page only.
    """
    import tifffile

    series = file.series
    if any(one.is_multifile for one in series):
        raise _of_several(path, "others beside it")
    found = sum(one.size // one.keyframe.size for one in series)
    stated = max(found, _images_of_imagej(file))
    held, first = len(file.pages), series[0]
    if stated != held:
        with tifffile.TiffFile(path) as again:  # whose pages are not yet taken for equal ones
            held = sum(page.shape == first.keyframe.shape for page in again.pages)
    contiguous = all(one.dataoffset is not None for one in series)
    if held == 1 < found == stated and contiguous:
        if first.dataoffset + first.nbytes > file.filehandle.size:
            raise _of_other_length(path, stated, held)
    elif stated != held:
        raise _of_other_length(path, stated, held)
    elif not contiguous:
        kept = {page.index for one in series for page in one if page is not None}
        if len(kept) != stated:
            raise _of_other_length(path, stated, len(kept))


def _images_of_imagej(file: Any) -> int:
    """Number of images that ImageJ declares, where tifffile ignores it; else 0."""
    said = {} if file.is_ome or not file.is_imagej else file.imagej_metadata or {}
    by_axes = file.series[0].kind == "imagej" and {"slices", "frames", "channels"} & set(said)
    images = 0 if by_axes else said.get("images", 0)
    return images if isinstance(images, int) else 0


def _of_several(path: Path, other: str) -> DataError:
    return DataError(
        f"{path}: is one of several files; its metadata refer to {other}. Save the image as one "
        "file (Fiji: File > Save As > Tiff)."
    )


def _of_other_length(path: Path, stated: int, held: int) -> DataError:
    return DataError(
        f"{path}: its metadata declare {counted(stated, 'page')}, but it holds {held}. Copy it "
        "again if it is incomplete, or save its pages again as one stack."
    )
