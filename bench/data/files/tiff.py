"""Reading of TIFF stacks: images and label maps."""

import logging
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from bench.data.files.colors import Color, ids_of_colors, without_alpha
from bench.data.files.nifti import LARGEST_LABEL
from bench.errors import DataError, counted

ALPHA = (1, 2)  # TIFF's extra samples that are transparency
SLICES = "ZIQ"  # axes of pages that may be slices: named so, or not named
ROOM = 1 << 16  # bytes of pixels in a stored byte: no compression has more, zstd half as much
COLORS = ("RGB", "YCBCR")  # photometric interpretations whose samples are red, green, blue


@dataclass(frozen=True)
class Stack:
    """A TIFF file's pages.

    Attributes:
        pages: (N, C, *S); colours come as red, green, blue, transparency last.
        color: Whether channels are colours.
        alpha: Whether the last channel is transparency.
        palette: (K, 3) colours that grey values stand for, or None.
        photometric: How the file says that values are to be read.
        single: Whether axis C is all that tells pages apart, so that they may be the channels of
            one image or the slices of a stack.
        axis: What tells pages apart, as tifffile names axes: Z for slices, T for times, I or Q
            where the file does not say; empty if nothing but axis C does.
    """

    pages: np.ndarray
    color: bool
    alpha: bool
    palette: np.ndarray | None
    photometric: str
    single: bool
    axis: str


def count_pages(path: Path) -> int:
    """Number of pages, from the headers alone.

    Raises:
        DataError: If the file cannot be read.
    """
    state = _state(path)
    return _count(path, state)


def planes_are_colours(path: Path) -> bool:
    """Whether red, green and blue of a file's first page are stored one plane after the other."""
    with _opened(path) as file:
        page = file.pages[0]
        names = (getattr(value, "name", "") for value in (page.photometric, page.planarconfig))
        return tuple(names) == ("RGB", "SEPARATE")


def read_channels(path: Path, page: int | None) -> np.ndarray:
    """One page as an image.

    Args:
        path: TIFF file; of any byte order, compressed or not.
        page: Counted from 0; None for a file that holds one image. Where axis C alone tells pages
            apart, it has the slices of a stack, but the channels of one image.

    Returns:
        (C, *S) of the file's type, unsigned if it is an integer: grey values, red, green and
        blue, or the file's channels (axis C of OME and ImageJ). Inverted files are turned so
        that 0 is black; stacks whose colours and palettes are all grey become grey values.

    Raises:
        DataError: If it cannot be read or holds something else.
    """
    stack = _read(path, _state(path))
    return _page(path, page, _image(stack, path), stack.single)


def read_slices(path: Path) -> np.ndarray:
    """All pages of a volume.

    Returns:
        (N, C, *S), each as `read_channels` gives one.

    Raises:
        DataError: If it cannot be read, or its pages are no slices.
    """
    return _image(_slices(path), path)


def read_label_slices(path: Path, colors: Mapping[Color, int] | None = None) -> np.ndarray:
    """All pages of a volume as label ids (N, *S), each as `read_labels` gives one.

    Raises:
        DataError: If it cannot be read, does not hold labels, or its pages are no slices.
    """
    count = len(_slices(path).pages)
    return np.stack([read_labels(path, number, colors) for number in range(count)])


def _slices(path: Path) -> Stack:
    """A file whose pages are the slices of one volume."""
    stack = _read(path, _state(path))
    if stack.axis and stack.axis in SLICES:
        return stack
    if stack.single or stack.axis:
        axis = stack.axis or "C"
        count = len(stack.pages) if stack.axis else stack.pages.shape[1]
        what = {"C": "channels of one 2D image", "T": "times"}.get(axis, "something else")
        raise DataError(
            f"{path}: says that its {count} pages are {what} (axis {axis}), and slices of a volume "
            "are needed (axis Z). If they are slices, save them so (ImageJ: Image > Properties; "
            "tifffile: metadata={'axes': 'ZYX'})."
        )
    planes = ", its planes being colours" if stack.color else ""
    raise DataError(
        f"{path}: is a 2D image of one page{planes}; volumes are needed. Set dataset.ndim=2, or "
        "save the volume with a page for each slice (tifffile: photometric='minisblack')."
    )


