"""The straightforward way to compute what the suite computes, for comparison."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CONVOLVE = {2: F.conv2d, 3: F.conv3d}
AVERAGE = {2: F.avg_pool2d, 3: F.avg_pool3d}


def ncc(image: Tensor, other: Tensor, window: int = 9) -> Tensor:
    """Local NCC by dense window convolutions, as in the published code."""
    ndim = image.ndim - 2
    box = torch.ones(1, 1, *[window] * ndim, device=image.device)
    voxels = window**ndim

    def total(x: Tensor) -> Tensor:
        return CONVOLVE[ndim](x, box, padding=window // 2)

    sums, others = total(image), total(other)
    cross = total(image * other) - sums * others / voxels
    variance = total(image * image) - sums * sums / voxels
    other_variance = total(other * other) - others * others / voxels
    return 1 - (cross * cross / (variance * other_variance + 1e-5)).mean()


def separable_ncc(image: Tensor, other: Tensor, window: int = 9) -> Tensor:
    """Local NCC by average pooling along one axis after the other."""
    ndim = image.ndim - 2
    moments = torch.cat([image, other, image * image, other * other, image * other], dim=1)
    for axis in range(ndim):
        edges = [window if i == axis else 1 for i in range(ndim)]
        moments = AVERAGE[ndim](moments, edges, stride=1, padding=[edge // 2 for edge in edges])
    mean, other_mean, square, other_square, product = moments.split(1, dim=1)
    cross = product - mean * other_mean
    variance, other_variance = square - mean * mean, other_square - other_mean * other_mean
    ratio = cross * cross / (variance * other_variance + 1e-5 / window ** (2 * ndim))
    return 1 - ratio.mean()


def nmi(image: Tensor, other: Tensor, bins: int = 64) -> Tensor:
    """NMI by the matrix of all voxels' Parzen windows over all bins."""
    sigma = 1 / (2 * math.sqrt(2 * math.log(2)))
    centres = torch.arange(bins, dtype=image.dtype, device=image.device)
    values = []
    for pair in zip(image, other, strict=True):
        windows = []
        for one in pair:
            low, high = one.detach().amin(), one.detach().amax()
            positions = (one.flatten() - low) / (high - low) * (bins - 5) + 2
            window = torch.exp(-((positions[:, None] - centres) ** 2) / (2 * sigma**2))
            windows.append(window / window.sum(dim=1, keepdim=True))
        joint = windows[0].T @ windows[1] / len(windows[0])
        parts = [_entropy(joint.sum(dim)) for dim in (0, 1)]
        values.append((parts[0] + parts[1]) / _entropy(joint))
    return 2 - torch.stack(values).mean()


def _entropy(p: Tensor) -> Tensor:
    return -(p * torch.log(p + 1e-12)).sum()


def mind(image: Tensor, other: Tensor, radius: int = 2, dilation: int = 2) -> Tensor:
    """MIND-SSC by a dense convolution that shifts, a channel for each two neighbours."""
    return F.mse_loss(_descriptor(image, radius, dilation), _descriptor(other, radius, dilation))


def _descriptor(image: Tensor, radius: int, dilation: int) -> Tensor:
    ndim = image.ndim - 2
    steps = torch.eye(ndim, dtype=torch.long)
    neighbours = [sign * step * dilation for step in steps for sign in (1, -1)]
    pairs = [
        (a, b)
        for i, a in enumerate(neighbours)
        for b in neighbours[i + 1 :]
        if int((a - b).square().sum()) == 2 * dilation**2
    ]
    kernels = torch.zeros(len(pairs), 1, *[2 * dilation + 1] * ndim, device=image.device)
    for kernel, (a, b) in zip(kernels, pairs, strict=True):
        kernel[(0, *(a + dilation).tolist())] = 1
        kernel[(0, *(b + dilation).tolist())] = -1
    padded = F.pad(image, [radius + dilation] * (2 * ndim), mode="replicate")
    squares = CONVOLVE[ndim](padded, kernels) ** 2
    distances = AVERAGE[ndim](squares, 2 * radius + 1, stride=1)
    distances = distances - distances.amin(dim=1, keepdim=True)
    variance = distances.mean(dim=1, keepdim=True)
    mean = variance.detach().flatten(1).mean(1).view(-1, *[1] * (ndim + 1))
    return torch.exp(-distances / torch.clamp(variance, 1e-3 * mean, 1e3 * mean))


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """Mean cosine by normalized copies of both feature maps, in float32."""
    first, second = (
        x / x.square().sum(dim=1, keepdim=True).clamp(min=1e-6).sqrt()
        for x in (first.float(), second.float())
    )
    return (first * second).sum(dim=1).mean()


def deepsim(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """1 - mean cosine of feature maps, mean over levels, with all gradients recorded."""
    levels = zip(first, second, strict=True)
    return 1 - torch.stack([cosine(*both) for both in levels]).mean()


def warp(image: Tensor, u: Tensor) -> Tensor:
    """Warp by an identity grid built anew and kept for the backward pass."""
    shape = image.shape[2:]
    lines = [torch.arange(s, device=u.device) for s in shape]
    points = torch.stack(torch.meshgrid(*lines, indexing="ij"))[None] + u
    grid = torch.stack([2 * points[:, i] / (s - 1) - 1 for i, s in enumerate(shape)], dim=-1)
    return F.grid_sample(image, grid.flip(-1), padding_mode="border", align_corners=True)


def diffusion(u: Tensor) -> Tensor:
    """Mean squared forward difference by padded copies."""
    ndim = u.shape[1]
    total = torch.zeros((), device=u.device)
    for axis in range(2, ndim + 2):
        widths = [0] * (2 * ndim)
        widths[2 * (ndim + 1 - axis) + 1] = 1
        shifted = F.pad(u, widths, mode="replicate").narrow(axis, 1, u.shape[axis])
        total = total + ((shifted - u) ** 2).mean()
    return total / ndim


def hard_dice(warped: Tensor, fixed: Tensor) -> Tensor:
    """Mean Dice of the foreground classes, after each voxel has chosen its largest.

    Args:
        warped: (B, K, *S) shares of the classes.
        fixed: (B, K, *S) one-hot.
    """
    chosen = F.one_hot(warped.argmax(1), warped.shape[1]).movedim(-1, 1).float()
    both = (chosen * fixed).flatten(2).sum(2)[:, 1:]
    size = (chosen + fixed).flatten(2).sum(2)[:, 1:]
    return (2 * both / size.clamp(min=1)).mean()


def folding(u: Tensor) -> Tensor:
    """Share of voxels whose Jacobian determinant, by forward differences, is not positive."""
    ndim = u.shape[1]
    columns = []
    for axis in range(ndim):
        step = u.diff(dim=axis + 2)
        for other in range(ndim):
            step = step.narrow(other + 2, 0, u.shape[other + 2] - 1)
        identity = torch.zeros(ndim, device=u.device)
        identity[axis] = 1
        columns.append(step + identity.view(1, ndim, *[1] * ndim))
    jacobian = torch.stack(columns, dim=-1).movedim(1, -2)
    return (torch.linalg.det(jacobian) <= 0).float().mean()
