"""What the network gets to see, and what it is to make of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.numbers import is_number
from bench.config.overrides import quoted
from bench.data.cache.prepared import PreparedDataset
from bench.data.sources.roles import FIXED, MOVING
from bench.errors import ConfigError, Unsupported
from bench.spatial.resolution import coarsen, crop_to

DENOISE, UPSAMPLE, CONTRAST = PROBLEMS = ("denoise", "upsample", "contrast")


@dataclass(frozen=True)
class Problem:
    """One of `PROBLEMS`.

    Attributes:
        name: Which.
        noise: To denoise: standard deviation of Gaussian noise, in normalized intensities.
        coarsening: To upsample: edge of a voxel of the input, in voxels.
    """

    name: str
    noise: float
    coarsening: int

    def __post_init__(self) -> None:
        if self.name not in PROBLEMS:
            raise ConfigError(
                f"task.problem={quoted(self.name)}: must be one of {', '.join(PROBLEMS)}."
            )
        if not (is_number(self.noise) and self.noise > 0):
            raise ConfigError(
                f"task.noise={quoted(self.noise)}: must be a finite number above 0, in normalized "
                "intensities."
            )
        whole = isinstance(self.coarsening, int) and not isinstance(self.coarsening, bool)
        if not (whole and self.coarsening >= 2):
            raise ConfigError(
                f"task.coarsening={quoted(self.coarsening)}: must be a whole number of at least 2."
            )

    @property
    def is_restoration(self) -> bool:
        """Whether the input is a worse image of the same kind, which the network corrects."""
        return self.name != CONTRAST

    def check(self, dataset: PreparedDataset, patch: int | None) -> None:
        """Refuses data that the problem cannot be posed on.

        Raises:
            Unsupported: Naming what is lacking.
        """
        roles = dataset.roles
        if self.name == CONTRAST and (roles is None or roles[MOVING] == roles[FIXED]):
            raise Unsupported(
                f"task.problem=contrast: moving and fixed images of dataset={dataset.name} show "
                f"the same {dataset.channels} channel(s), and one contrast is made from another. "
                "Choose channels by dataset.moving and dataset.fixed on data that have several, "
                "such as dataset=demo dataset.contrast=[t1,t2] dataset.moving=t1 dataset.fixed=t2."
            )
        axis = dataset.shortest_axis
        shortest = min(axis, patch or axis)
        if self.name == UPSAMPLE and shortest < 2 * self.coarsening:
            what = "images" if shortest == axis else f"patches of task.patch={patch}"
            remedy = "a smaller one"
            if axis >= 2 * self.coarsening:
                remedy += f", or task.patch={2 * self.coarsening} or larger"
            raise Unsupported(
                f"task.coarsening={self.coarsening}: the shortest axis of {what} has {shortest} "
                f"voxels, fewer than two coarse ones. Choose {remedy}."
            )

    def input(self, source: Tensor, target: Tensor, seeds: Sequence[int]) -> Tensor:
        """What the network sees; (B, C, *S).

        Args:
            source: Moving images (B, C, *S).
            target: Fixed images of the same subjects (B, C, *S), which are to be made.
            seeds: Determine the noise, one for each image.
        """
        if self.name == CONTRAST:
            return source
        if self.name == UPSAMPLE:
            return _coarser_and_back(target, self.coarsening)
        drawn = [
            torch.randn(target.shape[1:], generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
        return target + self.noise * torch.stack(drawn).to(target.device)


def _coarser_and_back(image: Tensor, factor: int) -> Tensor:
    """Means over blocks, interpolated linearly between the blocks' middles; (B, C, *S)."""
    shape = image.shape[2:]
    blocks = coarsen(image, factor, torch.Size(-(-size // factor) for size in shape))
    mode = {2: "bilinear", 3: "trilinear"}[len(shape)]
    return crop_to(F.interpolate(blocks, scale_factor=factor, mode=mode), shape)
