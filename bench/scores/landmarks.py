"""Target registration errors: distances of mapped landmarks from their targets.

The direction is Learn2Reg's (Hering et al., IEEE TMI 2022): the fixed image's points are mapped by
Φ(p) = p + u(p) into the moving image and compared with its points there. That needs no inverse.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.scores.case import Case
from bench.spatial.displacement import displacement_at, inside_grid


@dataclass(frozen=True)
class Errors:
    """Points of a case and their errors.

    Attributes:
        known: Which points both images have; (N,).
        counted: Which of these lie inside both images; (N,).
        mapped: The fixed points in the moving image (N, D) float64, voxels.
        before: Distance of fixed and moving points (N,), in the unit of the spacing.
        after: That of mapped and moving points.
    """

    known: Tensor
    counted: Tensor
    mapped: Tensor
    before: Tensor
    after: Tensor


def landmark_errors(case: Case) -> Errors:
    """Errors of the points of a case, computed once."""
    return case.keep("landmarks", lambda: _errors(case))


def _errors(case: Case) -> Errors:
    assert case.displacement is not None
    assert case.landmarks is not None
    moving, fixed = (points.detach().cpu().double() for points in case.landmarks)
    shape = case.displacement.shape[2:]
    u = case.displacement.detach()
    # at float32, whose rounding is far below a voxel; NaN stays NaN
    mapped = fixed + displacement_at(u, fixed[None].to(u))[0].cpu().double()
    edges = torch.tensor(list(case.spacing), dtype=torch.float64)
    return Errors(
        known=(moving.isfinite() & fixed.isfinite()).all(1),
        counted=inside_grid(moving, shape) & inside_grid(fixed, shape),
        mapped=mapped,
        before=((fixed - moving) * edges).norm(dim=1),
        after=((mapped - moving) * edges).norm(dim=1),
    )


def _counted(case: Case) -> Tensor:
    errors = landmark_errors(case)
    return errors.after[errors.counted]


def tre(case: Case) -> float:
    """Mean error over the points of a case; NaN if none is inside."""
    return float(_counted(case).mean())


def tre_median(case: Case) -> float:
    """Median error over the points of a case; NaN if none is inside."""
    return _median(_counted(case))


def rtre(case: Case) -> float:
    """Median error over the diagonal of the image (ANHIR; Borovec et al., IEEE TMI 2020)."""
    assert case.displacement is not None
    sides = [
        size * edge for size, edge in zip(case.displacement.shape[2:], case.spacing, strict=True)
    ]
    return tre_median(case) / math.hypot(*sides)


def nearer(case: Case) -> float:
    """Share of the points of a case that are nearer than before; NaN if none is inside."""
    errors = landmark_errors(case)
    return float((errors.after < errors.before)[errors.counted].double().mean())


def _median(values: Tensor) -> float:
    return float(values.quantile(0.5)) if len(values) else math.nan
