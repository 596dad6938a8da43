"""Reads files of points; their content decides how."""

from pathlib import Path

from bench.data.landmarks.points import FilePoints
from bench.data.landmarks.slicer import FCSV, read_fcsv, read_markups
from bench.data.landmarks.tables import read_csv, read_dirlab
from bench.errors import DataError


def read_points(path: Path) -> FilePoints:
    """The points of a file, whatever its ending.

    A JSON object is a .mrk.json and a first line that says so a .fcsv of 3D Slicer; values
    separated by commas are a CSV, without header as Learn2Reg's or with one as BIRL's; all else is
    text as DIR-Lab's.

    Raises:
        DataError: If there is no such file, or it does not hold points.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}). Copy it there, or remove it from the list."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not text. Save the points as CSV.") from error
    lines = text.splitlines()
    first = next((line.strip() for line in lines if line.strip()), None)
    if first is None:
        raise DataError(f"{path}: is empty. Add a line for each point.")
    if first.startswith("{"):
        return read_markups(text, path)
    if first.startswith(FCSV):
        return read_fcsv(lines, path)
    if "," in first:
        return read_csv(lines, path)
    return read_dirlab(lines, path)
