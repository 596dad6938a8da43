"""A network that finds the displacement coarse to fine, by comparing features in the place."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.config.numbers import is_count
from bench.models.checks import require
from bench.models.convolution import CHANNELS_LAST, double
from bench.models.unet import Encoder, convolution, stage
from bench.spatial.displacement import warp
from bench.spatial.resolution import crop_to, pad_to_multiple

FARTHEST = 16  # shift, in voxels of a level
FLOW_STD = 1e-5  # of the initial weights of each level's last convolution


class Pyramid(nn.Module):
    """An encoder that sees the images apart, and a displacement refined from level to level.

    At each level, coarsest first, the moving features are warped by the displacement so far and
    correlated with the fixed ones, in the place and shifted along each axis by at most `reach`
    voxels of the level. A few convolutions turn correlations, fixed features and the hidden map of
    the level before into what is added to the displacement. The finest level has half the image's
    resolution; its displacement is doubled linearly.

    Source: Sun et al., CVPR 2018 (features, warping and correlation in a pyramid); that these
    parts are what counts for registration: Jian et al., arXiv:2407.19274.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of each image.
        channels: Width of each encoder stage, finest first; each halves the size.
        norm: Batch normalization in the encoder.
        dropout: Dropout of whole channels.
        reach: Largest shift along each axis, in voxels of a level, 0 to 16.

    Raises:
        ConfigError: If one of them is out of range.
    """

    def __init__(
        self,
        ndim: int,
        image_channels: int,
        channels: Sequence[int] = (16, 32, 32, 32),
        norm: bool = False,
        dropout: bool = False,
        reach: int = 1,
    ) -> None:
        super().__init__()
        require(
            "reach",
            reach,
            is_count(reach, 0) and reach <= FARTHEST,
            f"a whole number of voxels, 0 to {FARTHEST}",
        )
        self.encoder = Encoder(ndim, image_channels, channels, norm, dropout)
        self.reach = reach
        self.shifts = shifts_along_axes(ndim, reach)
        self.stages, self.flows = nn.ModuleList(), nn.ModuleList()  # coarsest first
        hidden = 0
        for width in reversed(channels):
            inputs = len(self.shifts) + width + hidden
            self.stages.append(stage(ndim, inputs, width, dropout=dropout))
            flow = convolution(ndim, width, ndim, kernel=3)
            for parameter in flow.parameters():
                nn.init.normal_(parameter, std=FLOW_STD)
            self.flows.append(flow)
            hidden = width

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels from two images (B, C, *S) of any size."""
        u, _ = self.refined(moving, fixed)
        return u

    def refined(self, moving: Tensor, fixed: Tensor) -> tuple[Tensor, Tensor]:
        """The displacement, and the hidden map that its last step comes from.

        The map (B, C, *T) is of the finest level, padded: T is at least half of S.
        """
        u: Tensor | None = None
        hidden: Tensor | None = None
        features = reversed([*zip(self._features(moving), self._features(fixed), strict=True)])
        for layers, flow, (of_moving, of_fixed) in zip(
            self.stages, self.flows, features, strict=True
        ):
            if u is not None:
                u = 2 * double(u)
                of_moving = warp(of_moving, u)
            maps = [self._correlations(of_moving, of_fixed), of_fixed]
            if hidden is not None:
                maps.append(double(hidden))
            joined = torch.cat([m.to(maps[0].dtype) for m in maps], dim=1)
            hidden = layers(joined.contiguous(memory_format=CHANNELS_LAST[joined.ndim]))
            step = flow(hidden).float()
            u = step if u is None else u + step
        assert u is not None
        assert hidden is not None
        return crop_to(2 * double(u), fixed.shape[2:]), hidden

    def _features(self, image: Tensor) -> list[Tensor]:
        """Maps of the levels, finest first, in float32 and of length 1 at each voxel."""
        image = pad_to_multiple(image, self.encoder.stride)
        image = image.contiguous(memory_format=CHANNELS_LAST[image.ndim])
        return [F.normalize(features.float(), dim=1) for features in self.encoder(image)]

    def _correlations(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Cosines (B, K, *S) of fixed features and moving ones at each of the K shifts."""
        around = [self.reach] * (2 * (fixed.ndim - 2))
        padded = F.pad(moving, around, mode="replicate")
        maps = []
        for shift in self.shifts:
            seen = padded
            for axis, (by, size) in enumerate(zip(shift, fixed.shape[2:], strict=True), start=2):
                seen = seen.narrow(axis, self.reach + by, size)
            maps.append((fixed * seen).sum(dim=1))
        return torch.stack(maps, dim=1)


def shifts_along_axes(ndim: int, reach: int) -> list[tuple[int, ...]]:
    """No shift, and those by up to `reach` voxels along one axis, either way."""
    moves = [move for move in range(-reach, reach + 1) if move]
    along = [
        tuple(move * (i == axis) for i in range(ndim)) for axis in range(ndim) for move in moves
    ]
    return [(0,) * ndim, *along]
