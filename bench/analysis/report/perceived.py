"""Perception as one page of Markdown with figures, and whether it agrees with registration."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.analysis.numbers.agreement import (
    Agreement,
    agreement_sentences,
    agreements,
    with_registrations,
)
from bench.analysis.numbers.comparisons import compare
from bench.analysis.numbers.extractors import extractor_rows
from bench.analysis.numbers.missing import missing_of, missing_of_perception
from bench.analysis.numbers.perception import (
    TASK,
    perceived,
    perception_rows,
    perception_runs,
)
from bench.analysis.numbers.perception_sentences import perception_sentences
from bench.analysis.numbers.wording import interval
from bench.analysis.plots.drawings import Drawing
from bench.analysis.plots.perception import draw_agreement, draw_perception
from bench.analysis.plots.style import styled
from bench.analysis.reading.results import read_results
from bench.analysis.report.markup import Cell, Table, markdown
from bench.analysis.report.overview import extractors_table, missing_table, provenance_table
from bench.analysis.report.pages import check_place, figure, link, section, write_figures
from bench.analysis.report.perception import perception_tables
from bench.config.commands import BENCH, RUN
from bench.errors import BenchError, counted
from bench.scores.registry import SCORES, score_of
from bench.scores.score import ARROWS
from bench.store.escaping import for_markdown
from bench.store.files import write_atomically

BEGINNING = "# Perception: results\n\nThis page is computed from the runs in ["
READING = (
    "{documentation} describes the tests and defines the scores. Scores are means "
    "over images, seeds averaged first. Intervals are 95 % bootstrap intervals over images."
)
WITH_REGISTRATION = (
    "Registrations are compared at equal smoothness, see {results}. The interval of "
    "a rank correlation is a bootstrap over images and test pairs for this set of metrics. Its p "
    "is the share of permutations of the metrics whose correlation is at least as far from 0."
)


@dataclass(frozen=True)
class Written:
    """What a page was made of.

    Attributes:
        runs: How many finished runs of perception.
        missing: Of `missing_of_perception`.
    """

    runs: int
    missing: pd.DataFrame


def write_perceived(
    results: Path, registrations: Path | None, runs: str, out: Path, images: Path
) -> Written:
    """Writes the page and its figures.

    Args:
        results: Folder of results with runs of perception, or of tables that were exported.
        registrations: The same with registrations, which perception is compared with; None for
            those in `results`, if there are any.
        runs: Which runs of perception, by the names of their folders.
        out: The file, in Markdown.
        images: Folder of its figures, PNG.

    Raises:
        StoreError: If there are no such runs, or tables are damaged.
        BenchError: If no run of perception has finished, or the page has no place.
    """
    check_place(out, images, BEGINNING)
    records = read_results(results, runs)
    shown = perceived(records)
    if not shown:
        unfinished = len(missing_of(records, TASK))
        remedy = f"`{RUN} task=perception` makes one."
        if unfinished:
            remedy = f"`{BENCH} runs` says why of {counted(unfinished, 'run')}."
        raise BenchError(f"--results {results}: no run of perception has finished. {remedy}")
    others = (
        records if registrations is None else read_results(registrations, option="--registrations")
    )
    comparisons = compare(others)
    found = agreements(comparisons, shown)
    asked = with_registrations(shown, comparisons) if registrations is None else shown
    missing = missing_of_perception(records, shown, comparisons, asked)
    rows = perception_rows(shown)
    with styled():
        heat_maps, agreed = list(draw_perception(rows)), list(draw_agreement(found))
        write_figures([*heat_maps, *agreed], images, out)
    runs_shown = perception_runs(records)
    provenance = provenance_table(records, runs_shown)
    used = [records.summaries[run] for run in runs_shown]
    said = [*perception_sentences(rows), *agreement_sentences(found)]
    parts = [
        _origin(results, registrations, runs, out, images),
        READING.format(documentation=_linked("perception.md", out)),
        "## In short",
        "\n".join(f"- {for_markdown(text)}" for text in said),
        *_figures(heat_maps, out, images),
        *section("Scores", *perception_tables(rows)),
        *_agreement(found, agreed, out, images),
        *section("Extractors", extractors_table(extractor_rows(results, used))),
        *section("What is missing", missing_table(missing)),
        *section("Where the numbers come from", provenance),
    ]
    write_atomically(out, "\n\n".join(part.strip("\n") for part in parts) + "\n")
    return Written(len(used), missing)


def _origin(results: Path, registrations: Path | None, runs: str, out: Path, images: Path) -> str:
    command = f"{BENCH} perception --results {shlex.quote(str(results))}"
    if registrations is not None:
        command += f" --registrations {shlex.quote(str(registrations))}"
    if runs != "*":
        command += f" --runs {shlex.quote(runs)}"
    command += f" --out {shlex.quote(str(out))} --images {shlex.quote(str(images))}"
    folder = link(results, out)
    return (
        f"{BEGINNING}{folder}]({folder}). The following command writes it and overwrites "
        f"edits:\n\n    {command}"
    )


def _linked(name: str, out: Path) -> str:
    """A page of the documentation, linked where it lies beside the page that is written.

    Where this command wrote a page of that name, it is not the documentation.
    """
    beside = out.parent / name
    written = beside.is_file() and beside.read_bytes().startswith(BEGINNING.encode())
    is_there = beside.is_file() and not written and beside.resolve() != out.resolve()
    return f"[{name}]({name})" if is_there else f"docs/{name} of the suite"


def _figures(drawings: Sequence[Drawing], out: Path, images: Path) -> Iterator[str]:
    for drawing in drawings:
        yield figure(drawing, drawing.caption, out, images)


def _agreement(
    found: Sequence[Agreement], drawings: Sequence[Drawing], out: Path, images: Path
) -> Iterator[str]:
    if found:
        yield "## With registration"
        yield WITH_REGISTRATION.format(results=_linked("results.md", out))
        yield from _figures(drawings, out, images)
        for score in dict.fromkeys(one.score for one in found):
            yield markdown(_table([one for one in found if one.score == score], score))


def _table(found: Sequence[Agreement], score: str) -> Table:
    """Geometry score and registration of each metric."""
    registered = f"{SCORES[score].title} at equal smoothness {ARROWS[SCORES[score].best]}"
    titles = [score_of("geometry").directed(), registered]
    table = Table("agreement", "", ["data set", "metric", *titles], texts=2, names=1)
    for one in found:
        ordered = one.rows.sort_values("geometry", ascending=False, kind="stable")
        table.sections.append(
            [
                [Cell(one.name, one.name), Cell(row["label"], row["label"])]
                + [_cell(row, name) for name in ("geometry", score)]
                for row in ordered.to_dict("records")
            ]
        )
    return table


def _cell(row: dict, name: str) -> Cell:
    limits = interval(row[f"{name}_low"], row[f"{name}_high"])
    return Cell(f"{row[name]:.3f} ({limits})", row[name])
