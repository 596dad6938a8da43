"""Warping by displacement fields, and their composition, in 2D and 3D.

Shapes and units are those of `bench.spatial`.
"""

from collections.abc import Sequence

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
