"""Where reports, pages and tables may lie: not among the tables of an export."""

from pathlib import Path

from bench.analysis.reading.exported_tables import CHECKSUMS, is_exported
from bench.errors import BenchError


def report_of(results: Path) -> Path:
    """The folder of a report that nobody names: in a folder of results, beside exported tables."""
    if not is_exported(results):
        return results / "report"
    tables = results if results.name.strip(".") else results.resolve()
    return tables.with_name(f"{tables.name}-report")


def refuse_among_tables(option: str, place: Path, replaces: bool = False) -> None:
    """Refuses a place in a folder of exported tables, which holds nothing else.

    Args:
        option: The option that names the place.
        place: A file or folder that is to be written.
        replaces: Whether it may be such a folder, which is then replaced.

    Raises:
        BenchError: If it is such a folder, or lies in one.
    """
    there = place.resolve()
    for folder in there.parents if replaces else (there, *there.parents):
        if (folder / CHECKSUMS).exists() and is_exported(folder):
            raise BenchError(
                f"{option} {place}: lies among the exported tables in {folder}. Name a place "
                "outside that folder."
            )
