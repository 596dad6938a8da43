"""Random affine maps as displacements, on whole batches; the same for all images of a pair."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from bench.errors import ConfigError


@dataclass(frozen=True)
class RandomAffine:
    """Ranges of a random affine map about the centre of the image.

    Attributes:
        rotation: Largest angle in degrees, either way, about each axis (3D) or in plane (2D).
        scale: Smallest and largest magnification.
        shear: Largest shear coefficient, either way.
        translation: Largest shift in voxels, either way, along each axis.
        flip: Whether each axis is mirrored with probability 1/2.
    """

    rotation: float = 0.0
    scale: Sequence[float] = (1.0, 1.0)
    shear: float = 0.0
    translation: float = 0.0
    flip: bool = False

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise ConfigError(
                f"dataset.augmentation.scale={list(self.scale)}: must be the smallest and largest "
                "magnification, both above 0."
            )

    @classmethod
    def from_config(cls, config: dict) -> "RandomAffine":
        """Reads the section `dataset.augmentation`."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(config) - set(known))
        if unknown:
            raise ConfigError(
                f"Unknown dataset.augmentation.{unknown[0]}. Known: {', '.join(known)}."
            )
        return cls(**config)

    @property
    def is_identity(self) -> bool:
        """Whether every map it draws is the identity."""
        return not (self.rotation or self.shear or self.translation or self.flip) and tuple(
            self.scale
        ) == (1.0, 1.0)

    def draw(self, ndim: int, seed: int) -> np.ndarray:
        """One affine map q = A p + t from output to input voxels about the centre.

        Args:
            ndim: 2 or 3.
            seed: Determines the map.

        Returns:
            (D, D + 1) float64: A and t.
        """
        random = np.random.default_rng(seed)
        matrix = np.eye(ndim)
        for plane in [(0, 1)] if ndim == 2 else [(0, 1), (0, 2), (1, 2)]:
            angle = math.radians(random.uniform(-self.rotation, self.rotation))
            turn = np.eye(ndim)
            turn[np.ix_(plane, plane)] = [
                [math.cos(angle), -math.sin(angle)],
                [math.sin(angle), math.cos(angle)],
            ]
            matrix = matrix @ turn
        shear = random.uniform(-self.shear, self.shear, size=(ndim, ndim))
        np.fill_diagonal(shear, 0)
        matrix = matrix @ (np.eye(ndim) + shear) / random.uniform(self.scale[0], self.scale[1])
        signs = random.choice([-1.0, 1.0], size=ndim)
        if self.flip:
            matrix = matrix * signs
        shift = random.uniform(-self.translation, self.translation, size=ndim)
        return np.concatenate([matrix, shift[:, None]], axis=1)

    def displacement(
        self, shape: Sequence[int], seeds: Sequence[int], device: torch.device
    ) -> Tensor:
        """Displacement (B, D, *S) of one random map per seed."""
        ndim = len(shape)
        maps = torch.from_numpy(np.stack([self.draw(ndim, seed) for seed in seeds]))
        maps = maps.to(device, torch.float32)
        lines = [torch.arange(size, device=device) - (size - 1) / 2 for size in shape]
        points = torch.stack(torch.meshgrid(*lines, indexing="ij")).flatten(1)
        change = maps[:, :, :ndim] - torch.eye(ndim, device=device)
        moved = change @ points + maps[:, :, ndim:]
        return moved.view(len(seeds), ndim, *shape)
