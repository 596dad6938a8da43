"""CSV files of the store as pandas frames."""

import csv
from collections.abc import Collection
from pathlib import Path
from typing import IO

import pandas as pd

from bench.store.escaping import from_csv

# Columns that are never numbers: there are ids such as 007, and a class may be called NA.
TEXTS = ("moving", "fixed", "class", "point", "corruption", "subject", "distortion")
UNKNOWN = ["", "nan"]  # numbers that were not measured


def read_rows(path: Path, texts: Collection[str] = TEXTS) -> pd.DataFrame:
    """The rows of a file that `bench.store.files.write_csv` wrote.

    Args:
        path: The file. Names are texts, whatever they are; what is not measured is NaN.
        texts: Columns that are never numbers.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is damaged.
    """
    with open(path, newline="", encoding="utf-8") as file:
        return read_frame(file, texts)


def read_frame(file: IO[str], texts: Collection[str] = TEXTS) -> pd.DataFrame:
    """The same for an open file that can be rewound."""
    start = file.tell()
    columns = _columns(file)
    file.seek(start)
    rows = pd.read_csv(
        file,
        dtype=dict.fromkeys(texts, str),
        keep_default_na=False,
        na_values={name: UNKNOWN for name in columns if name not in texts},
    )
    for name in rows.columns.intersection(list(texts)):
        rows[name] = rows[name].map(from_csv)
    return rows


def _columns(file: IO[str]) -> list[str]:
    """The headings of a CSV, each of whose lines has as many cells.

    pandas fills what is missing, and takes what is too much for an index.

    Raises:
        ValueError: If a line has not.
    """
    try:
        columns, *lines = list(csv.reader(file, strict=True)) or [[]]
    except csv.Error as error:
        raise ValueError(f"is not CSV ({error})") from error
    if any(len(line) != len(columns) for line in lines if line):
        raise ValueError("some lines have more or fewer cells than the header")
    if len(set(columns)) < len(columns):
        raise ValueError("the header repeats a column")
    return columns
