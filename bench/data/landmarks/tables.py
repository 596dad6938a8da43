"""Points in plain tables: CSV of Learn2Reg, CSV with a header (ITK, BIRL), text of DIR-Lab."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.data.landmarks.points import FilePoints, Frame, coordinate, csv_rows
from bench.errors import DataError, counted

AXES = ("x", "y", "z")
NAMES = ("", "index", "id", "name", "label", "point", "landmark")  # headings of names of points
Rows = list[tuple[int, list[str]]]  # each with its line, as an editor counts


def read_csv(lines: Sequence[str], path: Path) -> FilePoints:
    """Points of a CSV table.

    Without a header, voxels from 0 in the order of the array's axes (Learn2Reg). With one, its
    columns x, y and perhaps z are column, row and slice, from 0 (ITK, BIRL); a column index, id,
    name, label or one without a heading names the points.

    Raises:
        DataError: If a coordinate is not a number, rows differ in length, or columns are missing.
    """
    rows = csv_rows(lines, path)
    if all(_is_number(cell) for cell in rows[0][1]):
        return FilePoints(_numbers(rows, path), Frame.ARRAY)
    headings = [cell.strip().lower() for cell in rows[0][1]]
    if "x" not in headings or "y" not in headings:
        there = ", ".join(filter(None, headings))
        raise DataError(
            f"{path}: its header has {there}; points need the columns x and y (and z). Rename "
            "them, or leave the header out if the columns are the array's axes."
        )
    if "t" in headings:
        raise DataError(
            f"{path}: x, y, z, t is a table of ANTs, whose points are in mm, but a CSV must hold "
            "voxels. Save the points from 3D Slicer, or convert them."
        )
    repeated = next((axis for axis in AXES if headings.count(axis) > 1), None)
    if repeated is not None:
        raise DataError(
            f"{path}: has several columns {repeated}. Rename or delete all but one of them."
        )
    columns = [headings.index(axis) for axis in AXES if axis in headings]
    named = next((headings.index(name) for name in NAMES if name in headings), None)
    rows = rows[1:]
    for line, cells in rows:
        _check_length(cells, len(headings), path, line)
    if not rows:
        raise DataError(f"{path}: holds a header but no points. Add a line for each point.")
    points = _numbers([(line, [cells[i] for i in columns]) for line, cells in rows], path)
    names = None if named is None else tuple(cells[named].strip() for _, cells in rows)
    return FilePoints(points, Frame.COLUMNS, names)


def read_dirlab(lines: Sequence[str], path: Path) -> FilePoints:
    """Points x y z of a text file, voxels from 1 (DIR-Lab).

    Raises:
        DataError: If a coordinate is not a number or below 1, or lines differ in length.
    """
    rows = [(i, line.split()) for i, line in enumerate(lines, start=1) if line.strip()]
    points = _numbers(rows, path)
    if np.nanmin(points, initial=np.inf) < 1:
        raise DataError(
            f"{path}: has the coordinate {np.nanmin(points):g}, but DIR-Lab's text format counts "
            "voxels from 1. If yours count from 0, separate them by commas."
        )
    return FilePoints(points - 1, Frame.COLUMNS)


def _numbers(rows: Rows, path: Path) -> np.ndarray:
    for line, cells in rows:
        _check_length(cells, len(rows[0][1]), path, line)
    return np.array([[coordinate(cell, path, line) for cell in cells] for line, cells in rows])


def _check_length(cells: Sequence[str], wanted: int, path: Path, line: int) -> None:
    if len(cells) != wanted:
        raise DataError(
            f"{path}: line {line} has {counted(len(cells), 'value')}, but the first has {wanted}. "
            "Give each point the same number; write nan for a missing point."
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
