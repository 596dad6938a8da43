"""How strong a distortion must be for an error of a given size."""

from collections.abc import Sequence
from functools import cache

import torch
from scipy.optimize import brentq
from torch import Tensor

from bench.tasks.perception.distortions import Distort

NEAR_ENOUGH = 5e-3  # relative error of a strength


def squared_error(decibels: float) -> float:
    """Mean squared error of a PSNR, for intensities from 0 to 1."""
    return 10 ** (-decibels / 10)


def error(image: Tensor, reference: Tensor) -> float:
    """Mean squared error."""
    return float((image.double() - reference.double()).square().mean())


def strengths(
    distort: Distort,
    image: Tensor,
    errors: Sequence[float],
    most: float,
    reference: Tensor | None = None,
) -> list[float]:
    """Strengths at which a distortion makes errors of given sizes; each above the last.

    Args:
        distort: The distortion.
        image: (C, *S), from 0 to 1.
        errors: Mean squared errors, ascending.
        most: The largest strength that is tried.
        reference: What errors are to; None for the image itself.

    Returns:
        As many as the distortion reaches, from the first on; none if that is too weak to be told
        from 0.
    """
    to = image if reference is None else reference

    @cache
    def deviation(strength: float) -> float:  # grows about as the strength does
        return error(distort(image, strength), to) ** 0.5

    found: list[float] = []
    low, high = 0.0, most / 64
    for wanted in errors:

        def excess(strength: float, wanted: float = wanted) -> float:
            return deviation(strength) - wanted**0.5

        while excess(high) <= 0 and high < most:
            low, high = high, min(1.5 * high, most)
        if excess(low) >= 0 or excess(high) <= 0:
            break
        low = brentq(excess, low, high, xtol=1e-6, rtol=NEAR_ENOUGH)
        if low == 0:  # too weak for the search
            break
        found.append(low)
        high = min(1.7 * low, most)
    return found


def of_error(image: Tensor, changed: Tensor, reference: Tensor, wanted: float) -> Tensor:
    """An image whose error to a reference is exactly as wanted, by as much change as it takes.

    Args:
        image: (C, *S), of a smaller error.
        changed: The image under a change that makes about this error.
        reference: (C, *S).
        wanted: Mean squared error.
    """
    before, change = ((a.double() - b.double()) for a, b in ((image, reference), (changed, image)))
    a, b, c = change.square().mean(), (before * change).mean(), before.square().mean() - wanted
    share = (-b + (b * b - a * c).clamp(min=0).sqrt()) / a
    return (image.double() + share * change).to(torch.float32)
