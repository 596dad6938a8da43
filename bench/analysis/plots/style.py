"""Style of figures: one colour and one marker for each metric, everywhere."""

import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.reading.metrics import FURTHER_METHODS, METRICS, Marker
from bench.store.files import write_atomically

OTHERS: tuple[tuple[str, Marker], ...] = (  # of what is not of the suite
    *(("#c9a227", "*"), ("#2f6b3c", (6, 1, 30))),
    *(("#d1609b", (4, 1, 20)), ("#6b4226", (7, 0, 0))),
)
FURTHER: tuple[Marker, ...] = (  # of the second and further variants of a metric
    *((4, 1, 0), (3, 1, 0), (6, 1, 0), (4, 1, 45)),
    *((3, 1, 180), (8, 1, 0), "H", (7, 1, 0)),
)
DASHES = ((), (5, 2), (2, 1.5), (8, 2, 2, 2), (5, 1.5, 1, 1.5, 1, 1.5))  # on and off
HATCHES = ("", "/////", ".....", "xxxxx", "-----")
RESOLUTION = 150  # dots per inch
MARKER, CHARACTER = 0.5, 0.085  # inches of an entry of a legend
LEGEND_LINES, LEGEND_LINE = 4, 0.2  # lines that figures have room for; inches of a further one
EDGE = {"markeredgecolor": "black", "markeredgewidth": 0.5}
TITLE_WIDTH = 32  # characters
MANY_TICKS = 6  # more are written upwards
SETTINGS = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
    "text.parse_math": False,  # a name with $ is a name
}


@dataclass(frozen=True)
class Look:
    """Colour and marker of one label, and the number of its variant: 0 is the metric's first."""

    color: str
    marker: Marker
    variant: int = 0

    @property
    def dash(self) -> tuple[float, ...]:
        """Lengths of its line that are drawn and left out; empty if it is solid."""
        return DASHES[self.variant % len(DASHES)]

    @property
    def hatch(self) -> str:
        """What its boxes are hatched with."""
        return HATCHES[self.variant % len(HATCHES)]


