"""Feature maps of extractors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.analysis.plots.registered import draw_image
from bench.analysis.plots.style import new_figure

SHOWN = 6


@dataclass(frozen=True)
class Maps:
    """One level of an extractor.

    Attributes:
        label: Written to the left.
        planes: (C, H, W).
    """

    label: str
    planes: np.ndarray


def draw_features(image: np.ndarray, rows: Sequence[Maps], title: str) -> Any:
    """Draws the image and, a row for each level, the maps that vary most over it.

    Args:
        image: (C, H, W), the plane of the image.
        rows: The levels.
        title: Written above.
    """
    height = 1.4 * image.shape[2] / image.shape[1]
    figure = new_figure(1.4 * (SHOWN + 1), height * len(rows) + 0.4)
    panels = figure.subplots(len(rows), SHOWN + 1, squeeze=False)
    for line, row in zip(panels, rows, strict=True):
        draw_image(line[0], image, image.min(), image.max())
        line[0].set_ylabel(row.label)
        spread = row.planes.std(axis=(1, 2))
        chosen = np.argsort(-spread, kind="stable")[:SHOWN]
        for panel, channel in zip(line[1:], chosen, strict=False):
            panel.imshow(row.planes[channel].T, cmap="gray", origin="lower")
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[], aspect="equal")
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
    figure.suptitle(title)
    return figure
