"""Maps that are large where two images differ by more than a deformation.

Each is (B, *S) on the fixed image's grid, and ranks voxels; its scale means nothing.
"""

from typing import Any

import torch
from torch import Tensor

from bench.pair import Pair
from bench.spatial.displacement import warp
from bench.spatial.jacobian import jacobian_determinant

ONE_DIRECTION, RELATIVE = "one_direction", "relative"
INTENSITY, LI_WYATT, JACOBIAN = "intensity", "li_wyatt", "jacobian"
LEAST, MOST = 1e-5, 1e7  # of a determinant whose logarithm is taken
EDGES = 6.0  # voxels, width of the Gaussian under which Li and Wyatt look at edges


@torch.no_grad()
def baseline_maps(pair: Pair) -> dict[str, Tensor]:
    """The maps that need nothing but a displacement, by name."""
    return {
        INTENSITY: intensity_difference(pair),
        LI_WYATT: li_wyatt(pair),
        JACOBIAN: squared_log_jacobian(pair.u),
    }


@torch.no_grad()
def metric_map(metric: Any, pair: Pair) -> Tensor | None:
    """D of each voxel; None if the metric has none, or there is no metric."""
    local = getattr(metric, "local", None)
    return None if local is None else local(pair)


def both_directions(forward: Tensor, backward: Tensor, u: Tensor) -> Tensor:
    """The sum of the maps of a pair and of the swapped pair, the latter warped.

    Args:
        forward: (B, *S) on the fixed image's grid.
        backward: (B, *S) on the moving image's grid.
        u: Displacement (B, D, *S) of moving to fixed, voxels.
    """
    return forward + warp(backward[:, None], u)[:, 0]


def intensity_difference(pair: Pair) -> Tensor:
    """Squared difference of intensities, mean over channels."""
    return (pair.warped - pair.fixed).square().mean(1)


def squared_log_jacobian(u: Tensor) -> Tensor:
    """(log det ∂Φ/∂p)², where Φ grows or shrinks most.

    The determinant is signed, so folds count as the strongest shrinking; the last voxel of each
    axis has the determinant before it.

    Args:
        u: (B, D, *S), voxels.
    """
    determinant = jacobian_determinant(u)
    for axis in range(1, determinant.ndim):
        last = determinant.narrow(axis, determinant.shape[axis] - 1, 1)
        determinant = torch.cat([determinant, last], axis)
    return determinant.clamp(LEAST, MOST).log().square()


def li_wyatt(pair: Pair) -> Tensor:
    """Squared difference of intensities away from edges of the fixed image, each from 0 to 1.

    scaled(1 - 2 g) · scaled(difference), g being the squared gradient of the fixed image under a
    Gaussian of 6 voxels, scaled to [0, 1] itself. Source: Li and Wyatt, "Modeling topological
    changes in deformable registration", ISBI 2010, as arXiv:2106.08233 compares with it.
    """
    from scipy.ndimage import gaussian_gradient_magnitude

    maps = []
    for image in pair.fixed.cpu().numpy():
        channels = [gaussian_gradient_magnitude(channel, EDGES) ** 2 for channel in image]
        maps.append(torch.from_numpy(sum(channels[1:], start=channels[0]) / len(channels)))
    edges = _scaled(torch.stack(maps).to(pair.fixed))
    return _scaled(1 - 2 * edges) * _scaled(intensity_difference(pair))


def _scaled(values: Tensor) -> Tensor:
    """(B, *S), of each of the batch from 0 to 1; 0 if it is constant."""
    shape = (-1, *[1] * (values.ndim - 1))
    low, high = values.flatten(1).amin(1).view(shape), values.flatten(1).amax(1).view(shape)
    return (values - low) / (high - low).clamp(min=1e-12)
