"""Results, as runs or as exported tables."""

from pathlib import Path

from bench.analysis.reading.exported import read_exported
from bench.analysis.reading.exported_tables import is_exported
from bench.analysis.reading.records import Records, read_records


def read_results(results: Path, pattern: str = "*", option: str = "--results") -> Records:
    """Reads a folder of results, or the tables that were exported from one.

    Args:
        results: The folder.
        pattern: Which runs, by the names of their folders (`fnmatch`).
        option: The option that names the folder.

    Raises:
        StoreError: If there is no such folder or run, or a table is damaged.
    """
    if is_exported(results):
        return read_exported(results, pattern)
    return read_records(results, pattern, option)
