"""Displacement fields: warping, derivatives and Jacobian determinants, in 2D and 3D.

A displacement `u` is a float32 tensor of shape (B, D, *S) with D = len(S) in {2, 3}, in voxels;
channel i moves along spatial axis i, in array order. It stands for the transform
Φ(p) = p + u(p), so that warped(p) = moving(p + u(p)).
"""

import math
from collections.abc import Iterator, Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(image: Tensor, displacement: Tensor, mode: str = "linear") -> Tensor:
    """Samples an image at p + u(p).

    Points outside the image take the value of the nearest border voxel. Where the displacement
    is zero the input is returned bit for bit.

    Args:
        image: (B, C, *S), any real dtype for `nearest`, floating for `linear`.
        displacement: (B, D, *S), voxels. `linear` is differentiable once in both arguments.
        mode: `linear` for images, `nearest` for labels.

    Returns:
        (B, C, *S), the dtype of `image`.

    Raises:
        ValueError: For another mode, or shapes that do not belong together.
    """
    shape = image.shape[2:]
    if displacement.shape != (image.shape[0], len(shape), *shape):
        raise ValueError(
            f"displacement has shape {tuple(displacement.shape)}; an image of shape "
            f"{tuple(image.shape)} needs {(image.shape[0], len(shape), *shape)}"
        )
    if mode == "linear":
        return _linear(image, displacement)
    if mode == "nearest":
        return _nearest(image, displacement)
    raise ValueError(f"mode is {mode!r}; known are 'linear' and 'nearest'")


def _linear(image: Tensor, displacement: Tensor) -> Tensor:
    """`grid_sample` in voxels; what it rounds where u is 0 is replaced, its gradients are not."""
    sampled = F.grid_sample(
        image, _sampling_grid(displacement), padding_mode="border", align_corners=True
    )
    with torch.no_grad():
        unmoved = (displacement == 0).all(dim=1, keepdim=True)
        sampled.copy_(torch.where(unmoved, image, sampled))
    return sampled


def _sampling_grid(displacement: Tensor) -> Tensor:
    """p + u(p) in the coordinates of `grid_sample`; (B, *S, D), last axis reversed."""
    ndim = displacement.shape[1]
    displacement = displacement.nan_to_num(nan=0)  # at NaN the CPU's backward reads out of bounds
    coordinates = []
    for axis, size in enumerate(displacement.shape[2:]):
        line = torch.arange(size, dtype=displacement.dtype, device=displacement.device)
        point = displacement[:, axis] + _along(line, axis, ndim)
        coordinates.append(point * (2 / max(size - 1, 1)) - 1)
    return torch.stack(coordinates[::-1], dim=-1)


def _nearest(image: Tensor, displacement: Tensor) -> Tensor:
    batch, channels, *shape = image.shape
    index = torch.zeros_like(displacement[:, 0], dtype=torch.long)
    for axis, size in enumerate(shape):
        line = torch.arange(size, dtype=displacement.dtype, device=displacement.device)
        point = displacement[:, axis] + _along(line, axis, len(shape))
        index = index * size + point.nan_to_num(nan=0).round().clamp(0, size - 1).long()
    index = index.view(batch, 1, -1).expand(-1, channels, -1)
    return image.reshape(batch, channels, -1).gather(2, index).view(image.shape)


def _along(line: Tensor, axis: int, ndim: int) -> Tensor:
    """Shapes a vector to broadcast along one of `ndim` spatial axes."""
    return line.view([-1 if i == axis else 1 for i in range(ndim)])


def compose(first: Tensor, second: Tensor) -> Tensor:
    """Displacement of "first, then second": Φ = Φ_second ∘ Φ_first.

    Args:
        first: (B, D, *S), voxels.
        second: The same shape.
    """
    return first + warp(second, first)


