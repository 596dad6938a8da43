"""Do the registrations of two images, each onto the other, undo one another?"""

from collections.abc import Sequence

from torch import Tensor

from bench.scores.case import Case, within
from bench.spatial.displacement import compose


def inverse_consistency_error(
    forward: Tensor, reverse: Tensor, spacing: Sequence[float], mask: Tensor | None = None
) -> float:
    """How far points are, on average, from where they started after both displacements.

    Source: Christensen and Johnson, IEEE TMI 2001.

    Args:
        forward: Displacement (1, D, *S) of fixed points, voxels.
        reverse: That of moving points, the same shape.
        spacing: Edge lengths of a voxel.
        mask: Which fixed points count (*S); None for all.

    Returns:
        Mean over voxels, in the unit of the spacing.
    """
    back = compose(forward, reverse).double()
    edges = back.new_tensor(list(spacing)).view(1, -1, *[1] * (back.ndim - 2))
    return float(within((back * edges).norm(dim=1), mask).mean())


def inverse_consistency(case: Case) -> float:
    """Inverse consistency error of a case."""
    assert case.displacement is not None
    assert case.reverse is not None
    return inverse_consistency_error(case.displacement, case.reverse, case.spacing, case.mask)
