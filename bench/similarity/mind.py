"""Modality independent neighbourhood descriptors, self-similarity context."""

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.pair import Pair
from bench.similarity.base import Similarity
from bench.similarity.box import box_sum_

FLOOR, CEILING = 1e-3, 1e3  # of the local variance, in shares of its mean over the image
SMALLEST = 1e-12

Offset = tuple[int, ...]
Channel = tuple[Offset, Offset]


class MIND(Similarity):
    """D = mean over voxels and channels of the squared difference of MIND-SSC descriptors.

    A channel of the descriptor compares the patches around two neighbours of a voxel that are at
    right angles to each other: exp(-(d - min d) / v), with d the mean squared difference of the
    patches and v the mean over channels of d - min d, clamped to 0.001 and 1000 times its mean
    over the image. There are 12 channels in 3D and 4 in 2D. Outside, the image continues as its
    border. Channels of an image are compared one by one and averaged. Source: Heinrich et al.,
    MICCAI 2013; radius and dilation as in Czolbe et al., MIA 2023.

    Differentiable in the warped image; the mean that v is clamped by counts as constant. No
    descriptor is kept: both passes hold the patch distances of one image, half as many as there
    are channels.

    Args:
        radius: Of a patch in voxels; its edge is 2 radius + 1.
        dilation: Distance of the neighbours in voxels.
    """

    def __init__(self, radius: int = 2, dilation: int = 2) -> None:
        for name, value in (("radius", radius), ("dilation", dilation)):
            if not is_count(value):
                raise ConfigError(
                    f"metric.{name}={quoted(value)}: must be a whole number of at least 1."
                )
        self.radius = radius
        self.dilation = dilation

    def coarser(self, factor: int) -> "MIND":
        """The metric whose patches and neighbours span as much of a coarser image."""
        return MIND(max(1, self.radius // factor), max(1, self.dilation // factor))

    def descriptors(self, image: Tensor) -> Tensor:
        """Descriptors of an image (B, C, *S), all channels of all its channels; no gradient."""
        found = [torch.cat(list(maps.values()), dim=1) for maps in self._channels(image)]
        return torch.cat(found).view(len(image), -1, *image.shape[2:])

    def __call__(self, pair: Pair) -> Tensor:
        images = zip(self._padded(pair.warped), self._padded(pair.fixed.detach()), strict=True)
        return torch.cat([self._values(a, self._descriptor(b).channel) for a, b in images]).mean()

    def each(self, pair: Pair) -> Tensor:
        fixed = pair.keep((self, "fixed"), lambda: self._channels(pair.fixed))
        images = zip(self._padded(pair.warped), fixed, strict=True)
        values = torch.cat([self._values(a, maps.__getitem__) for a, maps in images])
        return values.view(len(pair.fixed), -1).mean(1)

    def local(self, pair: Pair) -> Tensor:
        return (self.descriptors(pair.warped) - self.descriptors(pair.fixed)).square().mean(1)

    def _values(self, images: Tensor, theirs: Callable[[Channel], Tensor]) -> Tensor:
        return _MIND.apply(images, theirs, self.radius, self.dilation)

    def _padded(self, image: Tensor) -> list[Tensor]:
        """Each channel of each image of a batch with a margin of its border; (n, 1, *S) each.

        A processor takes one after the other, which needs less memory; a GPU all at once.
        """
        reach = [self.radius + self.dilation] * (2 * image.ndim - 4)
        channels = image.flatten(0, 1)[:, None]
        parts = channels.split(1) if image.device.type == "cpu" else [channels]
        return [F.pad(part, reach, mode="replicate") for part in parts]

    def _descriptor(self, padded: Tensor) -> "_Descriptor":
        return _Descriptor(padded, self.radius, self.dilation)

    def _channels(self, image: Tensor) -> list[dict[Channel, Tensor]]:
        """Channels of the descriptor of each channel of each image, split as by `_padded`."""
        names = _channels(image.ndim - 2, self.dilation)
        descriptors = (self._descriptor(padded) for padded in self._padded(image.detach()))
        return [{name: found.channel(name) for name in names} for found in descriptors]


class _MIND(torch.autograd.Function):
    """The metric of each of padded images (n, 1, *S) and others' channels, and its gradient.

    The distance of the patches around x + a and x + b is a box sum of (I(y) - I(y + b - a))^2,
    seen from x + a. Two channels share each difference b - a, so there are half as many box sums
    as channels. The gradient of a box sum is a box sum again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        first: Tensor,
        theirs: Callable[[Channel], Tensor],
        radius: int,
        dilation: int,
    ) -> Tensor:
        channels = _channels(first.ndim - 2, dilation)
        ours = _Descriptor(first, radius, dilation)
        needed = ctx.needs_input_grad[0]
        count = ours.variance[0].numel() * len(channels)
        total = torch.zeros(len(first), dtype=torch.float64, device=first.device)
        of_distances = {
            difference: torch.zeros_like(first) for difference in ours.distances if needed
        }
        of_least = torch.zeros_like(ours.least) if needed else None
        of_variance = torch.zeros_like(ours.least) if needed else None
        for channel in channels:
            value = ours.channel(channel)
            change = value - theirs(channel)
            total += change.square().flatten(1).sum(1, dtype=torch.float64)
            if of_least is not None and of_variance is not None:
                slope = change.mul_(value).mul_(2 / count).div_(ours.variance)
                ours.view(of_distances, channel).sub_(slope)
                of_least += slope
                of_variance += slope.mul_(ours.distance(channel) - ours.least)
        gradient = None
        if of_least is not None and of_variance is not None:
            of_variance.div_(ours.variance).mul_(ours.inside)
            of_least -= of_variance
            of_variance /= len(channels)
            for number, channel in enumerate(channels):
                of_distance = ours.view(of_distances, channel)
                of_distance += of_variance
                of_distance += of_least * (ours.where_least == number)
            gradient = ours.gradient(of_distances)
        ctx.save_for_backward(gradient)
        return (total / count).to(first.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, None]:
        (saved,) = ctx.saved_tensors
        if saved is None:
            return None, None, None, None
        return saved * gradient.view(-1, *[1] * (saved.ndim - 1)), None, None, None


class _Descriptor:
    """Patch distances of padded images (n, 1, *S), and what their channels are made of.

    Attributes:
        distances: By difference b - a, the mean squared difference of the patches around y and
            y + b - a, for all y of the padded image.
        least: Least distance of all channels, of the size before padding.
        where_least: Number of the channel that has it.
        variance: v, clamped.
        inside: 1 where v is not clamped.
    """

    def __init__(self, image: Tensor, radius: int, dilation: int) -> None:
        self.image = image
        self.radius = radius
        self.shape = [size - 2 * (radius + dilation) for size in image.shape[2:]]
        self.margin = radius + dilation
        self.patch = (2 * radius + 1) ** (image.ndim - 2)
        channels = _channels(image.ndim - 2, dilation)
        self.distances: dict[Offset, Tensor] = {}
        for _, difference in channels:
            if difference not in self.distances:
                squares = torch.zeros_like(image)
                near, far = _overlap(image, difference)
                torch.sub(far, near, out=_overlap(squares, difference)[0]).square_()
                self.distances[difference] = box_sum_(squares, 2 * radius + 1).div_(self.patch)
        self.least = self.distance(channels[0]).clone()
        self.where_least = torch.zeros_like(self.least, dtype=torch.uint8)
        total = self.least.clone()
        for number, channel in enumerate(channels[1:], start=1):
            distance = self.distance(channel)
            self.where_least.masked_fill_(distance < self.least, number)
            torch.minimum(self.least, distance, out=self.least)
            total += distance
        variance = total.div_(len(channels)).sub_(self.least)
        mean = variance.flatten(1).mean(1).clamp_(min=SMALLEST).view(-1, *[1] * (image.ndim - 1))
        self.variance = torch.clamp(variance, FLOOR * mean, CEILING * mean)
        self.inside = self.variance == variance

    def view(self, maps: dict[Offset, Tensor], channel: tuple[Offset, Offset]) -> Tensor:
        """The part of one of the maps that a channel sees, of the size before padding."""
        start, difference = channel
        window = tuple(
            slice(self.margin + by, self.margin + by + size)
            for by, size in zip(start, self.shape, strict=True)
        )
        return maps[difference][(slice(None), slice(None), *window)]

    def distance(self, channel: tuple[Offset, Offset]) -> Tensor:
        """Distance of the patches that a channel compares."""
        return self.view(self.distances, channel)

    def channel(self, channel: tuple[Offset, Offset]) -> Tensor:
        """One channel of the descriptor, in (0, 1]."""
        return (self.least - self.distance(channel)).div_(self.variance).exp_()

    def gradient(self, of_distances: dict[Offset, Tensor]) -> Tensor:
        """Gradient with respect to the image, from that with respect to the distances."""
        gradient = torch.zeros_like(self.image)
        for difference, of_distance in of_distances.items():
            of_squares = box_sum_(of_distance, 2 * self.radius + 1).mul_(2 / self.patch)
            near, far = _overlap(self.image, difference)
            change = (far - near).mul_(_overlap(of_squares, difference)[0])
            near_gradient, far_gradient = _overlap(gradient, difference)
            far_gradient += change
            near_gradient -= change
        return gradient


def _channels(ndim: int, dilation: int) -> list[tuple[Offset, Offset]]:
    """For each channel one of its two neighbours, and the difference to the other one."""

    def neighbour(axis: int, sign: int) -> Offset:
        return tuple(sign * dilation if i == axis else 0 for i in range(ndim))

    found = []
    for first, second in combinations(range(ndim), 2):
        for turn in (1, -1):
            for sign in (1, -1):
                a, b = neighbour(first, sign), neighbour(second, -sign * turn)
                if sign < 0:
                    a, b = b, a
                found.append((a, tuple(j - i for i, j in zip(a, b, strict=True))))
    merged = []
    for start, difference in found:
        if difference < tuple(-d for d in difference):
            start = tuple(i + d for i, d in zip(start, difference, strict=True))
            difference = tuple(-d for d in difference)
        merged.append((start, difference))
    return merged


def _overlap(image: Tensor, difference: Offset) -> tuple[Tensor, Tensor]:
    """Views I(y) and I(y + difference), for all y for which both lie in the image."""
    near: list[slice] = [slice(None), slice(None)]
    far = list(near)
    for by, size in zip(difference, image.shape[2:], strict=True):
        near.append(slice(max(0, -by), size - max(0, by)))
        far.append(slice(max(0, by), size - max(0, -by)))
    return image[tuple(near)], image[tuple(far)]


def channel_offsets(ndim: int, dilation: int) -> Iterator[tuple[Offset, Offset]]:
    """The two neighbours that each channel compares, in the order of the channels."""
    for start, difference in _channels(ndim, dilation):
        yield start, tuple(i + d for i, d in zip(start, difference, strict=True))
