"""The pages of a TIFF file, as they are stored."""

import logging
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.files.tiff_checks import check_count, check_ome, check_pages
from bench.errors import DataError

ALPHA = (1, 2)  # TIFF's extra samples that are transparency
COLORS = ("RGB", "YCBCR")  # photometric interpretations whose samples are red, green, blue


@dataclass(frozen=True)
class Stack:
    """A TIFF file's pages.

    Attributes:
        pages: (N, C, *S); colours come as red, green, blue, transparency last.
        color: Whether channels are colours.
        alpha: Whether the last channel is transparency.
        palette: (K, 3) colours of the grey values, or None.
        photometric: How the file says to interpret values.
        single: Whether only axis C distinguishes pages, so that they may be the channels of one
            image or the slices of a stack.
        axis: The axis that distinguishes pages, as tifffile names it: Z for slices, T for times, I
            or Q where the file does not say; empty if only axis C does.
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
    return _count(path, _state(path))


def planes_are_colours(path: Path) -> bool:
    """Whether red, green and blue of a file's first page are stored one plane after the other."""
    with _opened(path) as file:
        page = file.pages[0]
        names = (getattr(value, "name", "") for value in (page.photometric, page.planarconfig))
        return tuple(names) == ("RGB", "SEPARATE")


def read_stack(path: Path) -> Stack:
    """All pages of a file; those of the last files stay in memory.

    Raises:
        DataError: If the file cannot be read, or its pages are no stack of 2D images.
    """
    return _read(path, _state(path))


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
                check_pages(file, path)
            except DataError:
                raise
            except Exception as error:  # damaged tags fail in many ways
                raise _damaged(path, error) from error
            yield file
    except (tifffile.TiffFileError, OSError, ValueError, IndexError, struct.error) as error:
        raise _damaged(path, error) from error
    finally:
        logger.removeHandler(handler)


def _layout(file: Any, path: Path) -> tuple[Sequence[Any], tuple[int, ...], str]:
    """What a file is made of: its series, and shape and axes of all together.

    Programs that write page by page leave a series per page. Axes of length 1 other than Y and X
    are left out.
    """
    if file.is_ome:
        check_ome(file, path)
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
            "is needed. Save each time point as a separate file."
        )
    check_count(file, path)
    return series, tuple(n for n, _ in kept), axes


def _eight_bits(palette: np.ndarray) -> np.ndarray:
    """Colours of 16 bits in 8; some programs write 8 bits into the file as they are."""
    if palette.max(initial=0) < 256:
        return palette.astype(np.uint8)
    return (palette >> 8).astype(np.uint8)


def _damaged(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return DataError(
        f"{path}: cannot be read as TIFF; it is damaged or truncated ({reason}). Copy or download "
        "it again."
    )
