"""The page of a report: one file that holds its figures and needs no network."""

import base64
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from bench.analysis.report import markup
from bench.analysis.report.markup import Table


def render(content: Mapping[str, Any], figures: Path) -> str:
    """The page.

    Args:
        content: What page.html names.
        figures: Folder of the PNG files of `pictures`.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string(
        files("bench.analysis.report").joinpath("page.html").read_text(encoding="utf-8")
    )

    def html(table: Table) -> Markup:
        return Markup(markup.html(table))

    def show(picture: Mapping[str, str]) -> Markup:
        data = base64.b64encode((figures / f"{picture['name']}.png").read_bytes()).decode()
        caption = escape(picture["caption"])
        return Markup(
            f'<figure id="{escape(picture["name"])}"><img alt="{caption}" '
            f'src="data:image/png;base64,{data}"><figcaption>{caption}</figcaption></figure>\n'
        )

    return template.render({**content, "html": html, "show": show})
