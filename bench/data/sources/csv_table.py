"""Reading of CSV tables that list subjects."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from bench.data.sources.subject import ATLAS, SPLITS
from bench.errors import DataError, counted

SYNONYMS = {  # other words for columns, without a plural's s
    "segmentation": "label",
    "seg": "label",
    "labelmap": "label",
    "keypoint": "landmark",
}


SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


class Row(dict[str, str]):
    """Cells by column; `line` is where the row stands in the file, as an editor counts."""

    def __init__(self, line: int, cells: dict[str, str]) -> None:
        super().__init__(cells)
        self.line = line


def read_table(
    path: Path, *alternatives: Iterable[str], optional: Iterable[str] = (), others: str = ""
) -> "list[Row]":
    """The rows of a CSV table, cells stripped; a byte-order mark is skipped.

    Args:
        path: The file.
        alternatives: Sets of columns, one of which must be there.
        optional: Further columns that are read. One that is called almost so is refused; any others
            are the user's.
        others: What a column that is called almost so takes besides another name, for messages.

    Raises:
        DataError: If columns are missing, misnamed or repeated, a line has more cells than the
            first, or the file is no CSV or has no rows.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            columns = [column.strip() for column in next(reader, [])]
            _check_separator(path, columns)
            rows = [
                Row(reader.line_num, _cells(columns, cells, path, reader.line_num))
                for cells in reader
                if cells
            ]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text. Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise DataError(
            f"{path}: line {reader.line_num} is not CSV ({error}). Quote a cell from its beginning "
            "to its end and double each quote in it."
        ) from error
    lacking = [sorted(set(needed) - set(columns)) for needed in alternatives]
    if all(lacking):
        least = min(lacking, key=len)
        there = ", ".join(filter(None, columns)) or "none"
        raise DataError(
            f"{path}: lacks the column {least[0]}; it has {there}. Separate columns by commas."
        )
    read = {*optional, *(name for needed in alternatives for name in needed)}
    for column in columns:
        meant = next((name for name in read if _alike(column, name)), None)
        if column not in read and meant is not None and meant not in columns:
            raise DataError(
                f"{path}: has a column {column}, which the suite does not read; it reads {meant}. "
                f"Rename the column{others.format(meant=meant, column=column)}."
            )
        if column in read and columns.count(column) > 1:
            raise DataError(f"{path}: has several columns {column}. Rename or delete all but one.")
    if not rows:
        raise DataError(f"{path}: has no rows below its header. Add at least one.")
    return rows


def _check_separator(path: Path, columns: list[str]) -> None:
    """Refuses a header that other characters than commas separate."""
    for character, name in SEPARATORS.items():
        if len(columns) == 1 and character in columns[0]:
            raise DataError(
                f"{path}: has the heading {columns[0]!r}, separated by {name}. Separate columns by "
                "commas, and write decimal points as points."
            )


def _alike(column: str, name: str) -> bool:
    """Whether a heading is another way of writing a column's name."""
    plain, wanted = (re.sub(r"[ _-]", "", text.lower()).rstrip("s") for text in (column, name))
    for other, usual in SYNONYMS.items():
        plain = re.sub(f"{other}$", usual, plain)
    return bool(plain) and plain == wanted


def _cells(columns: list[str], cells: list[str], path: Path, line: int) -> dict[str, str]:
    """Cells by column, empty ones where a line ends early."""
    if any(cell.strip() for cell in cells[len(columns) :]):
        raise DataError(
            f"{path}: line {line} has {counted(len(cells), 'cell')} under "
            f"{counted(len(columns), 'heading')}. Quote a cell with a comma in it."
        )
    filled = zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False)
    return {column: cell.strip() for column, cell in filled if column}


def check_split(path: Path, subject: str, split: str, column: str, atlas: bool = False) -> str:
    """The split of a row.

    Raises:
        DataError: If it is none of those known.
    """
    known = (*SPLITS, ATLAS) if atlas else SPLITS
    if split not in known:
        raise DataError(
            f"{path}: subject {subject} has {column} {split!r}; known: {', '.join(known)}."
        )
    return split