def displacement_at(u: Tensor, points: Tensor) -> Tensor:
    """The displacement at points between voxels, interpolated linearly; differentiable in both.

    Args:
        u: (B, D, *S), voxels.
        points: (B, N, D) of the same type, voxels; outside the grid the border's displacement
            holds, and 0 stands for NaN.

    Returns:
        (B, N, D), voxels.
    """
    batch, ndim, *shape = u.shape
    spans = points.new_tensor([max(size - 1, 1) for size in shape])
    grid = (points.nan_to_num(nan=0) * (2 / spans) - 1).flip(-1)
    grid = grid.view(batch, *[1] * (ndim - 1), -1, ndim)
    sampled = F.grid_sample(u, grid, padding_mode="border", align_corners=True)
    return sampled.view(batch, ndim, -1).transpose(1, 2)


def inside_grid(points: Tensor, shape: Sequence[int]) -> Tensor:
    """Which points (B, N, D) are there, not NaN, and lie in a voxel of this grid; (B, N)."""
    return ((points >= -0.5) & (points <= points.new_tensor(shape) - 0.5)).all(-1)


def affine_origins(displacement: Tensor, points: Tensor) -> Tensor:
    """Which points p an affine displacement moves to the given ones: p + u(p) = point.

    An image that is warped by u shows at p what it showed at the point.

    Args:
        displacement: (B, D, *S), voxels, u(p) = A p + t everywhere; axes of at least 2.
        points: (B, N, D) of the same type, voxels; NaN stays NaN.

    Returns:
        (B, N, D), voxels.
    """
    shape = displacement.shape[2:]
    ndim = len(shape)

    def at(*corner: int) -> Tensor:
        voxel = (slice(place, place + 1) for place in corner)
        return displacement[(slice(None), slice(None), *voxel)].flatten(1)

    origin = at(*[0] * ndim)
    columns = [
        (at(*[size - 1 if i == axis else 0 for i in range(ndim)]) - origin) / (size - 1)
        for axis, size in enumerate(shape)
    ]
    matrix = torch.stack(columns, dim=2) + torch.eye(ndim).to(displacement)
    return torch.linalg.solve(matrix, (points - origin[:, None]).transpose(1, 2)).transpose(1, 2)


def integrate(velocity: Tensor, steps: int = 7) -> Tensor:
    """Displacement at time 1 of a stationary velocity field, by scaling and squaring.

    Smooth velocities give an invertible transform; its inverse integrates the negative velocity.
    Source: Arsigny et al., MICCAI 2006.

    Args:
        velocity: (B, D, *S), voxels.
        steps: Number of squarings.
    """
    u = velocity / 2**steps
    for _ in range(steps):
        u = compose(u, u)
    return u


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


def coarsen(field: Tensor, factor: int, shape: torch.Size) -> Tensor:
    """Means over blocks of `factor` voxels along each axis; the far border is repeated.

    Args:
        field: (B, C, *S).
        factor: Edge of a block.
        shape: Spatial shape of the result, at most S / factor rounded up.

    Returns:
        (B, C, *shape).
    """
    if factor > 1:
        pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[field.ndim - 2]
        field = pool(pad_to_multiple(field, factor), factor)
    return crop_to(field, shape)


def warp_level(features: Tensor, displacement: Tensor, factor: int) -> Tensor:
    """Samples a level of a feature pyramid at p + u(p), in the level's voxels.

    Args:
        features: (B, C, *S_l) floating, S_l being S / factor, rounded up or down.
        displacement: (B, D, *S) in voxels of the image; its mean over each block is taken.
        factor: How much coarser the level is than the image.
    """
    u = coarsen(displacement, factor, features.shape[2:]) / factor
    return warp(features, u)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Repeats the far border until every spatial axis is divisible.

    Args:
        image: (B, C, *S).
        multiple: What each axis of the result is a multiple of.
    """
    widths: list[int] = []
    for size in reversed(image.shape[2:]):
        widths += [0, -size % multiple]
    return F.pad(image, widths, mode="replicate") if any(widths) else image


def crop_to(image: Tensor, shape: torch.Size) -> Tensor:
    """Cuts (B, C, *S) at the far borders to the spatial shape; undoes `pad_to_multiple`."""
    return image[(slice(None), slice(None), *(slice(0, size) for size in shape))]
