"""Images in the place that their headers give them: all of a data set on one grid."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.data.sources.subject import Raw
from bench.errors import DataError

LATTICE = 17  # places along each axis at which two grids are compared
SAME = 1e-3  # voxels between two grids that are one


@dataclass(frozen=True)
class Grid:
    """Voxels in the world.

    Attributes:
        shape: Spatial shape (3).
        affine: (4, 4), from voxels to mm in RAS.
    """

    shape: tuple[int, ...]
    affine: np.ndarray

    @classmethod
    def of(cls, raw: Raw) -> "Grid":
        """The grid of a volume."""
        assert raw.affine is not None
        return cls(raw.shape, raw.affine)

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> "Grid":
        """The grid that `settings` describes."""
        return cls(tuple(settings["shape"]), np.array(settings["affine"]))

    def settings(self) -> dict[str, Any]:
        """The grid as JSON can hold it."""
        return {"shape": list(self.shape), "affine": self.affine.tolist()}

    @property
    def spacing(self) -> tuple[float, ...]:
        """Edge lengths of a voxel in mm."""
        return tuple(float(edge) for edge in np.linalg.norm(self.affine[:3, :3], axis=0))


def onto_grid(
    raw: Raw, grid: Grid, where: str
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Image and labels of a volume on a grid, by torchio: linear, and nearest for labels.

    Outside of the volume lie each channel's least intensity and label 0.

    Args:
        raw: The volume.
        grid: The grid.
        where: Names the image's file in messages.

    Returns:
        Image (C, *S) float32, labels (*S), and the affine (4, 4) from voxels of the grid to those
        of the volume; the affine is None, and the arrays are as they were, if it lies on the grid.

    Raises:
        DataError: If volume and grid do not overlap, or nothing says where the volume lies.
    """
    import torchio

    if not raw.lies_in_space:
        raise DataError(
            f"{where}: has no position in space. Convert it to NIfTI with an affine, or compare "
            "voxel by voxel (dataset.space=voxels)."
        )
    assert raw.affine is not None
    shape = raw.shape
    to_volume = np.linalg.solve(raw.affine, grid.affine)
    if shape == grid.shape and _farthest(to_volume, shape) < SAME:
        return raw.image, raw.labels, None
    to_grid = np.linalg.inv(to_volume)
    if not (_meets(to_volume, grid.shape, shape) or _meets(to_grid, shape, grid.shape)):
        apart = np.linalg.norm(_centre(raw.affine, shape) - _centre(grid.affine, grid.shape))
        raise DataError(
            f"{where}: does not overlap the grid of dataset.space=world; by their headers the "
            f"centres are {apart:.0f} mm apart. Correct the header, name another "
            "dataset.reference, or compare voxel by voxel (dataset.space=voxels)."
        )
    least = raw.image.min(axis=(1, 2, 3), keepdims=True).astype(np.float32)
    values = raw.image.astype(np.float32) - least  # outside torchio puts 0
    members = {"image": torchio.ScalarImage(tensor=values, affine=raw.affine)}
    if raw.labels is not None:
        ids, places = np.unique(np.append(raw.labels, 0), return_inverse=True)  # 0 is the first
        places = places[:-1].reshape(shape).astype(np.int32)
        members["labels"] = torchio.LabelMap(tensor=places[None], affine=raw.affine)
    empty = np.zeros((1, *grid.shape), np.uint8)
    target = torchio.LabelMap(tensor=empty, affine=grid.affine)
    result = torchio.Resample(target)(torchio.Subject(**members))
    image = result["image"].numpy() + least
    labels = ids[result["labels"].numpy()[0]] if raw.labels is not None else None
    return image, labels, to_volume


def _farthest(affine: np.ndarray, shape: tuple[int, ...]) -> float:
    """How far, in voxels, an affine moves a voxel of a grid at most."""
    places = _lattice(shape, 2)
    return float(np.abs(affine @ places - places).max())


def _meets(affine: np.ndarray, shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether some of a lattice over one grid lies inside another."""
    places = (affine @ _lattice(shape, LATTICE))[:3]
    last = np.array(other)[:, None] - 0.5
    return bool(((places >= -0.5) & (places <= last)).all(axis=0).any())


def _lattice(shape: tuple[int, ...], count: int) -> np.ndarray:
    """Voxels evenly spread over a grid, as columns (4, N), the last row of ones."""
    lines = [np.linspace(0, size - 1, count) for size in shape]
    places = np.stack(np.meshgrid(*lines, indexing="ij")).reshape(3, -1)
    return np.vstack([places, np.ones((1, places.shape[1]))])


def _centre(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return (affine @ np.array([*((size - 1) / 2 for size in shape), 1.0]))[:3]
