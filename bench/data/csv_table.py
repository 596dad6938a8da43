"""Reading of CSV tables that list subjects."""

import csv
from collections.abc import Iterable
from pathlib import Path

from bench.data.subject import ATLAS, SPLITS
from bench.errors import DataError


def read_table(path: Path, *alternatives: Iterable[str]) -> list[dict[str, str]]:
    """The rows of a CSV table, cells stripped; a byte-order mark is skipped.

    Args:
        path: The file.
        alternatives: Sets of columns, one of which must be there.

    Raises:
        DataError: If columns are missing, the file is not text, or it has no rows.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = [(column or "").strip() for column in reader.fieldnames or []]
            rows = [
                {name: (cell or "").strip() for name, cell in zip(columns, row, strict=False)}
                for row in (list(record.values()) for record in reader)
            ]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text. Save it as CSV in UTF-8.") from error
    lacking = [sorted(set(needed) - set(columns)) for needed in alternatives]
    if all(lacking):
        least = min(lacking, key=len)
        raise DataError(
            f"{path}: lacks the column {least[0]}; it has {', '.join(columns) or 'none'}. Separate "
            "columns by commas."
        )
    if not rows:
        raise DataError(f"{path}: lists nothing. Add a row for each subject.")
    return rows


def check_split(path: Path, subject: str, split: str, column: str, atlas: bool = False) -> str:
    """The split of a row.

    Raises:
        DataError: If it is none of those known.
    """
    known = (*SPLITS, ATLAS) if atlas else SPLITS
    if split not in known:
        raise DataError(
            f"{path}: subject {subject} has {column} {split!r}; known are {', '.join(known)}."
        )
    return split
