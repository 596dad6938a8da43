"""Smoothness of a displacement."""

from typing import TYPE_CHECKING

from torch import Tensor

from bench.spatial import central_jacobian_determinant, jacobian_determinant

if TYPE_CHECKING:
    from bench.scores.case import Case

SMALLEST_DETERMINANT = 1e-9
LARGEST_DETERMINANT = 1e9
LEARN2REG_SHIFT = 3


def folding(displacement: Tensor) -> float:
    """Fraction of places where the signed Jacobian determinant is 0 or less."""
    return float((jacobian_determinant(displacement) <= 0).double().mean())


def sdlogj(displacement: Tensor) -> float:
    """Standard deviation of log(J + 3) with J + 3 clipped to [1e-9, 1e9].

    The formula of the Learn2Reg challenge's evaluation (Hering et al., IEEE TMI 2022), with its
    shift, central differences and cut margins, so that the figures compare with its tables.
    """
    determinant = central_jacobian_determinant(displacement.double()) + LEARN2REG_SHIFT
    clipped = determinant.clamp(SMALLEST_DETERMINANT, LARGEST_DETERMINANT)
    return float(clipped.log().std(correction=0))


def published_logj_variance(displacement: Tensor) -> float:
    """Variance of log |J| on absolute differences (Czolbe et al., MIA 2023, published code).

    Determinants below 1e-9 are raised to it, where the published code takes log 0.
    """
    determinant = jacobian_determinant(displacement, absolute=True).abs()
    return float(determinant.clamp(min=SMALLEST_DETERMINANT).log().var())


def folding_of(case: "Case") -> float:
    """`folding` of a case."""
    assert case.displacement is not None
    return folding(case.displacement)


def sdlogj_of(case: "Case") -> float:
    """`sdlogj` of a case."""
    assert case.displacement is not None
    return sdlogj(case.displacement)


def published_logj_variance_of(case: "Case") -> float:
    """`published_logj_variance` of a case."""
    assert case.displacement is not None
    return published_logj_variance(case.displacement)
