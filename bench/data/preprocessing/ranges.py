"""Whether new images have the intensities that a data set's images have."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor


def is_foreign(image: np.ndarray | Tensor, limits: Sequence[float]) -> bool:
    """Whether an image exceeds a range by more than half of it, or covers less than a quarter.

    Args:
        image: Normalized.
        limits: Least and greatest intensity of the data set's images.
    """
    low, high = limits
    span, least, most = high - low, float(image.min()), float(image.max())
    return max(low - least, most - high) > span / 2 or most - least < span / 4


def as_text(image: np.ndarray | Tensor, limits: Sequence[float], whose: str) -> str:
    """Both ranges, in words.

    Args:
        image: Normalized.
        limits: Least and greatest intensity of the data set's images.
        whose: Names those images.
    """
    low, high = limits
    return (
        f"run from {float(image.min()):.3g} to {float(image.max()):.3g}, those of {whose} from "
        f"{low:.3g} to {high:.3g}"
    )
