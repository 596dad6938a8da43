"""Points of 3D Slicer: .fcsv and .mrk.json, in mm."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.landmarks.points import FilePoints, Frame, coordinate, csv_rows
from bench.errors import DataError, counted

AXES = ("x", "y", "z")
SYSTEMS = {"RAS": 1, "0": 1, "LPS": -1, "1": -1}  # sign of the first two axes in RAS
FCSV = "# Markups fiducial file"
COLUMNS = "id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label"  # of a .fcsv that does not list them


def read_fcsv(lines: Sequence[str], path: Path) -> FilePoints:
    """Points of a .fcsv file.

    Raises:
        DataError: If a coordinate is missing or not a number, or the coordinate system is unknown.
    """
    said = {}
    for line in lines:
        if line.startswith("#") and "=" in line:
            key, value = line.lstrip("# ").split("=", 1)
            said[key.strip()] = value.strip()
    signs = _signs(said.get("CoordinateSystem", "0"), path)
    columns = [column.strip() for column in said.get("columns", COLUMNS).split(",")]
    if any(columns.count(axis) != 1 for axis in AXES):
        raise DataError(
            f"{path}: lists the columns {', '.join(columns)}; points need one x, one y and one z. "
            "Save it from 3D Slicer again."
        )
    places = [columns.index(axis) for axis in AXES]
    points, names = [], []
    for number, line in enumerate(lines, start=1):
        if line.startswith("#") or not line.strip():
            continue
        ((_, cells),) = csv_rows([line], path, number)
        if len(cells) <= max(places):
            raise DataError(
                f"{path}: line {number} has {counted(len(cells), 'value')} and ends before x, y "
                "and z. Save it from 3D Slicer again."
            )
        points.append([coordinate(cells[place], path, number) for place in places])
        names.append(dict(zip(columns, cells, strict=False)).get("label", ""))
    return _points(points, names, signs, path)


def read_markups(text: str, path: Path) -> FilePoints:
    """Points of a .mrk.json file; unplaced points are missing.

    Raises:
        DataError: If it is damaged or holds no list of points, or several.
    """
    try:
        lists = json.loads(text)["markups"]
        (markups,) = lists
        controls = markups["controlPoints"]
        signs = _signs(str(markups.get("coordinateSystem", "LPS")), path)
        points = [_position(control) for control in controls]
        names = [str(control.get("label", "")) for control in controls]
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise DataError(
            f"{path}: is not a JSON file with one list of markups ({type(error).__name__}). Save "
            "the points from 3D Slicer again."
        ) from error
    return _points(points, names, signs, path)


def _position(control: dict[str, Any]) -> list[float]:
    if control.get("positionStatus", "defined") not in ("defined", "preview"):
        return [np.nan] * 3
    x, y, z = control["position"]
    if not all(type(value) in (int, float) and math.isfinite(value) for value in (x, y, z)):
        raise ValueError("a position is not a finite number")
    return [float(x), float(y), float(z)]


def _signs(system: str, path: Path) -> np.ndarray:
    if system not in SYSTEMS:
        raise DataError(
            f"{path}: has the coordinate system {system}; known are RAS and LPS. Save the points "
            "in RAS or LPS."
        )
    return np.array([SYSTEMS[system], SYSTEMS[system], 1])


def _points(
    points: Sequence[Sequence[float]], names: Sequence[str], signs: np.ndarray, path: Path
) -> FilePoints:
    if not points:
        raise DataError(f"{path}: holds no points. Place points in 3D Slicer and save it again.")
    array = np.array(points) * signs
    return FilePoints(array, Frame.RAS, tuple(names) if all(names) else None)
