"""Where reports, pages and tables may lie: not among exported tables, nor in parts of results."""

from pathlib import Path

from bench.analysis.reading.exported_tables import CHECKSUMS, is_exported
from bench.config.experiment import CACHE
from bench.errors import BenchError
from bench.store.layout import EXTRACTORS, NETWORKS, RUNS
from bench.store.listing import list_folders

OF_RESULTS = (RUNS, EXTRACTORS, NETWORKS, CACHE)  # folders in one of results


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


def refuse_in_results(option: str, place: Path) -> None:
    """Refuses a place in the parts of a folder of results.

    Args:
        option: The option that names the place.
        place: A file or folder that is to be written.

    Raises:
        BenchError: If it is such a part, or lies in one.
    """
    inside = place.resolve()
    for folder in (inside, *inside.parents):
        if folder.name in OF_RESULTS and list_folders(folder.parent):
            raise BenchError(
                f"{option} {place}: lies in the {folder.name} of the results in {folder.parent}. "
                "Name a place outside that folder."
            )
