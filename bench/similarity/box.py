"""Sums over box windows."""

import torch.nn.functional as F
from torch import Tensor


def box_sum(image: Tensor, window: int) -> Tensor:
    """Sums over a box of `window` voxels along each axis, with zeros outside the image.

    One axis after the other, each in log2(window) additions of shifted copies: sums of 2, 4,
    8, ... voxels, put together as the bits of the window say.

    Args:
        image: (B, C, *S).
        window: Odd edge of the box.

    Returns:
        (B, C, *S).
    """
    for axis in range(2, image.ndim):
        size = image.shape[axis]
        widths = [0] * (2 * (image.ndim - axis))
        widths[-2:] = [window // 2, window // 2]
        block = F.pad(image, widths)
        length, offset, rest = 1, 0, window
        total: Tensor | None = None
        while rest:
            if rest & 1:
                part = block.narrow(axis, offset, size)
                total = part if total is None else total + part
                offset += length
            rest >>= 1
            if rest:
                remaining = block.shape[axis] - length
                block = block.narrow(axis, 0, remaining) + block.narrow(axis, length, remaining)
                length *= 2
        assert total is not None
        image = total
    return image
