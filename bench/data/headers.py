"""Distances, by their headers, between images that are compared voxel by voxel."""

from collections.abc import Sequence

import numpy as np


def distance_note(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], shape: Sequence[int]
) -> str | None:
    """One line on the pairs whose headers put equal voxels farthest apart; None if none does.

    Args:
        pairs: (4, 4) of moving and of fixed, from voxels to mm.
        shape: Of all images.
    """
    if not pairs:
        return None
    apart = [header_distance(moving, fixed, shape) for moving, fixed in pairs]
    shifts, angles, ratios = np.array(apart).T
    voxel = np.linalg.norm(pairs[0][1][:3, :3], axis=0).min()
    if shifts.max() < voxel and angles.max() < 1 and ratios.max() < 1.01:
        return None
    differing = []
    if shifts.max() >= min(voxel, 0.05):
        differing.append(
            f"lie up to {shifts.max():.3g} mm apart (median {np.median(shifts):.3g} mm)"
        )
    if angles.max() >= 0.05:
        differing.append(f"are turned by up to {angles.max():.1f} degrees")
    if ratios.max() >= 1.005:
        differing.append(f"have voxels up to {ratios.max():.2f} times as large")
    return (
        f"by their headers, the images of a pair {' and '.join(differing)}; "
        "they are compared voxel by voxel"
    )


def header_distance(
    moving: np.ndarray, fixed: np.ndarray, shape: Sequence[int]
) -> tuple[float, float, float]:
    """How two grids of one shape lie to each other.

    Args:
        moving: (4, 4), from voxels to mm.
        fixed: Likewise.
        shape: Of both.

    Returns:
        Distance of their centres in mm, angle between their axes in degrees, and ratio of the
        lengths of their voxels' edges, of the axis where it is largest, at least 1.
    """
    centre = np.array([*((size - 1) / 2 for size in shape), 1.0])
    shift = np.linalg.norm(((moving - fixed) @ centre)[:3])
    edges = [np.linalg.norm(grid[:3, :3], axis=0) for grid in (moving, fixed)]
    first, second = moving[:3, :3] / edges[0], fixed[:3, :3] / edges[1]
    cosine = (np.trace(first.T @ second) - 1) / 2
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    ratios = edges[0] / edges[1]
    return float(shift), float(angle), float(max(ratios.max(), (1 / ratios).max()))
