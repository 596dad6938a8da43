"""Random changes of training images, on whole batches and on the device.

Both images of a pair and their labels share an affine map; each image draws its own changes of
intensity.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.config.numbers import is_number
from bench.config.overrides import quoted
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
        for name in ("rotation", "shear", "translation"):
            value = getattr(self, name)
            if not is_number(value) or not value >= 0:
                raise ConfigError(
                    f"dataset.augmentation.{name}={quoted(value)}: must be a finite number of at "
                    "least 0."
                )
        pair = isinstance(self.scale, Sequence) and len(self.scale) == 2
        if not pair or not 0 < self.scale[0] <= self.scale[1]:
            given = list(self.scale) if isinstance(self.scale, Sequence) else self.scale
            raise ConfigError(
                f"dataset.augmentation.scale={quoted(given)}: must be the smallest and largest "
                "magnification, both above 0."
            )

    @property
    def is_identity(self) -> bool:
        """Whether every drawn map is the identity."""
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
        with torch.autocast(device.type, enabled=False):  # u in bfloat16 would be a staircase
            moved = change @ points + maps[:, :, ndim:]
        return moved.view(len(seeds), ndim, *shape)


@dataclass(frozen=True)
class RandomIntensity:
    """Ranges of random changes of intensity, in units of the normalized intensities.

    Attributes:
        noise: Largest standard deviation of Gaussian noise; drawn for each channel of each image.
        gain: Largest relative change of contrast, either way.
        bias: Largest amplitude of a smooth multiplicative field, in the logarithm: one random
            value per corner of a coarse grid, interpolated.
        cells: Grid cells of the bias field along each axis.
    """

    noise: float = 0.0
    gain: float = 0.0
    bias: float = 0.0
    cells: int = 3

    def __post_init__(self) -> None:
        for name in ("noise", "gain", "bias"):
            value = getattr(self, name)
            if not is_number(value) or not value >= 0 or (name == "gain" and value >= 1):
                limit = "0 or more and below 1" if name == "gain" else "0 or more"
                raise ConfigError(
                    f"dataset.augmentation.intensity.{name}={quoted(value)}: must be {limit}."
                )
        if self.cells < 1:
            raise ConfigError(
                f"dataset.augmentation.intensity.cells={quoted(self.cells)}: must be 1 or more."
            )

    @property
    def is_identity(self) -> bool:
        """Whether it never changes anything."""
        return not (self.noise or self.gain or self.bias)

    def __call__(self, image: Tensor, seeds: Sequence[int]) -> Tensor:
        """The changed images; each image's seed draws separately for each channel.

        Args:
            image: (B, C, *S) float32.
            seeds: One per image.
        """
        if self.is_identity:
            return image
        changed = torch.empty_like(image)
        for i, seed in enumerate(seeds):
            random = torch.Generator().manual_seed(seed)
            for c in range(image.shape[1]):
                changed[i, c] = self._changed(image[i : i + 1, c : c + 1], random)[0, 0]
        return changed

    def _changed(self, channel: Tensor, random: torch.Generator) -> Tensor:
        """A channel (1, 1, *S) under changes that are drawn."""
        noise, gain, bias = torch.rand(3, generator=random).tolist()
        channel = channel * (1 + self.gain * (2 * gain - 1))
        if self.bias:
            smooth = bias_field(channel, self.cells, random)
            channel = channel * torch.exp(self.bias * bias * smooth)
        if self.noise:
            drawn = torch.randn(channel.shape, generator=random).to(channel.device)
            channel = channel + self.noise * noise * drawn
        return channel


def bias_field(image: Tensor, cells: int, random: torch.Generator) -> Tensor:
    """A smooth random field in [-1, 1]: uniform at the corners of a grid, and interpolated.

    Args:
        image: (B, C, *S), for its shape and device.
        cells: Grid cells along each axis.
        random: Source of the random numbers.

    Returns:
        (1, 1, *S).
    """
    ndim = image.ndim - 2
    corners = 2 * torch.rand(1, 1, *[cells + 1] * ndim, generator=random) - 1
    return torch.nn.functional.interpolate(
        corners.to(image.device),
        size=image.shape[2:],
        mode="bilinear" if ndim == 2 else "trilinear",
        align_corners=True,
    )


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training images.

    Attributes:
        affine: The same map for both images of a pair and their labels.
        intensity: Changes of each image, drawn separately.
    """

    affine: RandomAffine = field(default_factory=RandomAffine)
    intensity: RandomIntensity = field(default_factory=RandomIntensity)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Augmentation":
        """Reads the section `dataset.augmentation`: an affine's options, and `intensity`.

        Raises:
            ConfigError: If an option is unknown or out of range.
        """
        affine = {key: value for key, value in config.items() if key != "intensity"}
        return cls(
            _build(RandomAffine, affine, "dataset.augmentation"),
            _build(
                RandomIntensity,
                {} if config.get("intensity") is None else config["intensity"],
                "dataset.augmentation.intensity",
            ),
        )


def _build(kind: type, options: Any, section: str) -> Any:
    if not isinstance(options, Mapping):
        raise ConfigError(f"{section}={quoted(options)}: must be a section, or null.")
    known = [entry.name for entry in fields(kind)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        also = ", intensity" if kind is RandomAffine else ""
        raise ConfigError(f"Unknown {section}.{unknown[0]}. Known: {', '.join(known)}{also}.")
    return kind(**options)
