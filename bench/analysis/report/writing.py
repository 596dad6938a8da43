"""Writes a report: tables, figures and a page; replaces the former report."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.analysis.numbers.findings import Findings, Request, find
from bench.analysis.report.contents import contents
from bench.analysis.report.page import render
from bench.analysis.report.pictures import draw
from bench.analysis.report.places import refuse_among_tables, refuse_in_results
from bench.analysis.report.table_files import write_frames, write_tables
from bench.errors import StoreError
from bench.store.files import replacing
from bench.store.locks import held

PAGE = "index.html"
MARKS = (PAGE, "tables/runs.csv")  # by which a report is known
WRITTEN = (  # what a report consists of, below its folder
    *(PAGE, "tables", "tables/*.csv", "tables/*.md", "tables/*.tex", "tables/configs.yaml"),
    *("figures", "figures/*.png", "figures/*.pdf"),
)
LARGE = 50_000  # objects more than before, at which the garbage collector looks for garbage


def write_report(request: Request, out: Path) -> Findings:
    """Writes a report under another name, and replaces the former report when it is complete.

    Several at once are written one after the other.

    Args:
        request: What of.
        out: Folder of the report: `index.html`, `tables/` and `figures/`.

    Raises:
        StoreError: If there are no such runs, or if the folder holds something else.
        ConfigError: If there is no such criterion or experiment.
        BenchError: If the report would lie among exported tables, or in a part of results.
    """
    refuse_among_tables("--out", out)
    refuse_in_results("--out", out)
    if out.exists() and not all((out / mark).is_file() for mark in MARKS):
        raise StoreError(
            f"--out {out}: exists and is not a report, and a report replaces the whole folder. "
            "Name another folder."
        )
    if request.results.resolve().is_relative_to(out.resolve()):
        raise StoreError(
            f"--out {out}: holds the results themselves, and a report replaces the whole folder. "
            "Name another folder."
        )
    written = {path for pattern in WRITTEN for path in out.glob(pattern)}
    foreign = sorted(str(path.relative_to(out)) for path in {*out.rglob("*")} - written)
    if foreign:
        raise StoreError(
            f"--out {out}: holds {foreign[0]}, which no report wrote, and a report replaces the "
            "whole folder. Move it away, or name another folder."
        )
    with _seldom_collected():
        found = find(request)
        _replace(request, found, out)
    return found


@contextmanager
def _seldom_collected() -> Iterator[None]:
    """Lets the garbage collector look seldom, and not at what is there already.

    What is read of a thousand runs are hundreds of thousands of objects that stay; looking through
    them for garbage, again and again, took an eighth of a report's time.
    """
    gc.freeze()
    threshold = gc.get_threshold()
    gc.set_threshold(LARGE, *threshold[1:])
    try:
        yield
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


def _replace(request: Request, found: Findings, out: Path) -> None:
    """Writes a report to the side, and puts it in place of the former one."""
    lock = held(out.with_name(f".{out.name}.lock"), f"the report {out}", "--out DIR")
    with lock, replacing(out) as partial:
        for name in ("tables", "figures"):
            (partial / name).mkdir()
        _write(request, found, partial)


def _write(request: Request, found: Findings, folder: Path) -> None:
    content = contents(request, found) | {"pictures": draw(request, found, folder / "figures")}
    write_tables(content, folder / "tables")
    write_frames(request, found, folder / "tables")
    (folder / PAGE).write_text(render(content, folder / "figures"), encoding="utf-8")
