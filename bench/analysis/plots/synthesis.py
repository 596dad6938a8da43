"""Figures of synthesis: one run, and the outputs of several."""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.plots.drawings import Drawing, file_name
from bench.analysis.plots.registered import draw_image
from bench.analysis.plots.saving import write_figure
from bench.analysis.plots.style import new_figure
from bench.store.files import write_atomically
from bench.store.layout import SHOWN

SECTION = "Synthesis"
TITLE = 20  # characters a line of a column's title
BAR = (0.05, 0.1, 0.07, 0.8)  # of the colour bar within the free place below the truth
STRONGEST = 0.3  # of the range of the truth: a difference that is drawn in full colour


@dataclass(frozen=True)
class Planes:
    """What a run shows: planes (C, H, W) of one test image.

    Attributes:
        subject: Its name.
        input: What the network saw.
        output: What it made.
        truth: What it was to make.
    """

    subject: str
    input: np.ndarray
    output: np.ndarray
    truth: np.ndarray

    def save(self, path: Path) -> None:
        """Writes a file of NumPy's, in half precision."""
        buffer = io.BytesIO()
        images = {name: getattr(self, name) for name in ("input", "output", "truth")}
        halves: dict[str, Any] = {name: a.astype(np.float16) for name, a in images.items()}
        np.savez_compressed(buffer, subject=np.array(self.subject), **halves)
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Planes":
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            images = {n: file[n].astype(np.float32) for n in ("input", "output", "truth")}
            return cls(str(file["subject"]), **images)


def draw_synthesized(path: Path, planes: Planes, title: str) -> None:
    """Draws input, output, truth and the difference of the output from the truth.

    Args:
        path: PNG file to write.
        planes: What to draw.
        title: Written above.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.4), layout="constrained")
    panels = figure.subplots(1, 4)
    darkest, brightest = _window(planes.truth)
    shown = {"input": planes.input, "output": planes.output, "truth": planes.truth}
    for panel, (name, plane) in zip(panels, shown.items(), strict=False):
        draw_image(panel, plane, darkest, brightest)
        panel.set_title(name)
    drawn = _draw_difference(panels[3], planes.output, planes.truth)
    panels[3].set_title("output − truth")
    figure.colorbar(drawn, ax=panels[3], shrink=0.8)
    for panel in panels:
        panel.set_axis_off()
        panel.set_aspect("equal")
    figure.suptitle(title)
    write_figure(figure, path, dpi=110)


def outputs_panel(labels: Sequence[str], runs: Sequence[Planes]) -> Any:
    """The input, each run's output and the truth, below each its difference from the truth.

    Args:
        labels: Of the runs, each another.
        runs: What they show, of one image.
    """
    first = runs[0]
    columns = {"input": first.input, **dict(zip(labels, (r.output for r in runs), strict=True))}
    columns["truth"] = first.truth
    height, width = first.truth.shape[2], first.truth.shape[1]
    figure = new_figure(1.9 * len(columns) + 0.4, 3.8 * height / width + 0.7)
    panels = figure.subplots(2, len(columns), squeeze=False)
    darkest, brightest = _window(first.truth)
    for (above, below), (label, plane) in zip(panels.T, columns.items(), strict=True):
        draw_image(above, plane, darkest, brightest)
        above.set_title("\n".join(textwrap.wrap(label, TITLE)), verticalalignment="bottom")
        if label != "truth":
            drawn = _draw_difference(below, plane, first.truth)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[], aspect="equal")
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
    panels[1, -1].patch.set_visible(False)
    bar = panels[1, -1].inset_axes(BAR)
    figure.colorbar(drawn, cax=bar, extend="both", label="image − truth")
    panels[1, 0].set_ylabel("minus truth")
    return figure


def draw_synthesis(rows: pd.DataFrame, runs: Path) -> Iterator[Drawing]:
    """A panel of outputs for each comparison, of the runs that have kept theirs.

    Args:
        rows: Of `bench.analysis.numbers.synthesis.synthesis_rows`.
        runs: Folder of the runs.
    """
    for name, of_one in rows.groupby("comparison", sort=False):
        made = of_one[of_one["run"].notna()]
        files = {_title(row): runs / str(row["run"]) / SHOWN for row in made.to_dict("records")}
        kept = {label: Planes.load(file) for label, file in files.items() if file.is_file()}
        if not kept:
            continue
        subject = next(iter(kept.values())).subject
        caption = (
            f"{subject} of {name}: the input, what networks with each loss make of it, and the "
            "truth; below, differences from the truth, red where the image is brighter."
        )
        figure = outputs_panel(list(kept), list(kept.values()))
        yield Drawing(f"synthesis-{file_name(str(name))}", caption, figure, SECTION)


def _title(row: Mapping[Any, Any]) -> str:
    """A loss with its c, which stays in one line."""
    if pd.isna(row["weight"]):
        return str(row["label"])
    factor = f"c = {row['weight']:g}".replace(" ", "\N{NO-BREAK SPACE}")
    return f"{row['label']}, {factor}"


def _window(truth: np.ndarray) -> tuple[float, float]:
    """What is drawn black and white."""
    darkest = float(truth.min())
    return darkest, max(float(truth.max()), darkest + 1e-6)


def _draw_difference(panel: Any, image: np.ndarray, truth: np.ndarray) -> Any:
    darkest, brightest = _window(truth)
    limit = STRONGEST * (brightest - darkest)
    difference = (image - truth).mean(axis=0)
    return panel.imshow(difference.T, cmap="RdBu_r", origin="lower", vmin=-limit, vmax=limit)
