"""Figures of runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

LABEL_COLORS = "tab10"


def draw_registration(
    path: Path,
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray | None],
    displacement: np.ndarray,
    title: str,
) -> None:
    """Draws one registered pair: images with label contours, deformation grid, signed Jacobian.

    Volumes are shown in the slice along their last axis with the most labels (the middle one
    without labels).

    Args:
        path: PNG file to write.
        images: Moving, fixed and warped image (*S).
        labels: Their label maps (*S), or None each.
        displacement: (D, *S), voxels.
        title: Written above.
    """
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.figure import Figure

    place = _slice_to_show(images[1], labels[1])
    moving, fixed, warped = (image[place] for image in images)
    moving_labels, fixed_labels, warped_labels = (
        None if label is None else label[place] for label in labels
    )
    plane = displacement[(slice(0, 2), *place)]
    figure = Figure(figsize=(15, 3.2), layout="constrained")
    axes = figure.subplots(1, 5)
    panels: list[tuple[str, np.ndarray, Sequence[Any]]] = [
        ("moving", moving, [(moving_labels, "solid")]),
        ("fixed", fixed, [(fixed_labels, "solid")]),
        (
            "warped (solid), fixed (dotted)",
            warped,
            [(warped_labels, "solid"), (fixed_labels, "dotted")],
        ),
    ]
    for axis, (name, image, contours) in zip(axes, panels, strict=False):
        axis.imshow(
            image.T, cmap="gray", origin="lower", vmin=0, vmax=max(float(fixed.max()), 1e-6)
        )
        for label, style in contours:
            _draw_contours(axis, label, style)
        axis.set_title(name)
    axes[3].set_title("deformation grid")
    _draw_grid(axes[3], plane)
    determinant = _signed_jacobian(displacement)
    shown = determinant[
        tuple(
            min(p, s - 1) if isinstance(p, int) else p
            for p, s in zip(place, determinant.shape, strict=True)
        )
    ]
    drawn = axes[4].imshow(
        shown.T, cmap="RdBu", origin="lower", norm=TwoSlopeNorm(1, vmin=-0.5, vmax=2.5)
    )
    axes[4].contour(shown.T, levels=[0], colors="black", linewidths=0.8)
    folded = float((determinant <= 0).mean())
    axes[4].set_title(f"signed Jacobian, {folded:.2%} folded")
    figure.colorbar(drawn, ax=axes[4], shrink=0.8)
    for axis in axes:
        axis.set_axis_off()
        axis.set_aspect("equal")
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def _slice_to_show(image: np.ndarray, labels: np.ndarray | None) -> tuple[slice | int, ...]:
    """Index of the plane that is drawn."""
    if image.ndim == 2:
        return (slice(None), slice(None))
    middle = image.shape[2] // 2
    if labels is not None and labels.any():
        middle = int((labels > 0).sum(axis=(0, 1)).argmax())
    return (slice(None), slice(None), middle)


def _draw_contours(axis: Any, labels: np.ndarray | None, style: str) -> None:
    from matplotlib import colormaps

    if labels is None:
        return
    colors = colormaps[LABEL_COLORS]
    for label in np.unique(labels[labels > 0]):
        axis.contour(
            (labels == label).T,
            levels=[0.5],
            colors=[colors(int(label - 1) % 10)],
            linewidths=0.9,
            linestyles=style,
        )


def _draw_grid(axis: Any, displacement: np.ndarray, lines: int = 28) -> None:
    """Draws where the lines of a regular grid on the fixed image come from in the moving one."""
    shape = displacement.shape[1:]
    points = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")) + displacement
    step = max(1, max(shape) // lines)
    for row in range(0, shape[0], step):
        axis.plot(*points[:, row], color="tab:blue", linewidth=0.6)
    for column in range(0, shape[1], step):
        axis.plot(*points[:, :, column], color="tab:blue", linewidth=0.6)


def _signed_jacobian(displacement: np.ndarray) -> np.ndarray:
    import torch

    from bench.spatial import jacobian_determinant

    return jacobian_determinant(torch.from_numpy(displacement)[None])[0].numpy()
