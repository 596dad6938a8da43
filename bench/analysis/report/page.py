"""The page of a report: one file that holds its figures and needs no network."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.analysis.plots.interactive.canvas import Plot
from bench.analysis.plots.style import Look, outline
from bench.analysis.report import markup
from bench.analysis.report.markup import Table

LARGEST = 6_000_000  # bytes of the page; pictures that do not fit in are shown from their files
SYMBOL = 14  # pixels


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: Of its files.
        caption: What it shows and how to read it.
        description: The numbers that it shows, for those who cannot see it.
        plots: Interactive ones that are seen in its place; it is printed.
        legend: Looks of the labels in the plots.
    """

    name: str
    caption: str
    description: str
    plots: Sequence[Plot] = ()
    legend: Mapping[str, Look] = field(default_factory=dict)


def render(content: Mapping[str, Any], figures: Path) -> str:
    """The page.

    Args:
        content: What page.html names; `pictures` by their sections.
        figures: Folder of the PNG files of pictures.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(
        files("bench.analysis.report").joinpath("page.html").read_text(encoding="utf-8")
    )
    sections: dict[str, str] = {}

    def heading(title: str) -> Markup:
        """Heads a section, and enters it into the table of contents."""
        name = "-".join(["section", *re.findall(r"\w+", title.lower())])
        sections[name] = title
        return Markup('<h2 id="{}">{}</h2>').format(name, title)

    def html(table: Table) -> Markup:
        return Markup(markup.html(table))

    pictures = [picture for of_one in content["pictures"].values() for picture in of_one]
    page = template.render(
        {
            **content,
            "sections": sections,
            "heading": heading,
            "html": html,
            "source": lambda picture: f"{figures.name}/{picture.name}.png",
            "symbol": symbol,
            "data": lambda text: Markup(text.replace("<", r"\u003c")),
            "library": _library() if any(picture.plots for picture in pictures) else "",
        }
    )
    return _with_pictures(page, sorted(pictures, key=lambda one: bool(one.plots)), figures)


def _with_pictures(page: str, pictures: Sequence[Picture], figures: Path) -> str:
    """The page with pictures in the place of references to their files, while they fit in."""
    size = len(page.encode())
    for picture in pictures:
        file = figures / f"{picture.name}.png"
        data = f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"
        size += len(data)
        if size > LARGEST:
            break
        page = page.replace(f'src="{figures.name}/{file.name}"', f'src="{data}"')
    return page


def symbol(look: Look) -> Markup:
    """The marker of a look on its line, as SVG."""
    half = SYMBOL / 2
    places = [(1 + 0.8 * x, 0.5 - 0.8 * y) for x, y in outline(look.marker)]
    corners = " ".join(f"{SYMBOL * x:.1f},{SYMBOL * y:.1f}" for x, y in places)
    dash = " ".join(f"{length:g}" for length in look.dash)
    return Markup(
        '<svg width="{0}" height="{1}" aria-hidden="true">'
        '<line x2="{0}" y1="{2}" y2="{2}" stroke="{3}" stroke-width="2" stroke-dasharray="{4}"/>'
        '<polygon points="{5}" fill="{3}" stroke="black" stroke-width=".7"/></svg>'
    ).format(2 * SYMBOL, SYMBOL, half, look.color, dash, corners)


@cache
def _library() -> Markup:
    """BokehJS, of which figures need the main part only."""
    script = files("bokeh").joinpath("server", "static", "js", "bokeh.min.js")
    return Markup(script.read_text(encoding="utf-8"))
