"""Figure of a pair with a change, and of the maps that look for it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.analysis.plots.registered import draw_image, plane_to_show
from bench.analysis.plots.saving import write_figure

DARKEST, BRIGHTEST = 0.005, 0.995  # quantiles of a map between which its colours range
OUTLINE = "cyan"


def draw_changes(
    path: Path,
    images: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    change: np.ndarray | None,
    counted: np.ndarray | None,
    title: str,
) -> None:
    """Draws images and maps of one registered pair, the true change outlined on each.

    The moving image has no outline; each map has a colour bar, since scales differ.

    Volumes are shown in the slice along their last axis with most of the change. Voxels of a map
    that do not count have its least value, as in the files that `bench changes` writes.

    Args:
        path: PNG file to write.
        images: Moving, fixed and warped image (C, *S) by name.
        maps: Maps (*S) by name.
        change: Mask of change (*S) on the fixed image; None if it is not known.
        counted: Which voxels count (*S); the colours of maps range over these. None: all.
        title: Written above.
    """
    from matplotlib.figure import Figure

    fixed = images["fixed"]
    place = plane_to_show(fixed, change)
    figure = Figure(figsize=(2.6 * len(images) + 3.1 * len(maps), 3.4), layout="constrained")
    axes = figure.subplots(1, len(images) + len(maps))
    brightest = max(float(fixed[(slice(None), *place)].max()), 1e-6)
    for axis, (name, image) in zip(axes, images.items(), strict=False):
        draw_image(axis, image[(slice(None), *place)], 0, brightest)
        axis.set_title(name)
    where = np.ones(fixed.shape[1:], bool) if counted is None or not counted.any() else counted
    for axis, (name, found) in zip(axes[len(images) :], maps.items(), strict=True):
        plane = np.where(where, found, found[where].min())[place]
        seen = plane[where[place]] if where[place].any() else plane
        low, high = np.quantile(seen, [DARKEST, BRIGHTEST])
        limits = {"vmin": low, "vmax": max(high, low + 1e-12)}
        drawn = axis.imshow(plane.T, cmap="magma", origin="lower", **limits)
        figure.colorbar(drawn, ax=axis, shrink=0.8, extend="both")
        axis.set_title(name)
    is_known = change is not None and bool(change[place].any())
    for number, axis in enumerate(axes):
        if change is not None and is_known and number != list(images).index("moving"):
            axis.contour(change[place].T, levels=[0.5], colors=OUTLINE, linewidths=1.3)
        axis.set_axis_off()
        axis.set_aspect("equal")
    figure.suptitle(title)
    said = "cyan outline: true change" if is_known else "no true change is known in this plane"
    said += "; colours range over the middle 99 % of each map"
    if not where.all():
        said += "; voxels that do not count have its least value"
    figure.supxlabel(said, fontsize="medium")
    write_figure(figure, path, dpi=110)
