"""From a displacement between preprocessed images to one between their files.

Points are in mm, RAS (in pixels for 2D files), so that headers of any orientation, spacing and grid
go together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.data.files.images import FileGrid

TOGETHER = 2**20  # points that are computed at a time


@dataclass(frozen=True)
class Mapping:
    """Where points of the fixed image come from: x to M (p + u(p)), where F p = x.

    Attributes:
        u: (D, *S), voxels of the preprocessed images. Beyond their border the displacement there.
        fixed: F (D + 1, D + 1), from voxels of the preprocessed fixed image to mm.
        moving: M, the same of the moving image.
    """

    u: np.ndarray
    fixed: np.ndarray
    moving: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Points (D, *S) in mm, mapped."""
        p = transformed(np.linalg.inv(self.fixed), points)
        return transformed(self.moving, p + sampled(self.u, p))


def transformed(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (D, *S) under an affine (D + 1, D + 1)."""
    ndim = len(points)
    moved = np.tensordot(affine[:-1, :-1], points, 1)
    return moved + affine[:-1, -1].reshape(-1, *[1] * ndim)


def displacement_on(grid: FileGrid, mapping: Mapping) -> np.ndarray:
    """The displacement in mm, RAS, at each voxel of a file; (D, *S) float32."""
    found = np.empty((grid.ndim, *grid.shape), np.float32)
    for slab, voxels in _slabs(grid.shape):
        points = transformed(grid.affine, voxels)
        found[:, slab] = mapping(points) - points
    return found


def displacement_between(
    y: Callable[[np.ndarray], np.ndarray],
    fixed: np.ndarray,
    moving: np.ndarray,
    shape: Sequence[int],
) -> np.ndarray:
    """The displacement u between preprocessed images of a mapping in mm; undoes `Mapping`.

    Args:
        y: Maps points (D, *S) of the fixed image to those of the moving one; mm, RAS.
        fixed: F (D + 1, D + 1), from voxels of the preprocessed fixed image to mm.
        moving: M, the same of the moving image.
        shape: Of the preprocessed images.

    Returns:
        (D, *S) float32, voxels.
    """
    found = np.empty((len(shape), *shape), np.float32)
    inverse = np.linalg.inv(moving)
    for slab, voxels in _slabs(shape):
        found[:, slab] = transformed(inverse, y(transformed(fixed, voxels))) - voxels
    return found


def sampled(vectors: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Vectors (D, *S) at places (D, *T) in their voxels: linear, and beyond the border as there."""
    from scipy.ndimage import map_coordinates

    return np.stack([map_coordinates(v, places, order=1, mode="nearest") for v in vectors])


def in_voxels(displacement: np.ndarray, grid: FileGrid, moving: FileGrid) -> np.ndarray:
    """A displacement in mm as one from voxels of its grid to voxels of the moving file.

    Args:
        displacement: (D, *S) in mm, RAS.
        grid: Where it lies.
        moving: The grid of the moving file.

    Returns:
        (D, *S) float32: moving voxel minus voxel of the grid, as the files store them.
    """
    found = np.empty_like(displacement)
    inverse = np.linalg.inv(moving.affine)
    for slab, voxels in _slabs(grid.shape):
        points = transformed(grid.affine, voxels) + displacement[:, slab]
        found[:, slab] = transformed(inverse, points) - voxels
    return found


def warp_file(
    array: np.ndarray,
    affine: np.ndarray,
    grid: FileGrid,
    displacement: np.ndarray,
    labels: bool = False,
) -> np.ndarray:
    """An image at x + d(x) for each voxel x of a grid.

    Args:
        array: (*S), the moving image.
        affine: From its voxels to mm, RAS.
        grid: Of the result.
        displacement: d (D, *S) in mm, RAS, on that grid.
        labels: Whether the nearest voxel is taken, and 0 outside; else values between voxels are
            linear, rounded for whole numbers, and the least value lies outside.
    """
    from scipy.ndimage import map_coordinates

    warped = np.empty(grid.shape, array.dtype)
    outside = 0 if labels else array.min()
    inverse = np.linalg.inv(affine)
    for slab, voxels in _slabs(grid.shape):
        points = transformed(grid.affine, voxels) + displacement[:, slab]
        places = transformed(inverse, points)
        values = map_coordinates(
            array, places, np.float64, order=0 if labels else 1, mode="nearest"
        )
        if array.dtype.kind in "ui":
            values = np.rint(values)
        warped[slab] = np.where(_inside(places, array.shape), values, outside)
    return warped


def _inside(places: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Whether places (D, *S) are within half a voxel of an image, as ITK decides it."""
    inside = [(place >= -0.5) & (place < n - 0.5) for place, n in zip(places, shape, strict=True)]
    return np.logical_and.reduce(inside)


def _slabs(shape: Sequence[int]) -> Iterator[tuple[slice, np.ndarray]]:
    """Parts along the first axis, with the voxels (D, *S) in them."""
    thickness = max(1, TOGETHER // int(np.prod(shape[1:])))
    for first in range(0, shape[0], thickness):
        slab = slice(first, min(first + thickness, shape[0]))
        lines = [np.arange(slab.start, slab.stop), *map(np.arange, shape[1:])]
        yield slab, np.stack(np.meshgrid(*lines, indexing="ij")).astype(np.float64)
