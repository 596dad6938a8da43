"""From the coordinates of a file of points to voxels of the image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.data.landmarks.points import FilePoints, Frame, Landmarks
from bench.data.landmarks.reading import read_points
from bench.data.sources.subject import Raw
from bench.errors import DataError, counted

MANY = 0.25  # share of points outside that landmarks of an image hardly have


def read_landmarks(path: Path, raw: Raw) -> Landmarks:
    """The points of a file in voxels of an image.

    Columns, rows and slices are the axes of volumes, and of planes with an orientation, in their
    order, since their files store columns first; those of pictures in reverse order.

    Args:
        path: The file.
        raw: The image, turned to RAS if it is a volume.

    Raises:
        DataError: If the file cannot be read, or its points do not fit the image.
    """
    file = read_points(path)
    ndim = len(raw.shape)
    count = file.points.shape[1]
    if file.frame is Frame.RAS:
        return _from_world(file, raw, path)
    if count != ndim:
        raise DataError(
            f"{path}: has {count} coordinates per point, but its image has {ndim} axes. Give one "
            "coordinate per axis."
        )
    turned = _turned_axes(raw.orientation, ndim)
    shape = [0] * ndim
    for (stored, _), size in zip(turned, raw.shape, strict=True):
        shape[stored] = size
    reverse = file.frame is Frame.COLUMNS and not raw.orientation and ndim == 2
    points = file.points[:, ::-1] if reverse else file.points
    _check_far(points, shape, path, file.names)
    _check_base(points, shape, path, file.names)
    columns = [
        shape[stored] - 1 - points[:, stored] if flipped else points[:, stored]
        for stored, flipped in turned
    ]
    placed = Landmarks(np.stack(columns, axis=1), file.names)
    _check_millimetres(placed, file, raw, path)
    return placed


def _from_world(file: FilePoints, raw: Raw, path: Path) -> Landmarks:
    """Points in mm as voxels of a volume."""
    if not raw.lies_in_space:
        raise DataError(
            f"{path}: holds points in mm, but its image has no position in space. Give points in "
            "voxels, as CSV."
        )
    assert raw.affine is not None
    placed = Landmarks(file.points, file.names).mapped(np.linalg.inv(raw.affine))
    _check_far(placed.points, raw.shape, path, file.names)
    return placed


def _turned_axes(orientation: str, ndim: int) -> list[tuple[int, bool]]:
    """For each axis of an array, that of its file, and whether it runs the other way."""
    if not orientation:
        return [(axis, False) for axis in range(ndim)]
    return [
        (axis, code == negative)
        for positive, negative in ("RL", "AP", "SI")
        for axis, code in enumerate(orientation)
        if code in (positive, negative)
    ]


def _check_far(
    points: np.ndarray, shape: Sequence[int], path: Path, names: Sequence[str] | None
) -> None:
    """Raises DataError if a point is outside by more than the image's size."""
    sizes = np.array(shape)
    far = ((points < -sizes) | (points > 2 * sizes - 1)).any(axis=1)
    if far.any():
        place = int(far.argmax())
        raise DataError(
            f"{path}: point {_name(place, names)} is voxel {_listed(points[place])} of an image of "
            f"shape {tuple(shape)}, outside it by more than the image's size. See docs/data.md for "
            "units and order of axes."
        )


def _check_millimetres(placed: Landmarks, file: FilePoints, raw: Raw, path: Path) -> None:
    """Raises DataError if many points lie outside as voxels, and as mm all lie inside."""
    known = np.isfinite(file.points).all(axis=1)
    outside = int((known & ~placed.inside(raw.shape)).sum())
    if not raw.lies_in_space or outside <= MANY * known.sum():
        return
    assert raw.affine is not None
    to_voxels = np.linalg.inv(raw.affine)
    for signs in ((1, 1, 1), (-1, -1, 1)):  # RAS, LPS
        inside = Landmarks(file.points * signs).mapped(to_voxels).inside(raw.shape)
        if inside[known].all():
            raise DataError(
                f"{path}: {outside} of {counted(int(known.sum()), 'point')} lie outside the image "
                "if they are voxels, and all lie inside if they are mm by its header. Convert them "
                "to voxels from 0, or save them from 3D Slicer."
            )


def _check_base(
    points: np.ndarray, shape: Sequence[int], path: Path, names: Sequence[str] | None
) -> None:
    """Raises DataError if whole coordinates run from 1 to the size, and so count from 1."""
    known = points[np.isfinite(points).all(axis=1)]
    beyond = (points == shape).any(axis=1)
    whole = (known == np.round(known)).all() and (known >= 1).all() and (known <= shape).all()
    if beyond.any() and whole:
        place = int(beyond.argmax())
        raise DataError(
            f"{path}: point {_name(place, names)} is voxel {_listed(points[place])} of an image of "
            f"shape {tuple(shape)}, one beyond the far border, and no coordinate is below 1, so "
            "they count from 1. Subtract 1 from all."
        )


def _name(place: int, names: Sequence[str] | None) -> str:
    return names[place] if names else str(place + 1)


def _listed(point: np.ndarray) -> str:
    return "(" + ", ".join(f"{value:g}" for value in point) + ")"