def looks(labels: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """The look of each label.

    The second and further labels of one metric are lighter, and have other markers, dashes and
    hatches. What is not of the suite takes the looks of `OTHERS` in the order of names, then
    lighter ones.

    Args:
        labels: Pairs of label and metric.
    """
    metrics = dict(labels)
    known = METRICS | FURTHER_METHODS
    for i, name in enumerate(sorted(set(metrics.values()) - set(known))):
        color, marker = OTHERS[i % len(OTHERS)]
        known[name] = (lighter(color, i // len(OTHERS) / (i // len(OTHERS) + 1)), marker)
    further = cycle(FURTHER)
    found: dict[str, Look] = {}
    for metric in known:
        color, marker = known[metric]
        alike = sorted(label for label, of in metrics.items() if of == metric)
        for i, label in enumerate(alike):
            shade = lighter(color, i / (len(alike) + 1))
            found[label] = Look(shade, next(further) if i else marker, i)
    return found


def outline(marker: Marker) -> list[tuple[float, float]]:
    """Corners (x, y) of a marker, in shares of its size around its middle, y upwards."""
    from matplotlib.markers import MarkerStyle
    from matplotlib.transforms import Affine2D

    shape = MarkerStyle(marker)
    path = shape.get_path().transformed(shape.get_transform())
    (corners,) = path.to_polygons(Affine2D().scale(20))  # curves are cut to a pixel
    return [(round(float(x) / 20, 3), round(float(y) / 20, 3)) for x, y in np.asarray(corners)]


def lighter(color: str, share: float) -> str:
    """Mixes a colour `#rrggbb` with a share, 0 to 1, of white."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + share * (255 - part)):02x}" for part in parts)


def is_dark(color: str) -> bool:
    """Whether white is easier to see than black on a colour `#rrggbb`."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue < 110


def styled() -> AbstractContextManager[None]:
    """Within it, figures are drawn in the style of the suite."""
    from matplotlib import rc_context

    return rc_context(SETTINGS)


def make_ready() -> None:
    """Imports all that drawing takes, by drawing: what fails does so before hours of training."""
    import io

    figure = new_figure(1, 1)
    panel = figure.subplots()
    panel.set_title("λ")
    panel.contour([[0, 1], [1, 0]])
    for kind in ("png", "pdf"):
        figure.savefig(io.BytesIO(), format=kind)


def new_figure(width: float, height: float) -> Any:
    """An empty figure of a size in inches that arranges its panels itself."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def add_title(panel: Any, text: str) -> None:
    """Writes a title above a panel, in as many lines as it takes."""
    panel.set_title(textwrap.fill(text, TITLE_WIDTH))


def add_legend(figure: Any, handles: Sequence[Any]) -> None:
    """Puts one legend below all panels, read line by line, with lines of about the same length.

    It has as many columns as fit; of many lines, on more paper. A label that is too long for the
    figure takes several lines.
    """
    width = figure.get_figwidth()
    for handle in handles:
        handle.set_label(textwrap.fill(handle.get_label(), int((width - MARKER) / CHARACTER)))
    labels = [handle.get_label().split("\n") for handle in handles]
    longest = max(len(line) for label in labels for line in label)
    columns = min(max(int(width / (MARKER + CHARACTER * longest)), 1), len(handles))
    lines = -(-len(handles) // columns)
    columns = -(-len(handles) // lines)
    in_columns = [handle for column in range(columns) for handle in handles[column::columns]]
    texts = sum(max(map(len, labels[n : n + columns])) for n in range(0, len(labels), columns))
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE * max(0, texts - LEGEND_LINES))
    figure.legend(handles=in_columns, loc="outside lower center", ncols=columns)


def line_handle(label: str, look: Look) -> Any:
    """The entry of a label in a legend of lines with markers."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, linestyle=line_style(look), **marker(look))


def point_handle(label: str, look: Look) -> Any:
    """The entry of a label in a legend of points."""
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, linestyle="none", **marker(look))


def line_style(look: Look) -> Any:
    """Option `linestyle` of `plot` for the dash of a look."""
    return (0, look.dash) if look.dash else "solid"


def marker(look: Look) -> dict[str, Any]:
    """Options of `plot` for the marker of a look."""
    return {
        "color": look.color,
        "marker": look.marker,
        "markersize": 6,
        **EDGE,
    }


def draw_lines(
    panel: Any,
    rows: pd.DataFrame,
    x: str,
    y: str,
    looks: Mapping[str, Look],
    unit: str | None = None,
    **options: Any,
) -> None:
    """Draws a line with markers for each label.

    Args:
        panel: Where to.
        rows: With `label` and the columns of both axes; several of one place are averaged.
        x: Column to the right.
        y: Column upwards.
        looks: Of the labels.
        unit: A column that tells apart the lines of one label.
        options: Of `plot`.
    """
    lines = ["label"] if unit is None else ["label", unit]
    places = rows.dropna(subset=[x, y]).groupby([*lines, x])[y].mean()
    by_label = dict(tuple(places.reset_index().groupby("label")))
    for label, look in looks.items():
        if label not in by_label:
            continue
        of_label = by_label[label]
        style = {**marker(look), "linestyle": line_style(look), "linewidth": 1.2, **options}
        for _, points in of_label.groupby(lines):
            panel.plot(points[x], points[y], **style)


def draw_points(panel: Any, rows: pd.DataFrame, x: str, y: str, looks: Mapping[str, Look]) -> None:
    """Draws a point for each row.

    Args:
        panel: Where to.
        rows: With `label` and the columns of both axes.
        x: Column to the right.
        y: Column upwards.
        looks: Of the labels.
    """
    import seaborn

    seaborn.scatterplot(
        rows.reset_index(drop=True),
        x=x,
        y=y,
        **_by_label(rows, looks),
        s=36,
        edgecolor="black",
        linewidth=0.5,
        ax=panel,
        zorder=3,
    )


def _by_label(rows: pd.DataFrame, looks: Mapping[str, Look]) -> dict[str, Any]:
    """Options of seaborn by which labels have their looks."""
    present = set(rows["label"])
    shown = {label: look for label, look in looks.items() if label in present}
    return {
        "hue": "label",
        "hue_order": list(shown),
        "palette": {label: look.color for label, look in shown.items()},
        "style": "label",
        "style_order": list(shown),
        "markers": {label: look.marker for label, look in shown.items()},
        "legend": False,
    }


def save(figure: Any, path: Path) -> None:
    """Writes a figure as PNG and PDF, without the time: the same figure gives the same bytes.

    Args:
        figure: A matplotlib figure.
        path: Where, without a suffix.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    figure.set_dpi(RESOLUTION)
    canvas = FigureCanvasAgg(figure)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
    figure.set_layout_engine("none")  # `savefig` would lay it out by drawing it once more
    png, pdf = io.BytesIO(), io.BytesIO()
    canvas.print_png(png)
    FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})
    for content, suffix in ((png, ".png"), (pdf, ".pdf")):
        write_atomically(path.with_suffix(suffix), content.getvalue())
