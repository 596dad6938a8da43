"""Scores of images that were made, against the true ones."""

import math

from torch import Tensor


def psnr(image: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(r² / MSE), r the range of the truth.

    Args:
        image: Any shape.
        truth: The same shape.

    Returns:
        Infinity for equal images, NaN for a constant truth.
    """
    span = float(truth.max() - truth.min())
    error = float((image - truth).double().square().mean())
    if span == 0:
        return math.nan
    return math.inf if error == 0 else 10 * math.log10(span**2 / error)
