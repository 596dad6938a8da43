"""How strong a distortion must be for an error of a given size."""

from collections.abc import Sequence

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
        As many as the distortion reaches.
    """
    to = image if reference is None else reference

    def missing(strength: float, wanted: float) -> float:
        return error(distort(image, strength), to) ** 0.5 - wanted**0.5

    found: list[float] = []
    low, reached = 0.0, error(distort(image, most), to)
    for wanted in errors:
        if reached <= wanted or missing(low, wanted) >= 0:
            break
        low = brentq(missing, low, most, args=(wanted,), xtol=1e-6, rtol=NEAR_ENOUGH)
        found.append(low)
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
