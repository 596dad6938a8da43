"""Writes results as one page of Markdown with figures, for a repository."""

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from bench.analysis.numbers.comparisons import LEADING
from bench.analysis.numbers.findings import Findings, Request, find
from bench.analysis.numbers.over_datasets import by_noise, count_wins
from bench.analysis.plots.drawings import Drawing, Shown
from bench.analysis.plots.gallery import FRONT, boxes, ranks, smoothness
from bench.analysis.plots.style import looks, styled
from bench.analysis.report.collected import EXPORTED
from bench.analysis.report.contents import CRITERIA
from bench.analysis.report.main_table import results_table, training_note
from bench.analysis.report.markup import Table, markdown
from bench.analysis.report.overview import extractors_table, missing_table, provenance_table
from bench.analysis.report.pages import check_place, figure, link, section, write_figures
from bench.analysis.report.reproduce import sweeps
from bench.analysis.report.tables import fronts_table, losses_table, wins_table
from bench.errors import BenchError
from bench.scores.registry import SCORES
from bench.store.escaping import for_markdown
from bench.store.files import write_atomically

PAPERS = (
    "The papers' Dice comes from Czolbe et al., MIA 2023; compare it with Dice (published), which "
    "follows their definition. Budgets and data may differ."
)
BOXES = (
    "{title} over test pairs, seeds averaged. Boxes show quartiles, whiskers deciles, dots the "
    "pairs beyond; the dashed line marks the median of the unregistered pairs. The label of the "
    "best mean is bold."
)
CAPTIONS = {  # by the name of a drawing, or what begins it
    "smoothness": "Mean test Dice against smoothness of the deformation. Large markers: the chosen "
    "λ, with 95 % intervals; lines follow λ, a marker without a line has one λ or none. Better is "
    "up and left.",
    **{score: BOXES.format(title=SCORES[score].title) for score in LEADING},
}
BEGINNING = "# Results\n\nThis page is computed from the runs in ["
READING = (
    "Scores are means over test pairs ± standard deviation, seeds averaged first. Where a data "
    "set has validation pairs, they choose each λ: {criterion}. Bold: best; underlined: second; "
    "≈: not significantly different from the best.\n\n"
    "Significant means p < 0.05 in Wilcoxon's signed-rank test over test pairs. Pairs that share "
    "subjects, such as A to B and B to A, are not independent: they form a group, the test is over "
    "the groups' means, and the 95 % bootstrap intervals draw groups. Holm's correction covers the "
    "tests among metrics and, separately, those against methods that use no metric. Times are "
    "comparable on one device only; the last section lists the devices."
)


def write_document(request: Request, out: Path, images: Path) -> Findings:
    """Writes the page and its figures.

    Args:
        request: What of.
        out: The file, in Markdown.
        images: Folder of its figures, PNG.

    Raises:
        StoreError: If there are no such runs, or tables are damaged.
        BenchError: If nothing has finished, or the page or its figures have no place.
    """
    check_place(out, images, BEGINNING)
    found = find(request)
    with styled():
        drawings = draw(found)
        text = compose(request, found, drawings, out, images)
        write_figures(drawings, images, out)
    write_atomically(out, text)
    return found


def draw(found: Findings) -> list[Drawing]:
    """The figures of the page."""
    named = ((entry.label, entry.metric) for one in found.comparisons for entry in one.entries)
    shown = Shown(found.comparisons, found.rows, looks(named))
    return [*smoothness(shown, [FRONT]), *boxes(shown), *ranks(shown)]


def compose(
    request: Request, found: Findings, drawings: Sequence[Drawing], out: Path, images: Path
) -> str:
    """The text of the page.

    Raises:
        BenchError: If nothing has finished.
    """
    if not found.comparisons:
        raise BenchError(f"--results {request.results}: no registration has finished.")
    parts = [
        _origin(request, out, images),
        f"{READING.format(criterion=CRITERIA[request.select])} {training_note(found.comparisons)}",
        *([PAPERS] if request.published else []),
        *_answers(found),
        *(_figure(drawing, out, images) for drawing in drawings),
        *_datasets(request, found),
        *section("Equal smoothness", *_by_score(fronts_table, found.fronts)),
        *section("What noise costs", *_by_score(losses_table, found.losses)),
        *section("Over data sets, at equal smoothness", *_wins(found)),
        *section("Extractors", extractors_table(found.extractors)),
        *section("What is missing", missing_table(found.missing)),
        *section("Where the numbers come from", provenance_table(found.records)),
        *_commands(found),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _origin(request: Request, out: Path, images: Path) -> str:
    command = request.command.replace("report", "document", 1)
    command += f" --out {shlex.quote(str(out))} --images {shlex.quote(str(images))}"
    folder = link(request.results, out)
    return (
        f"{BEGINNING}{folder}]({folder}). The following command writes it and overwrites "
        f"edits:\n\n    {command}"
    )


def _answers(found: Findings) -> Iterator[str]:
    """The headlines, and what holds over data sets."""
    names = {one.name for one in found.comparisons}
    over = [said for said in found.conclusions if said.about not in names]
    lines = [
        f"- **{for_markdown(said.about)}**: {for_markdown(said.text)}"
        for said in [*found.headlines, *over]
    ]
    if lines:
        yield "## In short"
        yield "\n".join(lines)


def _figure(drawing: Drawing, out: Path, images: Path) -> str:
    ours = (text for name, text in CAPTIONS.items() if drawing.name.startswith(name))
    return figure(drawing, next(ours, drawing.caption), out, images)


def _datasets(request: Request, found: Findings) -> Iterator[str]:
    """Main table and conclusions of each comparison."""
    beside_papers = [] if request.published else ["published", "difference"]
    left = [name for name in SCORES if name not in EXPORTED]
    rows = found.rows.drop(columns=[*beside_papers, *left], errors="ignore")
    said: dict[str, list[str]] = {}
    for conclusion in found.conclusions:
        said.setdefault(conclusion.about, []).append(conclusion.text)
    for one in found.comparisons:
        table = results_table(rows[rows["comparison"] == one.name], found.pairs, "results", "")
        yield f"## {for_markdown(one.name)}"
        yield markdown(_without_first(table))
        if one.name in said:
            yield "\n".join(f"- {for_markdown(text)}" for text in said[one.name])


def _without_first(table: Table) -> Table:
    """The table without its first column, which says the same in all rows."""
    sections = [[row[1:] for row in section] for section in table.sections]
    headings, texts, names = table.headings[1:], table.texts - 1, table.names - 1
    return replace(table, headings=headings, texts=texts, names=names, sections=sections)


def _by_score(table: Callable[[pd.DataFrame], Table], rows: pd.DataFrame) -> Iterator[Table]:
    """A table for each leading score."""
    for _, of_score in rows.groupby("score"):
        yield table(of_score)


def _wins(found: Findings) -> Iterator[Table]:
    for about, group in by_noise(found.comparisons).items():
        wins = count_wins(group, found.front_pairs)
        if len(wins):
            yield wins_table(about, wins)


def _commands(found: Findings) -> Iterator[str]:
    configs = {run: found.records.configs[run] for run in found.records.registrations}
    lines = "\n".join(sweeps(configs.values()))
    yield (
        "<details><summary>Commands that reproduce these "
        f"runs</summary>\n\n```\n{lines}\n```\n\n</details>"
    )
