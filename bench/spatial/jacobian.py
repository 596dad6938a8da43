"""Derivatives and Jacobian determinants of displacement fields, in 2D and 3D.

Shapes and units are those of `bench.spatial`.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product

from torch import Tensor


def forward_differences(field: Tensor, axis: int) -> Tensor:
    """Differences f(p + 1) - f(p) along one spatial axis; that axis is one shorter.

    Args:
        field: (B, C, *S).
        axis: Spatial axis, from 0.
    """
    return field.diff(dim=axis + 2)


def forward_jacobian(displacement: Tensor) -> list[Tensor]:
    """∂u/∂p by forward differences, where all of them exist.

    Args:
        displacement: (B, D, *S), voxels, each axis of at least 2.

    Returns:
        For each axis j, (B, D, *(S - 1)): ∂u_i/∂p_j in channel i.
    """
    ndim = displacement.shape[1]
    rows = []
    for axis in range(ndim):
        inner = tuple(slice(None) if i == axis else slice(0, -1) for i in range(ndim))
        rows.append(forward_differences(displacement[(slice(None), slice(None), *inner)], axis))
    return rows


def jacobian_determinant(displacement: Tensor, absolute: bool = False) -> Tensor:
    """Determinant of ∂Φ/∂p by signed forward differences.

    1 for the identity, s^D for a scaling by s, -1 for a reflection; 0 or less where the
    transform folds.

    Args:
        displacement: (B, D, *S), voxels, each axis of at least 2.
        absolute: Takes the absolute value of each difference first. This is what the published
            code of DeepSim does; a reflection then reads +1. Only for comparison with it.

    Returns:
        (B, *(S - 1)).
    """
    return _determinant(forward_jacobian(displacement), absolute)


def central_jacobian_determinant(displacement: Tensor) -> Tensor:
    """Determinant of ∂Φ/∂p by central differences, as the Learn2Reg challenge computes it.

    The outermost voxels, where a central difference does not exist, are left out, and one more
    layer with them where the axis has at least 5 voxels, as the challenge's evaluation does.

    Args:
        displacement: (B, D, *S), voxels, each axis of at least 3.

    Returns:
        (B, *(S - 4)); axes of fewer than 5 voxels lose 2 instead of 4.
    """
    shape = displacement.shape[2:]
    ndim = len(shape)
    margins = [2 if size >= 5 else 1 for size in shape]
    rows = []
    for axis in range(ndim):

        def shifted(by: int, axis: int = axis) -> Tensor:
            window = tuple(
                slice(margin + (by if i == axis else 0), size - margin + (by if i == axis else 0))
                for i, (margin, size) in enumerate(zip(margins, shape, strict=True))
            )
            return displacement[(slice(None), slice(None), *window)]

        rows.append((shifted(1) - shifted(-1)) / 2)
    return _determinant(rows, absolute=False)


def simplex_determinants(displacement: Tensor) -> Iterator[tuple[float, Tensor]]:
    """Determinants of ∂Φ/∂p on the simplices of the grid, on each of which Φ is affine.

    A cell between neighbouring voxels is divided in both ways that its corners allow: a square into
    two triangles, a cube into four tetrahedra at every other corner and one between them. These
    are all triangles and tetrahedra whose determinants are finite differences; Φ folds nowhere if
    all are positive. Source: Liu et al., IJCV 2024.

    Args:
        displacement: (B, D, *S), voxels, each axis of at least 2.

    Yields:
        The volume of a simplex before it is mapped, which sum to 2, and the determinant
        (B, *(S - 1)) in each cell.
    """
    ndim = displacement.shape[1]
    steps = [forward_differences(displacement, axis) for axis in range(ndim)]
    for corner in product((0, 1), repeat=ndim):
        rows = [_of_cells(step, corner, axis) for axis, step in enumerate(steps)]
        yield 1 / math.factorial(ndim), _determinant(rows, absolute=False)
    if ndim == 3:
        for c in (0, 1):  # between the corners at an even, then an odd number of steps from 000
            apex, *others = (
                _of_cells(displacement, corner)
                for corner in ((c, c, c), (c, 1 - c, 1 - c), (1 - c, c, 1 - c), (1 - c, 1 - c, c))
            )
            edges = [other - apex if c == 0 else apex - other for other in others]
            half = sum(edges[1:], edges[0]) / 2
            yield 1 / 3, _determinant([half - edge for edge in edges], absolute=False)


def _of_cells(field: Tensor, corner: Sequence[int], along: int | None = None) -> Tensor:
    """The values of (B, C, *S) at a corner of each cell, (B, C, *(S - 1)).

    Args:
        field: The field.
        corner: 0 or 1 along each axis.
        along: The axis along which the field has a value for each cell already.
    """
    parts = (
        slice(None) if axis == along else slice(c, size - 1 + c)
        for axis, (c, size) in enumerate(zip(corner, field.shape[2:], strict=True))
    )
    return field[(slice(None), slice(None), *parts)]


def _determinant(rows: list[Tensor], absolute: bool) -> Tensor:
    """Determinant of I + ∂u/∂p, where rows[j] is ∂u/∂p_j of shape (B, D, *S)."""
    ndim = len(rows)
    entry = [
        [rows[j][:, i] + 1 if i == j else rows[j][:, i] for j in range(ndim)] for i in range(ndim)
    ]
    if absolute:
        entry = [[value.abs() for value in row] for row in entry]
    if ndim == 2:
        return entry[0][0] * entry[1][1] - entry[0][1] * entry[1][0]
    minors = [
        entry[1][(j + 1) % 3] * entry[2][(j + 2) % 3]
        - entry[1][(j + 2) % 3] * entry[2][(j + 1) % 3]
        for j in range(3)
    ]
    return entry[0][0] * minors[0] + entry[0][1] * minors[1] + entry[0][2] * minors[2]
