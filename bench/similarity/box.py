"""Sums over box windows."""

import torch.nn.functional as F
from torch import Tensor

SLAB = {"cpu": 1 << 18, "cuda": 1 << 23}  # voxels that are summed at a time


def box_sum(image: Tensor, window: int) -> Tensor:
    """Sums over a box of `window` voxels along each axis, with zeros outside the image.

    Args:
        image: (B, C, *S).
        window: Odd edge of the box.

    Returns:
        (B, C, *S), in memory of its own.
    """
    return box_sum_(image.clone(), window)


def box_sum_(image: Tensor, window: int) -> Tensor:
    """`box_sum` in the image's own memory; not for automatic differentiation.

    One axis after the other, slab by slab across it, so that what is needed beside the image
    stays small and near the processor. Images need two spatial axes.

    Args:
        image: (B, C, *S); overwritten.
        window: Odd edge of the box.

    Returns:
        The image.
    """
    for axis in range(2, image.ndim):
        across = 3 if axis == 2 else 2
        voxels = SLAB.get(image.device.type, SLAB["cuda"])
        thickness = max(1, voxels * image.shape[across] // max(image.numel(), 1))
        for slab in image.split(thickness, dim=across):
            slab.copy_(_sum_along(slab, axis, window))
    return image


def _sum_along(image: Tensor, axis: int, window: int) -> Tensor:
    """Sums along one axis in log2(window) additions of shifted copies.

    Sums of 2, 4, 8, ... voxels are put together as the bits of the window say.
    """
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
    return total