def _page(path: Path, page: int | None, pages: np.ndarray, single: bool) -> np.ndarray:
    """One of the pages (N, C, *S), or the only one."""
    if page is not None:
        return pages[0, page][None] if single else pages[page]
    if len(pages) != 1:
        raise DataError(
            f"{path}: has {len(pages)} pages; one image is needed. Save the page as a file, use "
            "dataset=tiff_stack, or set dataset.ndim=3 if the pages are slices of a volume."
        )
    return pages[0]


def _image(stack: Stack, path: Path) -> np.ndarray:
    """All pages (N, C, *S) as images."""
    values = np.moveaxis(stack.pages, 1, 0)
    if stack.palette is not None:
        values = np.moveaxis(stack.palette[values[0]], -1, 0)
    elif stack.photometric not in ("MINISBLACK", "MINISWHITE", *COLORS):
        raise DataError(
            f"{path}: holds {stack.photometric} pixels; grey values or RGB are needed. Convert it."
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
                f"{path}: has negative {values.dtype} pixels (least {values.min()}). Save it as "
                "float32, or add an offset."
            )
        values = values.astype(f"u{values.dtype.itemsize}")
    if values.dtype.kind not in "uf":
        raise DataError(f"{path}: holds {values.dtype} pixels; grey values are needed. Convert it.")
    if inverted:
        top = np.iinfo(values.dtype).max if values.dtype.kind == "u" else values.max()
        values = top - values
    return values


def read_labels(
    path: Path, page: int | None, colors: Mapping[Color, int] | None = None
) -> np.ndarray:
    """One page as label ids.

    Args:
        path: TIFF file. Of a palette the positions are taken, not the colours.
        page: Counted from 0; None for a file that holds one map.
        colors: The id that each colour stands for, for files in colour.

    Returns:
        (*S) whole numbers.

    Raises:
        DataError: If it cannot be read or does not hold labels.
    """
    stack = _read(path, _state(path))
    values = _page(path, page, stack.pages, stack.single)
    values = values[: len(values) - stack.alpha]
    if stack.color:
        return ids_of_colors(np.moveaxis(values[:3], 0, -1), path, colors)
    if len(values) != 1:
        raise DataError(f"{path}: has {len(values)} channels; one label id a pixel is needed.")
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
                f"{path}: label {largest:.9g} is beyond {LARGEST_LABEL}. Number labels from 0."
            )
        return values.astype(np.int64)
    if values.dtype.kind not in "uib":
        raise DataError(f"{path}: holds {values.dtype} pixels; label ids are needed. Convert it.")
    return values.astype(np.uint8) if values.dtype.kind == "b" else values


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file. Copy it there, or point dataset.root elsewhere."
        ) from error
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _count(path: Path, state: tuple[int, int]) -> int:
    with _opened(path) as file:
        _, shape, axes = _layout(file, path)
        sizes = dict(zip(axes, shape, strict=True))
        return int(next((sizes[axis] for axis in axes if axis not in "YXCS"), sizes.get("C", 1)))


@lru_cache(maxsize=4)
def _read(path: Path, state: tuple[int, int]) -> Stack:
    with _opened(path) as file:
        parts, shape, axes = _layout(file, path)
        try:
            array = np.stack([part.asarray() for part in parts]).reshape(shape)
        except Exception as error:  # every codec raises other errors
            raise _damaged(path, error) from error
        page = file.pages[0]
        photometric = getattr(page.photometric, "name", "")
        palette = page.colormap if photometric == "PALETTE" else None
        extra = tuple(page.extrasamples or ())
    if not {"C", "S"} & set(axes):
        array, axes = array[..., None], axes + "S"
    channel = next(axis for axis in axes if axis in "CS")
    array = np.moveaxis(array, axes.index(channel), -1)
    count = array.shape[-1]
    color = channel == "S" and photometric in COLORS and count in (3, 4)
    single = array.ndim == 3
    if single:
        array = array[None]
    return Stack(
        pages=np.moveaxis(array.astype(array.dtype.newbyteorder("="), copy=False), -1, 1),
        color=color,
        alpha=count == 4 if color else count == 2 and bool(extra) and extra[-1] in ALPHA,
        palette=None if palette is None else _eight_bits(np.asarray(palette).T),
        photometric=photometric,
        single=single and channel == "C",
        axis="".join(axis for axis in axes if axis not in "YXCS"),
    )


