"""Images within their masks."""

from dataclasses import replace

import numpy as np

from bench.data.sources.subject import Raw
from bench.errors import DataError


def within_mask(raw: Raw, where: str) -> Raw:
    """A subject with each channel's least intensity, and label 0, outside of its mask.

    Args:
        raw: The subject; it may have no mask.
        where: Names its mask's file in messages.

    Raises:
        DataError: If the mask is empty.
    """
    if raw.mask is None:
        return raw
    if not raw.mask.any():
        raise DataError(
            f"{where}: is an empty mask, which leaves nothing of its image. Correct it, or leave "
            "dataset.mask out."
        )
    least = raw.image.min(axis=tuple(range(1, raw.image.ndim)), keepdims=True)
    image = np.where(raw.mask, raw.image, least)
    labels = None if raw.labels is None else np.where(raw.mask, raw.labels, 0)
    return replace(raw, image=image, labels=labels)
