"""What interactive plots share: axes, marks in the looks of labels, and their text in the page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.analysis.plots.style import SETTINGS, Look, outline

HEIGHT = 340  # pixels
LINE_WIDTH = 1.5  # pixels


@dataclass(frozen=True)
class Plot:
    """An interactive plot.

    Attributes:
        name: Of its place in the page.
        title: Heads it: what the plot is of.
        content: JSON that Bokeh's `embed_item` takes.
        height: Pixels.
    """

    name: str
    title: str
    content: str
    height: int


def new_canvas(x: str, y: str, height: int = HEIGHT, **options: Any) -> Any:
    """An empty plot as wide as its place.

    Args:
        x: Title of the axis to the right.
        y: Title of the axis upwards.
        height: Pixels.
        options: Of `bokeh.plotting.figure`.
    """
    from bokeh.plotting import figure

    canvas = figure(
        x_axis_label=x,
        y_axis_label=y,
        height=height,
        sizing_mode="stretch_width",
        tools="box_zoom,reset",
        active_drag=None,
        **options,
    )
    canvas.toolbar.logo = None
    canvas.toolbar.autohide = True
    canvas.grid.grid_line_color = SETTINGS["grid.color"]
    canvas.outline_line_color = None
    for axis in canvas.axis:
        axis.axis_label_text_font_style = "normal"
        axis.axis_label_text_color = axis.major_label_text_color = "#222222"
        axis.minor_tick_line_color = None
    return canvas


def add_line(canvas: Any, label: str, look: Look, source: Any, x: str, y: str) -> None:
    """Draws a line through the points of a source."""
    from bokeh.models import Line

    dash = [max(1, round(LINE_WIDTH * length)) for length in look.dash]  # bokeh takes whole pixels
    style = {"line_color": look.color, "line_width": LINE_WIDTH, "line_dash": dash}
    canvas.add_glyph(source, Line(x=x, y=y, **style), name=label)


def add_marks(canvas: Any, label: str, look: Look, source: Any, x: str, y: str) -> Any:
    """Draws the markers of a look at the points of a source, which has the column `size`.

    Returns:
        What draws them, for `add_hover`.
    """
    from bokeh.models import CustomJS, Scatter

    corners = json.dumps([[x, -y] for x, y in outline(look.marker)])  # downwards on a canvas
    shape = CustomJS(
        code="export default (args, obj, {r}) => { const path = new Path2D(); "
        f"for (const [x, y] of {corners}) path.lineTo(2 * r * x, 2 * r * y); "
        "path.closePath(); return path }"
    )
    glyph = Scatter(
        x=x,
        y=y,
        size="size",
        marker={"value": "@own"},
        defs={"@own": shape},
        fill_color=look.color,
        line_color="black",
        line_width=0.7,
    )
    return canvas.add_glyph(source, glyph, name=label)


def add_hover(canvas: Any, drawn: Sequence[Any], facts: Mapping[str, str]) -> None:
    """Lets points say their method and further facts.

    Args:
        canvas: Where they are drawn.
        drawn: Of `add_marks`.
        facts: By what each says, where it is from, such as `@dice{0.000}`.
    """
    from bokeh.models import HoverTool

    said = {"method": "$name", **facts}.items()
    tips = "".join(f"<div><b>{name}</b> {value}</div>" for name, value in said)
    canvas.add_tools(HoverTool(renderers=list(drawn), tooltips=tips))


def set_ticks(axis: Any, texts: Mapping[float, str]) -> None:
    """Writes texts at places of an axis, and nothing elsewhere."""
    from bokeh.models import FixedTicker

    axis.ticker = FixedTicker(ticks=list(texts))
    axis.major_label_overrides = dict(texts)


def finished(canvas: Any, name: str, title: str) -> Plot:
    """The plot as the page takes it.

    Args:
        canvas: With all that it shows.
        name: Of its place in the page.
        title: Heads it.
    """
    from bokeh.embed import json_item

    content = _renumbered(json_item(canvas), name, {})
    return Plot(name, title, json.dumps(content, separators=(",", ":")), canvas.height)


def _renumbered(content: Any, prefix: str, known: dict[str, str]) -> Any:
    """Content with ids that do not depend on what else was drawn: same runs, same bytes."""
    if isinstance(content, list | tuple):
        return [_renumbered(item, prefix, known) for item in content]
    if not isinstance(content, dict):
        return content
    return {
        key: known.setdefault(value, f"{prefix}-{len(known)}")
        if key in ("id", "root_id")
        else _renumbered(value, prefix, known)
        for key, value in content.items()
    }
