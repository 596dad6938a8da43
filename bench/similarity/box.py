"""Sums, means and covariances over box windows."""

from collections.abc import Callable, Sequence

import torch.nn.functional as F
from torch import Tensor

SLAB = {"cpu": 1 << 18, "cuda": 1 << 23}  # voxels that are gathered at a time

Blocks = Sequence[Tensor]
Combine = Callable[[Blocks, Blocks, int, int], Blocks]


def box_sum(image: Tensor, window: int) -> Tensor:
    """Sums over a box of `window` voxels along each axis, with zeros outside the image.

    Args:
        image: (B, C, *S).
        window: Odd edge of the box.

    Returns:
        (B, C, *S), in new memory.
    """
    return box_sum_(image.clone(), window)


def box_sum_(image: Tensor, window: int) -> Tensor:
    """`box_sum` in the image's memory; not for automatic differentiation.

    Args:
        image: (B, C, *S); overwritten.
        window: Odd edge of the box.

    Returns:
        The image.
    """
    for axis in range(2, image.ndim):
        _gather_([image], axis, window, lambda a, b, *_: [a[0] + b[0]])
    return image


def box_moments(image: Tensor, other: Tensor, window: int) -> list[Tensor]:
    """Means, and sums of the squares and of the product of what differs from them, over boxes.

    Boxes as those of `box_sum`. Two parts of a box are put together by their means and the
    difference of these (Chan et al., The American Statistician 1983). Sums of squares less the
    square of the mean, the shorter formula, leave nothing but rounding where an image is bright
    and nearly constant. Not for automatic differentiation.

    Args:
        image: (B, C, *S).
        other: The same shape.
        window: Odd edge of the box.

    Returns:
        Mean of both, squares of both, product; each (B, C, *S), in new memory.
    """
    maps = [image.clone(), other.clone(), *(image.new_zeros(image.shape) for _ in range(3))]
    for axis in range(2, image.ndim):
        line = window ** (axis - 2)

        def combine(a: Blocks, b: Blocks, ours: int, theirs: int, line: int = line) -> Blocks:
            first, second = b[0] - a[0], b[1] - a[1]
            share = theirs / (ours + theirs)
            factor = line * ours * share
            return [
                a[0].lerp(b[0], share),
                a[1].lerp(b[1], share),
                (a[2] + b[2]).addcmul_(first, first, value=factor),
                (a[3] + b[3]).addcmul_(second, second, value=factor),
                (a[4] + b[4]).addcmul_(first, second, value=factor),
            ]

        _gather_(maps, axis, window, combine)
    return maps


def _gather_(maps: Blocks, axis: int, window: int, combine: Combine) -> None:
    """Puts in each voxel's place what combining its window along one axis gives.

    Slab by slab across the axis, so that what is needed beside the maps stays small and near the
    processor. Images need two spatial axes.
    """
    across = 3 if axis == 2 else 2
    image = maps[0]
    voxels = SLAB.get(image.device.type, SLAB["cuda"]) // len(maps)
    thickness = max(1, voxels * image.shape[across] // max(image.numel(), 1))
    for slabs in zip(*(x.split(thickness, dim=across) for x in maps), strict=True):
        for slab, result in zip(slabs, _along(slabs, axis, window, combine), strict=True):
            slab.copy_(result)


def _along(slabs: Blocks, axis: int, window: int, combine: Combine) -> Blocks:
    """What `_gather_` puts in place, in log2(window) combinations of shifted copies.

    Blocks of 2, 4, 8, ... voxels are put together as the bits of the window say; `combine` is
    told how many voxels its blocks have.
    """
    size = slabs[0].shape[axis]
    widths = [0] * (2 * (slabs[0].ndim - axis))
    widths[-2:] = [window // 2, window // 2]
    blocks: Blocks = [F.pad(slab, widths) for slab in slabs]
    length, offset, rest = 1, 0, window
    total: Blocks = []
    while rest:
        if rest & 1:
            part = [block.narrow(axis, offset, size) for block in blocks]
            total = combine(total, part, offset, length) if total else part
            offset += length
        rest >>= 1
        if rest:
            remaining = blocks[0].shape[axis] - length
            blocks = combine(
                [block.narrow(axis, 0, remaining) for block in blocks],
                [block.narrow(axis, length, remaining) for block in blocks],
                length,
                length,
            )
            length *= 2
    return total
