"""The files of exported results: their names, their checksums, and what their cells may be."""

from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis.reading.rows import read_rows
from bench.config.commands import BENCH
from bench.errors import StoreError
from bench.store.files import checksum, is_as_sealed, read_json, sealed, write_json
from bench.store.layout import RUNS

RUNS_TABLE, PAIRS_TABLE, SCORES_TABLE = "runs.csv", "pairs.csv", "scores.csv"
SETTINGS_TABLE, EXTRACTORS_TABLE = "settings.csv", "extractors.csv"
IMAGES_TABLE, CHANGES_TABLE = "images.csv", "changes.csv"  # only there with runs of their tasks
POOLED_TABLE = "pooled.csv"  # only there with runs that have scores of all test pairs together
OF_TASKS = (IMAGES_TABLE, CHANGES_TABLE, POOLED_TABLE)
TABLES = (RUNS_TABLE, PAIRS_TABLE, SCORES_TABLE, SETTINGS_TABLE, EXTRACTORS_TABLE)
CHECKSUMS = "checksums.json"
WHOLE = ("seed", "steps", "best_step")  # numbers without decimals
MOST = 2**53  # whole numbers that a float holds exactly
REMEDY = f"Write the tables again with `{BENCH} export`, or restore them from a copy."


def is_exported(folder: Path) -> bool:
    """Whether a folder holds exported tables rather than runs."""
    return any((folder / name).exists() for name in TABLES) and not (folder / RUNS).is_dir()


def seal_tables(folder: Path) -> None:
    """Writes the checksums of the tables in a folder, beside them."""
    there = [*TABLES, *(name for name in OF_TASKS if (folder / name).exists())]
    write_json(folder / CHECKSUMS, sealed({name: checksum(folder / name) for name in there}))


def check_seal(folder: Path) -> None:
    """Raises StoreError if the tables have changed since they were written."""
    known = read_json(folder / CHECKSUMS)
    sealed_too = [name for name in OF_TASKS if name in (known or {}) or (folder / name).exists()]
    tables = [*TABLES, *sealed_too]
    for name in tables:
        if not (folder / name).is_file():
            raise fault(folder / name, "is missing")
    if known is None or not is_as_sealed(known):
        raise fault(folder / CHECKSUMS, "is missing or damaged")
    for name in tables:
        if known.get(name) != checksum(folder / name):
            raise fault(folder / name, "has changed since it was written")


def fault(path: Path, what: str) -> StoreError:
    """The error of a file that cannot be used, with the remedy."""
    return StoreError(f"{path}: {what}. {REMEDY}")


def read_table(path: Path, texts: tuple[str, ...], numbers: tuple[str, ...] | None) -> pd.DataFrame:
    """A table with these columns; without `numbers`, all others are numbers.

    Raises:
        StoreError: If it cannot be read, lacks a column, or has something else for a number.
    """
    try:
        rows = read_rows(path, texts)
    except OSError as error:
        raise fault(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise fault(path, f"is not a table of results ({str(error).splitlines()[0]})") from error
    lacking = [name for name in (*texts, *(numbers or ())) if name not in rows]
    if lacking:
        raise fault(path, f"is not a table of results: it lacks the column {lacking[0]}")
    for name in numbers or rows.columns.difference(list(texts)):
        if rows.empty:
            rows[name] = rows[name].astype(float)
            continue
        values = pd.to_numeric(rows[name], errors="coerce").astype(float)
        odd = values.isna() & rows[name].notna() | np.isinf(values)
        odd |= rows[name].map(lambda value: isinstance(value, bool | np.bool_))
        if name in WHOLE:
            odd |= values.notna() & ((values % 1 != 0) | (values < 0) | (values > MOST))
        if odd.any():
            row = int(odd.to_numpy().argmax())
            value = str(rows[name].iloc[row])
            raise fault(path, f"has {value!r} for a number of {name} in row {row + 1}")
        rows[name] = values
    return rows
