"""Writes points of the fixed image, mapped into the moving image."""

from pathlib import Path

import numpy as np

from bench.data.files.images import FileGrid
from bench.data.landmarks.points import Landmarks
from bench.data.landmarks.tables import AXES
from bench.data.mapping import Mapping, transformed
from bench.store.files import write_csv


def write_mapped(
    path: Path, landmarks: Landmarks, affine: np.ndarray, mapping: Mapping, moving: FileGrid
) -> Path:
    """Writes mapped points: CSV with the columns point, x, y (and z).

    Args:
        path: The file.
        landmarks: Points of the fixed image.
        affine: (D + 1, D + 1), from their voxels to mm.
        mapping: Of the registration.
        moving: The moving file's grid. Coordinates are its voxels from 0; x is the column.
    """
    ndim = moving.ndim
    points = landmarks.points.T.reshape(ndim, -1, *[1] * (ndim - 1))
    mapped = mapping(transformed(affine, points))
    voxels = transformed(np.linalg.inv(moving.affine), mapped).reshape(ndim, -1)
    rows_first = moving.volume is None and ndim == 2  # as pictures are stored
    columns = voxels[::-1] if rows_first else voxels
    names = landmarks.names or range(1, len(landmarks.points) + 1)
    rows = [
        {"point": name, **dict(zip(AXES, (f"{value:.6g}" for value in point), strict=False))}
        for name, point in zip(names, columns.T, strict=True)
    ]
    write_csv(path, rows)
    return path
