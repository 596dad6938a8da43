"""Figures of runs."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.analysis.plots.saving import write_figure

LABEL_COLORS, COLORS = "tab10", 10  # classes beyond the tenth take the colours again
ENTRY, ENTRY_WIDTH = 36, 3.5  # characters in a line of the legend of contours, and inches
LEGEND = "; red: errors of landmarks"
NEAR = 1.0  # voxels from the plane that is shown


@dataclass(frozen=True)
class Points:
    """Landmarks of a pair under a displacement, voxels.

    Attributes:
        fixed: Of the fixed image (N, D).
        mapped: The same in the moving image, as the displacement says (N, D).
        moving: Of the moving image (N, D).
    """

    fixed: np.ndarray
    mapped: np.ndarray
    moving: np.ndarray


def draw_registration(
    path: Path,
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray | None],
    displacement: np.ndarray,
    title: str,
    landmarks: Points | None = None,
    names: Sequence[str] = (),
) -> None:
    """Draws one registered pair: images with label contours, deformation grid, signed Jacobian.

    Volumes are shown in the slice along their last axis with the most labels (the middle one
    without labels).

    Args:
        path: PNG file to write.
        images: Moving, fixed and warped image (C, *S).
        labels: Their label maps (*S), or None each.
        displacement: (D, *S), voxels.
        title: Written above.
        landmarks: Drawn on the grid; None without.
        names: Of the classes, background first; needed with labels.
    """
    from matplotlib.figure import Figure

    place = plane_to_show(images[1], labels[1])
    shown = [image[(slice(None), *place)] for image in images]
    contours = [None if label is None else label[place] for label in labels]
    figure = Figure(figsize=(15, 3.4), layout="constrained")
    axes = figure.subplots(1, 5)
    titles = ("moving", "fixed", "warped (solid), fixed (dotted)")
    brightest = max(float(shown[1].max()), 1e-6)
    for axis, what, image, label in zip(axes, titles, shown, contours, strict=False):
        draw_image(axis, image, 0, brightest)
        axis.set_title(what)
        draw_contours(axis, label, "solid")
    draw_contours(axes[2], contours[1], "dotted")
    name_contours(figure, contours, names)
    draw_grid(axes[3], displacement[(slice(0, 2), *place)])
    draw_landmarks(axes[3], landmarks, place)
    axes[3].set_title(f"grid{LEGEND}" if landmarks else "deformation grid")
    determinant = _signed_jacobian(displacement)
    drawn = _draw_jacobian(axes[4], determinant[inside(place, determinant.shape)])
    axes[4].set_title(f"signed Jacobian, {float((determinant <= 0).mean()):.2%} folded")
    figure.colorbar(drawn, ax=axes[4], shrink=0.8)
    for axis in axes:
        axis.set_axis_off()
        axis.set_aspect("equal")
    figure.suptitle(title)
    write_figure(figure, path, dpi=110)


def plane_to_show(image: np.ndarray, labels: np.ndarray | None) -> tuple[slice | int, ...]:
    """Index of the plane of an image (C, *S) that is drawn."""
    if image.ndim == 3:
        return (slice(None), slice(None))
    middle = image.shape[3] // 2
    if labels is not None and labels.any():
        middle = int((labels > 0).sum(axis=(0, 1)).argmax())
    return (slice(None), slice(None), middle)


def inside(place: tuple[slice | int, ...], shape: tuple[int, ...]) -> tuple[slice | int, ...]:
    """The same plane in an array that is one voxel shorter along each axis."""
    return tuple(
        min(part, size - 1) if isinstance(part, int) else part
        for part, size in zip(place, shape, strict=True)
    )


def draw_image(axis: Any, plane: np.ndarray, darkest: float, brightest: float) -> None:
    """Draws a plane (C, H, W): three channels as red, green and blue, else the first in grey."""
    if len(plane) == 3:
        colors = ((plane - darkest) / (brightest - darkest)).clip(0, 1)
        axis.imshow(colors.T, origin="lower")
    else:
        axis.imshow(plane[0].T, cmap="gray", origin="lower", vmin=darkest, vmax=brightest)


def draw_contours(axis: Any, labels: np.ndarray | None, style: str) -> None:
    """Draws the contour of each class of a plane (H, W) but the background; nothing for None."""
    from matplotlib import colormaps

    if labels is None or min(labels.shape) < 2:  # too small for a contour
        return
    colors = colormaps[LABEL_COLORS]
    for label in np.unique(labels[labels > 0]):
        axis.contour(
            (labels == label).T,
            levels=[0.5],
            colors=[colors(int(label - 1) % COLORS)],
            linewidths=0.9,
            linestyles=style,
        )


def name_contours(figure: Any, planes: Sequence[np.ndarray | None], names: Sequence[str]) -> None:
    """Writes the names of the classes with contours below a figure; one entry for each colour.

    Args:
        figure: Laid out by matplotlib's constrained layout.
        planes: Label maps (H, W) whose contours are drawn, or None.
        names: Of the classes, background first.
    """
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    colors = colormaps[LABEL_COLORS]
    drawn = {label for plane in planes if plane is not None for label in np.unique(plane).tolist()}
    of_color: dict[int, list[str]] = {}
    for label in sorted(drawn - {0}):
        of_color.setdefault((label - 1) % COLORS, []).append(names[label])
    entries = [
        Line2D([], [], color=colors(color), label=textwrap.fill(", ".join(classes), ENTRY))
        for color, classes in of_color.items()
    ]
    if entries:
        columns = max(1, min(len(entries), int(figure.get_figwidth() / ENTRY_WIDTH)))
        figure.legend(handles=entries, loc="outside lower center", ncols=columns, frameon=False)


def draw_grid(axis: Any, displacement: np.ndarray, lines: int = 28) -> None:
    """Draws where the lines of a regular grid on the fixed image come from in the moving one."""
    shape = displacement.shape[1:]
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")) + displacement
    step = max(1, max(shape) // lines)
    for row in range(0, shape[0], step):
        axis.plot(*points[:, row], color="tab:blue", linewidth=0.6)
    for column in range(0, shape[1], step):
        axis.plot(*points[:, :, column], color="tab:blue", linewidth=0.6)


def draw_landmarks(axis: Any, points: Points | None, place: tuple[slice | int, ...]) -> None:
    """Draws landmarks of the moving image as dots, and lines from there to the mapped ones.

    The grid that `draw_grid` draws lies in the moving image, too. Of a volume, those are drawn that
    lie near the plane in the fixed image.
    """
    if points is None:
        return
    known = np.isfinite(points.moving).all(1) & np.isfinite(points.mapped).all(1)
    for i, part in enumerate(place):
        if isinstance(part, int):
            known &= np.abs(points.fixed[:, i] - part) <= NEAR
    moving, mapped = points.moving[known, :2], points.mapped[known, :2]
    axis.plot(*np.stack([moving, mapped], axis=1).T, color="tab:red", linewidth=0.9)
    axis.plot(*moving.T, ".", color="tab:red", markersize=3)


def _draw_jacobian(axis: Any, determinant: np.ndarray) -> Any:
    """Draws a plane of determinants, red where volume shrinks, folds outlined in black."""
    from matplotlib.colors import TwoSlopeNorm

    scale = TwoSlopeNorm(1, vmin=-0.5, vmax=2.5)
    drawn = axis.imshow(determinant.T, cmap="RdBu", origin="lower", norm=scale)
    if (determinant <= 0).any():
        axis.contour(determinant.T, levels=[0], colors="black", linewidths=0.8)
    return drawn


def _signed_jacobian(displacement: np.ndarray) -> np.ndarray:
    import torch

    from bench.spatial.jacobian import jacobian_determinant

    return jacobian_determinant(torch.from_numpy(displacement)[None])[0].numpy()
