"""Disturbances of test images, to test how robust a trained network is."""

from collections.abc import Callable

import torch
from torch import Tensor

from bench.data.batches.augmentation import bias_field
from bench.errors import ConfigError
from bench.seeding import derive_seed

Corruption = Callable[[Tensor, float, torch.Generator, int], Tensor]


def noise(image: Tensor, level: float, random: torch.Generator, side: int) -> Tensor:
    """Gaussian noise of standard deviation `level`, in normalized intensities."""
    return image + level * torch.randn(image.shape, generator=random).to(image.device)


def blur(image: Tensor, level: float, random: torch.Generator, side: int) -> Tensor:
    """A Gaussian filter of standard deviation `level`, in voxels."""
    from monai.networks.layers import GaussianFilter

    return GaussianFilter(image.ndim - 2, level).to(image.device)(image)


def bias(image: Tensor, level: float, random: torch.Generator, side: int) -> Tensor:
    """A smooth multiplicative field, its logarithm between -`level` and `level`."""
    return image * torch.exp(level * bias_field(image, 3, random))


def contrast(image: Tensor, level: float, random: torch.Generator, side: int) -> Tensor:
    """A gamma of exp(`level`) for the moving image, exp(-`level`) for the fixed one.

    Applied within the range of the image's intensities, which stays as it is.
    """
    least, span = image.min(), (image.max() - image.min()).clamp(min=1e-6)
    gamma = torch.exp(torch.tensor(level if side == 0 else -level)).item()
    return least + span * ((image - least) / span) ** gamma


CORRUPTIONS: dict[str, Corruption] = {
    "noise": noise,
    "blur": blur,
    "bias": bias,
    "contrast": contrast,
}
LEVELS = {
    "noise": (0.0, 0.05, 0.1, 0.15, 0.2),
    "blur": (0.0, 0.5, 1.0, 2.0),
    "bias": (0.0, 0.25, 0.5, 1.0),
    "contrast": (0.0, 0.25, 0.5, 1.0),
}


def check_corruption(name: str, levels: tuple[float, ...]) -> None:
    """Raises ConfigError unless there is such a corruption and its levels are not negative."""
    if name not in CORRUPTIONS:
        raise ConfigError(f"--corruption {name}: must be one of {', '.join(CORRUPTIONS)}.")
    for level in levels:
        if not 0 <= level < float("inf"):
            raise ConfigError(f"--levels {level:g}: must be numbers of at least 0.")


def corrupt(name: str, level: float, image: Tensor, pair: int, side: int) -> Tensor:
    """A disturbed image; the same for every network, and at every level the same random draw.

    Args:
        name: Of `CORRUPTIONS`.
        level: Strength; 0 returns the image.
        image: (1, C, *S) float32.
        pair: Number of the test pair.
        side: 0 for its moving, 1 for its fixed image.
    """
    if level == 0:
        return image
    random = torch.Generator().manual_seed(derive_seed(0, "corruption", name, pair, side))
    return CORRUPTIONS[name](image, level, random, side)
