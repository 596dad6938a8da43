"""Control grids: a smooth field from few values, by B-splines along each axis."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

MARGIN = {1: 0, 3: 1}  # control points beyond the image on each side, by degree


@dataclass(frozen=True)
class Axis:
    """B-splines along one axis of an image; the control points lie at `origin + k * spacing`.

    Attributes:
        size: Voxels of the image.
        spacing: Voxels from one control point to the next.
        degree: 3 for cubic B-splines, 1 for linear interpolation.
        origin: Voxel of the first control point.
        count: Number of control points.
    """

    size: int
    spacing: float
    degree: int
    origin: float
    count: int

    @classmethod
    def covering(cls, size: int, spacing: float, degree: int, first: float = 0.0) -> "Axis":
        """The fewest control points that reach over a whole axis, one of them at `first`."""
        margin = MARGIN[degree]
        count = max(1, math.ceil((size - 1 - first) / spacing) + 1 + 2 * margin)
        return cls(size, spacing, degree, first - margin * spacing, count)

    def values(self, points: Tensor) -> Tensor:
        """Value of each B-spline at points in voxels; (points, count).

        Source: Rueckert et al., IEEE TMI 1999.
        """
        centres = self.origin + self.spacing * torch.arange(self.count, dtype=points.dtype)
        distance = ((points[:, None] - centres) / self.spacing).abs()
        if self.degree == 1:
            return (1 - distance).clamp(min=0)
        near = 2 / 3 - distance.square() + distance**3 / 2
        return torch.where(distance < 1, near, (2 - distance).clamp(min=0) ** 3 / 6)

    def from_coarser(self, other: "Axis") -> Tensor:
        """Matrix (count, other.count) from another grid's control values to this one's.

        The least squares fit at the voxels; exact where this grid can say what the other one
        says, as it can at half its spacing.
        """
        voxels = torch.arange(self.size, dtype=torch.float64)
        return torch.linalg.pinv(self.values(voxels)) @ other.values(voxels)


def expand(control: Tensor, matrices: list[Tensor]) -> Tensor:
    """Multiplies each spatial axis by a matrix, the last axis first.

    Args:
        control: (B, C, *G).
        matrices: For each axis (S_i, G_i).

    Returns:
        (B, C, *S).
    """
    field = control
    for axis in reversed(range(len(matrices))):
        if axis == len(matrices) - 1:
            field = field @ matrices[axis].T
            continue
        rest = field.shape[axis + 3 :]
        field = (matrices[axis] @ field.flatten(axis + 3)).unflatten(-1, rest)
    return field
