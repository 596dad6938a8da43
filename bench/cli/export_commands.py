"""`python -m bench export`, `document` and `perception`: results as small tables, and as pages."""

from pathlib import Path
from typing import Annotated

import typer

from bench.errors import counted
from bench.store.escaping import for_terminal
from bench.store.standing import Status

RunsOption = Annotated[str, typer.Option(help="Only runs whose folder names match this pattern.")]


def export(
    out: Annotated[Path, typer.Option(help="Folder of the tables; replaces earlier tables there.")],
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Folder of results or of exported tables; repeat it to add folders."),
    ] = None,
    runs: RunsOption = "*",
) -> None:
    """Write results as a few small tables; report and document read them instead of runs."""
    from bench.analysis.report.export import export as write

    found = write(results or [Path("results")], out, runs)
    finished = counted(found.pop(Status.FINISHED, 0), "finished run")
    others = "".join(f", {count} {status}" for status, count in sorted(found.items()))
    print(for_terminal(f"{out}: {finished}{others}"))


def document(
    out: Annotated[Path, typer.Option(help="Markdown file to write.")],
    results: Annotated[Path, typer.Option(help="Folder of results or of exported tables.")] = Path(
        "results"
    ),
    images: Annotated[
        Path | None, typer.Option(help="Folder of its figures; default: images, beside the page.")
    ] = None,
    runs: RunsOption = "*",
    select: Annotated[
        str, typer.Option(help="Criterion that chooses λ: val_dice, val_loss, val_dice_bounded.")
    ] = "val_dice",
    published: Annotated[bool, typer.Option("--published", help="Add the papers' values.")] = False,
) -> None:
    """Write conclusions, tables and figures as a page of Markdown."""
    from bench.analysis.numbers.findings import Request
    from bench.analysis.report.document import write_document

    request = Request(results, runs, select=select, published=published)
    found = write_document(request, out, images or out.parent / "images")
    print(for_terminal(f"{out}: {counted(len(found.records.summaries), 'finished run')}"))


def perception(
    out: Annotated[Path, typer.Option(help="Markdown file to write.")],
    results: Annotated[
        Path, typer.Option(help="Folder of results with runs of perception, or of exported tables.")
    ] = Path("results"),
    registrations: Annotated[
        Path | None,
        typer.Option(help="The same with registrations to compare with; by default --results."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of its figures; default: images, beside the page.")
    ] = None,
    runs: RunsOption = "*",
) -> None:
    """Write what metrics see, and whether that agrees with registration, as a page of Markdown."""
    from bench.analysis.report.perceived import write_perceived
    from bench.cli.listing import print_missing

    found = write_perceived(results, registrations, runs, out, images or out.parent / "images")
    print_missing(found.missing.to_dict("records"))
    print(for_terminal(f"{out}: {counted(found.runs, 'finished run')} of perception"))
