"""One test pair, a column for each way to register it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.analysis.plots.registered import (
    Points,
    draw_contours,
    draw_grid,
    draw_image,
    draw_landmarks,
    inside,
    name_contours,
    plane_to_show,
)
from bench.analysis.plots.style import new_figure

ROWS = ("warped", "labels", "deformation grid", "log Jacobian", "difference")
BAR = (1.06, 0.05, 0.06, 0.9)  # of a colour bar, in a panel of the last column
LARGEST_LOG = 1.5  # of the colours; folded voxels are black


@dataclass(frozen=True)
class Registered:
    """How one network registered the pair.

    Attributes:
        label: Written above.
        warped: (C, *S).
        labels: Warped labels (*S); None without labels.
        displacement: (D, *S), voxels.
        determinant: Signed Jacobian, one voxel shorter along each axis.
        landmarks: Drawn on the grid; None without.
    """

    label: str
    warped: np.ndarray
    labels: np.ndarray | None
    displacement: np.ndarray
    determinant: np.ndarray
    landmarks: Points | None = None


def draw_panel(
    fixed: np.ndarray,
    labels: np.ndarray | None,
    columns: Sequence[Registered],
    title: str,
    names: Sequence[str] = (),
) -> Any:
    """Draws the warped images, contours of warped (solid) and fixed labels (dotted), the grids with
    the moving image's landmarks (dots) and lines to where the fixed ones are mapped, the logarithms
    of the signed Jacobians (folded voxels black) and the differences from the fixed image, their
    mean over channels.

    Args:
        fixed: (C, *S).
        labels: Of the fixed image (*S); None without labels.
        columns: The first is usually the unregistered pair.
        title: Written above.
        names: Of the classes, background first; needed with labels.
    """
    place = plane_to_show(fixed, labels)
    plane = fixed[(slice(None), *place)]
    brightest = max(float(plane.max()), 1e-6)
    height = 1.6 * plane.shape[2] / plane.shape[1]
    figure = new_figure(1.7 * len(columns) + 1.0, height * len(ROWS) + 0.8)
    panels = figure.subplots(len(ROWS), len(columns), squeeze=False)
    for column, registered in zip(panels.T, columns, strict=True):
        warped = registered.warped[(slice(None), *place)]
        column[0].set_title(registered.label)
        for panel in column[:2]:
            draw_image(panel, warped, 0, brightest)
        if labels is not None and registered.labels is not None:
            draw_contours(column[1], registered.labels[place], "solid")
            draw_contours(column[1], labels[place], "dotted")
        draw_grid(column[2], registered.displacement[(slice(0, 2), *place)])
        draw_landmarks(column[2], registered.landmarks, place)
        determinant = registered.determinant[inside(place, registered.determinant.shape)]
        logarithms = _draw_log_jacobian(column[3], determinant)
        difference = (warped - plane).mean(axis=0)
        differences = column[4].imshow(
            difference.T, cmap="RdBu_r", origin="lower", vmin=-brightest, vmax=brightest
        )
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[], aspect="equal")
        panel.grid(visible=False)
        panel.spines[:].set_visible(False)
    beside = [panel.inset_axes(BAR) for panel in panels[3:, -1]]
    figure.colorbar(logarithms, cax=beside[0], extend="both", label="log J; black: folded")
    figure.colorbar(differences, cax=beside[1], label="warped − fixed")
    if labels is not None:
        moved = [c.labels[place] for c in columns if c.labels is not None]
        name_contours(figure, [labels[place], *moved], names)
    for panel, row in zip(panels[:, 0], ROWS, strict=True):
        panel.set_ylabel(row)
    figure.suptitle(title)
    return figure


def _draw_log_jacobian(panel: Any, determinant: np.ndarray) -> Any:
    from matplotlib import colormaps

    colors = colormaps["PuOr"].with_extremes(bad="black")
    logarithm = np.full(determinant.shape, np.nan)
    np.log(determinant, out=logarithm, where=determinant > 0)
    limits = {"vmin": -LARGEST_LOG, "vmax": LARGEST_LOG}
    return panel.imshow(logarithm.T, cmap=colors, origin="lower", **limits)
