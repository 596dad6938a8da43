"""Figures of a data set: a contact sheet, and pairs as they are trained on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.analysis.plots.registered import draw_contours, draw_image, plane_to_show
from bench.analysis.plots.saving import write_figure
from bench.data.check import SHOWN
from bench.data.check_report import CheckReport
from bench.store.files import make_folder

Shown = tuple[str, np.ndarray, np.ndarray | None]


def draw_sheet(path: Path, report: CheckReport) -> None:
    """Draws some subjects of each split after preprocessing, labels as contours.

    Args:
        path: PNG file to write.
        report: What `check` found.
    """
    splits = [name for name, split in report.splits.items() if split.shown]
    rows = [
        [(f"{split}: {name}", image, labels) for name, image, labels in report.splits[split].shown]
        for split in splits
    ]
    _draw_rows(path, rows, SHOWN, f"{report.name} after preprocessing")


def draw_pairs(path: Path, pairs: Sequence[tuple[Shown, Shown]], title: str) -> None:
    """Draws pairs, moving above fixed, labels as contours.

    Args:
        path: PNG file to write.
        pairs: Moving and fixed, each with name, image (C, *S) and labels (*S) or None.
        title: Written above.
    """
    rows = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    _draw_rows(path, rows, len(pairs), title)


def _draw_rows(path: Path, rows: Sequence[Sequence[Shown]], columns: int, title: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.6 * columns, 2.9 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for line, row in zip(axes, rows, strict=True):
        for axis, (name, image, labels) in zip(line, row, strict=False):
            _draw(axis, name, image, labels)
    figure.suptitle(title)
    make_folder(path.parent)
    write_figure(figure, path, dpi=100)


def _draw(axis: Any, name: str, image: np.ndarray, labels: np.ndarray | None) -> None:
    plane = plane_to_show(image, labels)
    shown = image[(slice(None), *plane)]
    draw_image(axis, shown, shown.min(), shown.max())
    draw_contours(axis, None if labels is None else labels[plane], "solid")
    axis.set_title(name, fontsize=7)
