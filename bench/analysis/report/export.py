"""Writes results as a few small tables, which `bench.analysis.reading.exported` reads."""

from collections.abc import Sequence
from pathlib import Path

from bench.analysis.reading.exported_tables import CHECKSUMS, OF_TASKS, TABLES, seal_tables
from bench.analysis.reading.results import read_results
from bench.analysis.report.collected import TASKS, Collected
from bench.analysis.report.places import refuse_among_tables, refuse_in_results
from bench.config.commands import BENCH
from bench.errors import StoreError
from bench.store.files import replacing, write_atomically
from bench.store.layout import RUNS


def export(folders: Sequence[Path], out: Path, pattern: str = "*") -> dict[str, int]:
    """Writes the finished and the skipped runs of some folders of results.

    Those of registration, perception and changes; other tasks stay with their runs.

    The same runs give the same bytes. A run that several folders hold is taken from the first; a
    line says so where another folder has other scores of it.

    Args:
        folders: Of results, or of exported tables.
        out: Folder of the tables; former tables are replaced all at once.
        pattern: Which runs, by the names of their folders (`fnmatch`).

    Returns:
        How many runs there are by status, those left out among them, and damaged extractors; those
        of other tasks count as `collected.LEFT_OUT`.

    Raises:
        StoreError: If there are no such runs, two have one id, or `out` is a file, or holds results
            or other files.
        BenchError: If it lies in a folder of exported tables, or in a part of results.
    """
    if out.exists() and not out.is_dir():
        raise StoreError(f"--out {out}: is a file. Name a folder.")
    if (out / RUNS).exists():
        raise StoreError(
            f"--out {out}: is a folder of results. Name another folder for the tables."
        )
    refuse_in_results("--out", out)
    refuse_among_tables("--out", out, replaces=True)
    others = {entry.name for entry in out.iterdir()} if out.exists() else set()
    if others := others - {*TABLES, *OF_TASKS, CHECKSUMS}:
        raise StoreError(
            f"--out {out}: holds {min(others)}, which is no exported table. Name another folder "
            "for the tables."
        )
    tables = Collected()
    for folder in folders:
        tables.add(folder, read_results(folder, pattern))
    if not tables.runs:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(tables.counts.items()))
        raise StoreError(
            f"{', '.join(map(str, folders))}: nothing to export, but {counts}. `{BENCH} export` "
            f"writes finished and skipped runs of {', '.join(TASKS)}."
        )
    with replacing(out) as partial:
        for name, text in tables.texts().items():
            write_atomically(partial / name, text)
        seal_tables(partial)
    return tables.counts
