"""The figures of a report, by the section that shows them."""

from pathlib import Path

from bench.analysis.numbers.findings import Findings, Request, stack
from bench.analysis.plots.change_curves import SECTION as CHANGES
from bench.analysis.plots.change_curves import draw_change_curves
from bench.analysis.plots.drawings import Drawing
from bench.analysis.plots.gallery import draw_all, draw_published
from bench.analysis.plots.perception import draw_agreement, draw_perception
from bench.analysis.plots.style import save, styled
from bench.analysis.plots.synthesis import draw_synthesis
from bench.analysis.report.examples import copy_change_maps, copy_panels
from bench.analysis.report.page import Picture
from bench.store.layout import RUNS

EXAMPLES = "Examples"


def draw(request: Request, found: Findings, folder: Path) -> dict[str, list[Picture]]:
    """Draws all figures into a folder.

    Args:
        request: What of.
        found: What the runs say.
        folder: Where the files belong.

    Returns:
        The pictures of each section of the page.
    """

    def picture(drawing: Drawing) -> Picture:
        save(drawing.figure, folder / drawing.name)
        description = drawing.description or drawing.caption
        return Picture(drawing.name, drawing.caption, description, drawing.plots(), drawing.legend)

    pictures: dict[str, list[Picture]] = {}
    with styled():
        rows = stack([found.rows, found.unfinished], [*map(str, found.rows)])
        for drawing in draw_all(found.comparisons, rows):
            pictures.setdefault(drawing.section, []).append(picture(drawing))
        for drawing in [*draw_perception(found.perception), *draw_agreement(found.agreements)]:
            pictures.setdefault(drawing.section, []).append(picture(drawing))
        for drawing in draw_change_curves(found.changes):
            pictures.setdefault(drawing.section, []).append(picture(drawing))
        for panel in copy_change_maps(request, found, folder):
            pictures.setdefault(CHANGES, []).append(panel)
        for drawing in draw_synthesis(found.synthesis, request.results / RUNS):
            pictures.setdefault(drawing.section, []).append(picture(drawing))
        if request.published:
            published = draw_published()
            pictures[published.section] = [picture(published)]
    panels = copy_panels(request, found, folder)
    return pictures | ({EXAMPLES: panels} if panels else {})
