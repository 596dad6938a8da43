"""What the pages of Markdown have in common: their place, links, figures and sections."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.analysis.plots.drawings import Drawing
from bench.analysis.plots.saving import write_figure
from bench.analysis.plots.style import RESOLUTION
from bench.analysis.report.markup import Table, markdown
from bench.analysis.report.places import refuse_among_tables, refuse_in_results
from bench.errors import BenchError
from bench.store.files import make_folder


def check_place(out: Path, images: Path, beginning: str) -> None:
    """Refuses a place where a page or its figures would replace something else.

    Args:
        out: The page.
        images: Folder of its figures.
        beginning: How such a page begins.

    Raises:
        BenchError: If there is another file, or one would lie among exported tables or results.
    """
    if out.is_dir():
        raise BenchError(f"--out {out}: is a folder. Name the page, such as {out / 'results.md'}.")
    refuse_among_tables("--out", out)
    refuse_among_tables("--images", images)
    refuse_in_results("--out", out)
    refuse_in_results("--images", images)
    if out.exists() and not out.read_bytes().startswith(beginning.encode()):
        raise BenchError(
            f"--out {out}: exists, and this command did not write it. Name another file."
        )
    if images.exists() and not images.is_dir():
        raise BenchError(f"--images {images}: is a file. Name a folder.")


def write_figures(drawings: Sequence[Drawing], images: Path, out: Path) -> None:
    """Writes figures as PNG.

    Args:
        drawings: The figures.
        images: Their folder.
        out: The page, which may be there from before.

    Raises:
        BenchError: If a figure would replace a file that the page does not show.
    """
    former = out.read_text(encoding="utf-8") if out.exists() else ""
    files = [images / f"{drawing.name}.png" for drawing in drawings]
    for file in files:
        if file.exists() and f"]({link(file, out)})" not in former:
            raise BenchError(
                f"--images {images}: holds {file.name}, which {out} does not show and a figure "
                "would replace. Move it away, or name another folder."
            )
    make_folder(images)
    for drawing, file in zip(drawings, files, strict=True):
        write_figure(drawing.figure, file, dpi=RESOLUTION)


def link(target: Path, out: Path) -> str:
    """The address of a file from a page."""
    return Path(os.path.relpath(target, out.parent)).as_posix()


def figure(drawing: Drawing, caption: str, out: Path, images: Path) -> str:
    """A figure of a page, with its caption."""
    file = link(images / f"{drawing.name}.png", out)
    alternative = caption.partition(". ")[0].removesuffix(".")
    return f"![{alternative}]({file})\n\n*{caption}*"


def section(title: str, *tables: Table) -> Iterator[str]:
    """A heading and tables; nothing where all are empty."""
    filled = [table for table in tables if table.rows]
    if filled:
        yield f"## {title}"
        yield from map(markdown, filled)
