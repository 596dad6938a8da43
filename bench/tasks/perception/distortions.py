"""Distortions of growing strength; TorchIO has most of them.

A distortion draws once what is random in it. What it returns maps an image (C, *S) of intensities
from 0 to 1 and a strength to the distorted image: one draw at all strengths, 0 leaves the image as
it is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from bench.data.preprocessing.insertion import Insertion
from bench.spatial.displacement import integrate, warp

Distort = Callable[[Tensor, float], Tensor]
DEGREES, VOXELS = 10.0, 10.0  # the most by which a subject moves at strength 1
ORDER = 3  # of the polynomial that the logarithm of a bias field is
SMOOTHNESS = 0.1  # width of the Gaussian that smooths a deformation, of the shortest axis
KEPT = 0.08  # share of the lines of k-space that undersampling keeps, in the middle
LESION = (0.06, 0.12)  # radius, of the geometric mean of the axes


@dataclass(frozen=True)
class Distortion:
    """One kind of distortion.

    Attributes:
        draw: Gives the distortion of images (C, *S) of a shape.
        most: The largest strength.
        strength: What the strength is, with its unit.
    """

    draw: Callable[[np.random.Generator, tuple[int, ...]], Distort]
    most: float
    strength: str


def _noise(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    seed = int(random.integers(2**31))
    return _by_torchio(lambda strength: ("Noise", {"mean": 0.0, "std": strength, "seed": seed}))


def _rician(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    """Magnitude of a signal with Gaussian noise in its real and its imaginary part.

    Source: Gudbjartsson & Patz, Magnetic Resonance in Medicine 34 (1995).
    """
    seed = int(random.integers(2**31))

    def distort(image: Tensor, strength: float) -> Tensor:
        drawn = np.random.default_rng(seed).standard_normal((2, *image.shape))
        real, imaginary = strength * torch.from_numpy(drawn).to(image)
        return torch.hypot(image + real, imaginary)

    return distort


def _blur(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    return _by_torchio(lambda strength: ("Blur", {"std": (strength,) * 3}))


def _bias(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    """Without a constant part, which would be a gain."""
    count = (ORDER + 1) * (ORDER + 2) * (ORDER + 3) // 6
    drawn = random.uniform(-1, 1, count)
    drawn[0] = 0

    def arguments(strength: float) -> tuple[str, dict[str, Any]]:
        return "BiasField", {"coefficients": (strength * drawn).tolist(), "order": ORDER}

    return _by_torchio(arguments)


def _gamma(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    sign = random.choice([-1, 1])
    return _by_torchio(lambda strength: ("Gamma", {"gamma": float(np.exp(sign * strength))}))


def _motion(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    """One movement, after some more than half of the lines, or before some less than half."""
    degrees, translation = (random.uniform(-1, 1, (1, 3)) for _ in range(2))
    if len(shape) == 2:  # within the plane, whose axes are the last two
        degrees[:, 1:] = 0
        translation[:, 0] = 0
    times = 0.5 + random.choice([-1, 1]) * random.uniform(0.01, 0.08, 1)

    def arguments(strength: float) -> tuple[str, dict[str, Any]]:
        return "Motion", {
            "degrees": strength * DEGREES * degrees,
            "translation": strength * VOXELS * translation,
            "times": times,
            "image_interpolation": "linear",
        }

    return _by_torchio(arguments)


def _ghosting(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    ghosts = int(random.integers(2, 6))
    axis = 3 - len(shape) + int(random.integers(len(shape)))

    def arguments(strength: float) -> tuple[str, dict[str, Any]]:
        return "Ghosting", {
            "num_ghosts": ghosts,
            "axis": axis,
            "intensity": strength,
            "restore": None,
        }

    return _by_torchio(arguments)


def _spikes(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    position = np.zeros((1, 3))
    position[0, 3 - len(shape) :] = random.uniform(0.2, 0.45, len(shape))  # 0.5 is the mean
    return _by_torchio(
        lambda strength: ("Spike", {"spikes_positions": position, "intensity": strength})
    )


def _undersampling(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    """Lines of k-space across one axis are lost, one after the other, all but those in the middle.

    A line is lost gradually before the next one is, so that it changes continuously.
    """
    axis = int(random.integers(len(shape)))
    lines = shape[axis]
    outside = np.abs(np.arange(lines) - lines // 2) > KEPT * lines / 2
    place = np.full(lines, float(lines))
    place[outside] = random.permutation(int(outside.sum()))

    def distort(image: Tensor, strength: float) -> Tensor:
        lost = np.clip(strength * outside.sum() - place, 0, 1)
        weights = torch.from_numpy(np.fft.ifftshift(1 - lost)).to(image)
        along = [1] * image.ndim
        along[axis + 1] = lines
        spectrum = torch.fft.fft(image, dim=axis + 1)
        return torch.fft.ifft(spectrum * weights.view(along), dim=axis + 1).abs()

    return distort


def _by_torchio(arguments: Callable[[float], tuple[str, dict[str, Any]]]) -> Distort:
    """A transform of TorchIO; planes are volumes whose first axis has one voxel.

    Args:
        arguments: Gives the class and its arguments for a strength.
    """

    def distort(image: Tensor, strength: float) -> Tensor:
        import torchio

        if strength == 0:
            return image
        name, given = arguments(strength)
        volume = image if image.ndim == 4 else image[:, None]
        return getattr(torchio, name)(**given)(volume.cpu()).view(image.shape).to(image)

    return distort


def _downsampling(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    def distort(image: Tensor, strength: float) -> Tensor:
        for axis, size in enumerate(shape, start=1):
            matrix = _coarser_and_back(size, 1 + strength).to(image)
            image = torch.tensordot(image, matrix, dims=([axis], [1])).movedim(-1, axis)
        return image

    return distort


def _coarser_and_back(size: int, edge: float) -> Tensor:
    """What resampling an axis to voxels of another edge and back does, linearly; (size, size).

    The middle voxels of both grids coincide, so that it changes continuously with the edge.
    """
    middle = size // 2
    before, behind = (int(np.ceil(n / edge)) for n in (middle, size - 1 - middle))
    coarse = middle + edge * torch.arange(-before, behind + 1, dtype=torch.float64)
    fine = (torch.arange(size, dtype=torch.float64) - middle) / edge + before
    return (_interpolation(len(coarse), fine) @ _interpolation(size, coarse)).float()


def _interpolation(size: int, places: Tensor) -> Tensor:
    """Weights (len(places), size) of linear interpolation; the border is repeated."""
    places = places.clamp(0, size - 1)
    below = places.floor().long().clamp(max=max(size - 2, 0))
    rows = torch.arange(len(places))
    weights = torch.zeros(len(places), size, dtype=places.dtype)
    weights[rows, below] = 1 - (places - below)
    weights[rows, (below + 1).clamp(max=size - 1)] += places - below
    return weights


def _deformation(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    velocity = smooth_velocity(random, shape)
    return lambda image, strength: deformed(image, velocity, strength)


def _lesions(random: np.random.Generator, shape: tuple[int, ...]) -> Distort:
    """Lesions appear one after the other, each gradually: see `Insertion` for what they are."""
    size = float(np.prod(shape)) ** (1 / len(shape))
    radius = [max(1.0, share * size) for share in LESION]
    insertion = Insertion(radius=radius, seed=int(random.integers(2**31)))
    known: list[Tensor] = []  # the image with 0, 1, 2, ... lesions

    def distort(image: Tensor, strength: float) -> Tensor:
        if not known or not torch.equal(known[0], image):
            known[:] = [image]
        whole = int(strength)
        while len(known) < whole + 2:
            changed, _ = insertion.into(known[-1].cpu().numpy(), "lesion", str(len(known)))
            known.append(torch.from_numpy(changed).to(image))
        return known[whole].lerp(known[whole + 1], strength - whole)

    return distort


def smooth_velocity(random: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    """A random stationary velocity field (D, *S), its root mean square 1 voxel."""
    width = SMOOTHNESS * min(shape)
    fields = [gaussian_filter(random.standard_normal(shape), width, mode="wrap") for _ in shape]
    velocity = torch.from_numpy(np.stack(fields)).float()
    return velocity / velocity.square().sum(0).mean().sqrt()


def displacement(velocity: Tensor, strength: float) -> Tensor:
    """Displacement (1, D, *S) in voxels that a velocity (D, *S) of this strength makes."""
    return integrate(strength * velocity[None])


def deformed(image: Tensor, velocity: Tensor, strength: float) -> Tensor:
    """An image (C, *S) under the deformation that a velocity (D, *S) of this strength makes."""
    return warp(image[None], displacement(velocity, strength).to(image))[0]


ALL = {
    "noise": Distortion(_noise, 0.5, "standard deviation, of the range of intensities"),
    "rician": Distortion(_rician, 0.5, "standard deviation, of the range of intensities"),
    "blur": Distortion(_blur, 8.0, "standard deviation of a Gaussian in voxels"),
    "bias": Distortion(_bias, 4.0, "largest coefficient of the logarithm's polynomial"),
    "gamma": Distortion(_gamma, 3.0, "logarithm of gamma"),
    "motion": Distortion(_motion, 1.5, "tens of degrees and voxels"),
    "ghosting": Distortion(_ghosting, 1.0, "share of the lines' intensity that is lost"),
    "spikes": Distortion(_spikes, 2.0, "height, of the spectrum's maximum"),
    "undersampling": Distortion(_undersampling, 1.0, "share of the lines that can be lost"),
    "downsampling": Distortion(_downsampling, 15.0, "edge of a voxel, less 1"),
    "deformation": Distortion(_deformation, 8.0, "root mean square of the velocity in voxels"),
    "lesions": Distortion(_lesions, 16.0, "how many"),
}
