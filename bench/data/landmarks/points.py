"""Points of a subject, and points in the form of a file."""

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from bench.errors import DataError

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Landmarks:
    """Points of a subject; those of a pair correspond by their order.

    Attributes:
        points: (N, D) float64, voxels of the subject's array; NaN where a point is missing.
        names: Their names in the file; None if it has none.
    """

    points: np.ndarray
    names: tuple[str, ...] | None = None

    def mapped(self, affine: np.ndarray) -> "Landmarks":
        """The same points under an affine map (D + 1, D + 1)."""
        return replace(self, points=self.points @ affine[:-1, :-1].T + affine[:-1, -1])

    def inside(self, shape: Sequence[int]) -> np.ndarray:
        """Which points are there and lie in a voxel of an image of this shape; (N,)."""
        inside = (self.points >= -0.5) & (self.points <= np.array(shape) - 0.5)
        return np.all(inside, axis=1)


class Frame(StrEnum):
    """The meaning of a file's coordinates."""

    ARRAY = "array"  # voxels from 0, axes as the image's file stores them
    COLUMNS = "columns"  # voxels from 0, in the order column, row, slice
    RAS = "RAS"  # mm


@dataclass(frozen=True)
class FilePoints:
    """Points in the form of a file.

    Attributes:
        points: (N, K) float64; NaN where a point is missing.
        frame: The meaning of the coordinates.
        names: Names of the points in the file; None if it has none.
    """

    points: np.ndarray
    frame: Frame
    names: tuple[str, ...] | None = None


def coordinate(cell: str, path: Path, line: int) -> float:
    """A coordinate of a text file; NaN for an empty cell or `nan`.

    Raises:
        DataError: If it is not a finite number.
    """
    text = cell.strip()
    if text.lower() in ("", "nan"):
        return np.nan
    value = float(text) if NUMBER.fullmatch(text) else np.inf  # float() knows 1_0 as well
    if not np.isfinite(value):
        raise DataError(
            f"{path}: line {line} has the coordinate {text!r}, which is not a number. Correct it, "
            "or write nan for a missing point."
        )
    return value


def csv_rows(lines: Iterable[str], path: Path, first: int = 1) -> list[tuple[int, list[str]]]:
    """The rows of CSV, each with its line, as an editor counts from `first`; empty ones left out.

    Raises:
        DataError: If a quote is not closed, or in the middle of a cell.
    """
    reader = csv.reader(lines, strict=True)
    try:
        return [(first + reader.line_num - 1, cells) for cells in reader if cells]
    except csv.Error as error:
        line = first + reader.line_num - 1
        raise DataError(
            f"{path}: line {line} is not CSV ({error}). Quote a cell from its beginning to its end "
            "and double each quote in it."
        ) from error