class _Collecting(logging.Handler):
    """Keeps the warnings that are logged."""

    def __init__(self, logged: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.logged = logged

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append(record.getMessage())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Opens a TIFF; what goes wrong is said in one line.

    tifffile only logs that the chain of pages leads beyond the end of a file that was cut.
    """
    import tifffile

    logged: list[str] = []
    handler = _Collecting(logged)
    logger = logging.getLogger("tifffile")
    logger.addHandler(handler)
    try:
        with ExitStack() as opened:
            try:
                file = opened.enter_context(tifffile.TiffFile(path))
                if not len(file.pages):
                    raise tifffile.TiffFileError("no pages")
                lost = [line for line in logged if "offset" in line or "corrupt" in line]
                if lost:
                    raise tifffile.TiffFileError(lost[0])
                _check_pages(file, path)
            except DataError:
                raise
            except Exception as error:  # damaged tags fail in many ways
                raise _damaged(path, error) from error
            yield file
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, struct.error) as error:
        raise _damaged(path, error) from error
    finally:
        logger.removeHandler(handler)


def _check_pages(file: Any, path: Path) -> None:
    """Looks at the header of every page.

    Raises:
        ValueError: If the file ends before its last pixel, or before its last header; or states a
            shape for which there would be no memory, and there are no pixels.
        DataError: If pages differ in their palettes, since all are read with that of the first.
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
            raise ValueError(f"page {i} states more pixels than it has room for")
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


def _layout(file: Any, path: Path) -> tuple[Sequence[Any], tuple[int, ...], str]:
    """What a file is made of: its series, and shape and axes of all together.

    Programs that write page by page leave a series per page. Axes of length 1 other than Y and X
    are left out.
    """
    if file.is_ome:
        _check_ome(file, path)
    try:
        series = file.series
    except Exception as error:  # damaged headers fail in many ways
        raise _damaged(path, error) from error
    kinds = {(one.shape, one.axes, one.dtype) for one in series}
    if len(kinds) != 1:
        shapes = ", ".join(str(one.shape) for one in series[:3])
        raise DataError(
            f"{path}: its pages differ in shape or kind ({shapes}). Save a stack of equal pages."
        )
    lengths, names = [len(series), *series[0].shape], "I" + series[0].axes
    kept = [(n, axis) for n, axis in zip(lengths, names, strict=True) if n > 1 or axis in "YX"]
    axes = "".join(axis for _, axis in kept)
    pages = [axis for axis in axes if axis not in "YXCS"]
    if not {"Y", "X"} <= set(axes) or len(pages) > 1 or {"C", "S"} <= set(axes):
        raise DataError(
            f"{path}: has the axes {names[1:]} of lengths {series[0].shape}; a stack of 2D pages "
            "is needed. Save one time per file."
        )
    _check_count(file, path)
    return series, tuple(n for n, _ in kept), axes


def _check_ome(file: Any, path: Path) -> None:
    """Raises DataError if OME metadata refer to other files, or state pages that are not there.

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
        most = (
            count * file.pages[0].samplesperpixel
        )  # a page has several channels of a colour image
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


def _check_count(file: Any, path: Path) -> None:
    """Raises DataError unless the pages that the metadata state are those that the file has.

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
    """How many images ImageJ says that there are, where tifffile does not go by it; else 0."""
    said = {} if file.is_ome or not file.is_imagej else file.imagej_metadata or {}
    by_axes = file.series[0].kind == "imagej" and {"slices", "frames", "channels"} & set(said)
    images = 0 if by_axes else said.get("images", 0)
    return images if isinstance(images, int) else 0


def _of_several(path: Path, other: str) -> DataError:
    return DataError(
        f"{path}: is one file of several, its metadata refer to {other}. Save the image as one "
        "file (Fiji: File > Save As > Tiff)."
    )


def _of_other_length(path: Path, stated: int, held: int) -> DataError:
    return DataError(
        f"{path}: its metadata state {counted(stated, 'page')}, and it holds {held}. Copy it again "
        "if it is not whole, or save its pages anew, as one stack."
    )


def _eight_bits(palette: np.ndarray) -> np.ndarray:
    """Colours of 16 bits in 8; some programs write 8 bits into the file as they are."""
    if palette.max(initial=0) < 256:
        return palette.astype(np.uint8)
    return (palette >> 8).astype(np.uint8)


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return DataError(
        f"{path}: cannot be read as TIFF, it is damaged or cut short ({reason}). Copy or download "
        "it again."
    )
