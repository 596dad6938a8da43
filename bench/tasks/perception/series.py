"""Series of images of one subject whose order is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from bench.errors import DataError
from bench.pair import Pair
from bench.scores.of_images import APPEARANCES
from bench.seeding import derive_seed
from bench.tasks.perception.distortions import (
    ALL,
    Distort,
    deformed,
    displacement,
    smooth_velocity,
)
from bench.tasks.perception.strengths import error, of_error, squared_error, strengths

GRADED, GEOMETRY, JND, PATH = "graded", "geometry", "jnd", "path"
STEPS = 20  # along the true path
REPEATS = 5  # of a scan, and as many other subjects
KEPT = 1000  # distortions whose strengths are known to the next metric of a sweep
GAIN = 0.5  # most of the logarithm of what a scan multiplies intensities by


@dataclass(frozen=True)
class Series:
    """Images in a known order, each as a pair with what a metric compares it with.

    Attributes:
        test: What is tested: graded, geometry, jnd or path.
        name: Of the distortion, or of the change of appearance; empty for the other tests.
        order: What D must follow: the level, from 1; t along a path; for jnd 0 for the same anatomy
            and 1 for another.
        strengths: Of the distortion; for geometry of the deformation.
        pairs: Each of one image.
    """

    test: str
    name: str
    order: Sequence[float]
    strengths: Sequence[float]
    pairs: Sequence[Pair]


class Reference:
    """A subject's image and what is made of it.

    Those of equal arguments are equal: the metrics of a sweep, which see the same images, search
    their strengths once.

    Args:
        image: (C, *S), of any intensities.
        subject: Its name, for messages and for what is drawn at random.
        levels: PSNR in dB of the distortions, falling; against the range of the image.
        deformations: Sizes of those that are hidden, ascending: root mean squares of the velocity
            in voxels.
        seed: Determines what is drawn.
        device: Where pairs are put.

    Raises:
        DataError: If the image is constant.
    """

    def __init__(
        self,
        image: Tensor,
        subject: str,
        levels: Sequence[float],
        deformations: Sequence[float],
        seed: int,
        device: torch.device,
    ) -> None:
        low, high = float(image.min()), float(image.max())
        if not high > low:
            raise DataError(
                f"{subject}: its image is constant, and no distortion of it has a PSNR. Take it "
                "out of the test split."
            )
        self.low, self.span = low, high - low
        self.image = self._unit(image)
        self.shape = tuple(image.shape[1:])
        self.subject, self.seed, self.device = subject, seed, device
        self.sizes = deformations
        self.errors = [squared_error(level) for level in levels]
        self._key = (image.cpu().numpy().tobytes(), subject, (*levels,), (*deformations,), seed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key[1:])

    def _unit(self, image: Tensor) -> Tensor:
        return (image.cpu() - self.low) / self.span

    def _pair(self, moving: Tensor, fixed: Tensor) -> Pair:
        first, second = (self.low + self.span * image[None] for image in (moving, fixed))
        return Pair(first.to(self.device), second.to(self.device))

    def _random(self, *purpose: str | int) -> np.random.Generator:
        return np.random.default_rng(derive_seed(self.seed, self.subject, *purpose))

    def graded(self, name: str) -> Series:
        """The image under a distortion, at the strengths that make the errors of the levels."""
        images, found = self.distorted(name)
        return Series(
            GRADED,
            name,
            list(range(1, len(found) + 1)),
            found,
            [self._pair(image, self.image) for image in images],
        )

    def distorted(self, name: str) -> tuple[list[Tensor], list[float]]:
        """The image, scaled to 0 to 1, under a distortion of growing strength; the strengths."""
        distort = self._graded(name)
        found = list(_graded_strengths(self, name))
        return [distort(self.image, strength) for strength in found], found

    def _graded(self, name: str) -> Distort:
        return ALL[name].draw(self._random(GRADED, name), self.shape)

    def geometry(self, name: str) -> Series:
        """Deformations of growing size, each under a change of appearance that is drawn anew.

        All have the same mean squared error to the image, twice that of the last deformation: the
        more there is of deformation, the less of the change. Those that the change cannot bring to
        that error are left out.
        """
        images, wanted = self._deformed(name)
        order, found, pairs = [], [], []
        for level, strength in _hiding_strengths(self, name):
            image, change = images[level - 1], self._change(name, level)
            changed = of_error(image, change(image, strength), self.image, wanted)
            order.append(level)
            found.append(self.sizes[level - 1])
            pairs.append(self._pair(changed, self.image))
        return Series(GEOMETRY, name, order, found, pairs)

    def _deformed(self, name: str) -> tuple[list[Tensor], float]:
        """The image under each deformation, and the error that all get."""
        velocity = smooth_velocity(self._random(GEOMETRY, name), self.shape)
        images = [deformed(self.image, velocity, size) for size in self.sizes]
        return images, 2 * error(images[-1], self.image)

    def _change(self, name: str, level: int) -> Distort:
        return ALL[name].draw(self._random(GEOMETRY, name, level), self.shape)

    def jnd(self, others: Sequence[Tensor]) -> Series:
        """The image and those of other subjects as further scans would show them.

        Args:
            others: (C, *S) each.
        """
        anatomies = [*[self.image] * REPEATS, *map(self._unit, others)]
        pairs = [
            self._pair(self._scanned(anatomy, self._random(JND, number)), self.image)
            for number, anatomy in enumerate(anatomies)
        ]
        different = [float(number >= REPEATS) for number in range(len(pairs))]
        return Series(JND, "", different, [0.0] * len(pairs), pairs)

    def path(self) -> Series:
        """The image on its way to a scan of itself under the largest of the deformations."""
        velocity, size = smooth_velocity(self._random(PATH), self.shape), self.sizes[-1]
        fixed = self._scanned(deformed(self.image, velocity, size), self._random(PATH, "scan"))
        pair, u = self._pair(self.image, fixed), displacement(velocity, size).to(self.device)
        places = [step / STEPS for step in range(STEPS + 1)]
        at = [pair.at(place * u) for place in places]
        return Series(PATH, "", places, [place * size for place in places], at)

    def _scanned(self, image: Tensor, random: np.random.Generator) -> Tensor:
        """An image under another gain, and under noise of the middle level."""
        gain = np.exp(random.uniform(-GAIN, GAIN))
        deviation = self.errors[len(self.errors) // 2] ** 0.5
        noise = torch.from_numpy(random.standard_normal(image.shape)).float()
        return gain * image + deviation * noise

    def all(self, distortions: Sequence[str], others: Sequence[Tensor]) -> Iterator[Series]:
        """Every series.

        Args:
            distortions: Names of graded ones.
            others: Images of other subjects, (C, *S) each; without any, jnd is left out.
        """
        for name in distortions:
            yield self.graded(name)
        for name in APPEARANCES:
            yield self.geometry(name)
        if others:
            yield self.jnd(others)
        yield self.path()

    def psnr(self, pair: Pair) -> float:
        """PSNR in dB of the moving image under its displacement, against the range of this one."""
        wrong = error(self._unit(pair.warped[0]), self._unit(pair.fixed[0]))
        return float(-10 * np.log10(max(wrong, 1e-12)))


@lru_cache(maxsize=KEPT)
def _graded_strengths(reference: Reference, name: str) -> Sequence[float]:
    """Strengths of a distortion that make the errors of the levels, as many as are reached."""
    distort, most = reference._graded(name), ALL[name].most
    return tuple(strengths(distort, reference.image, reference.errors, most))


@lru_cache(maxsize=KEPT)
def _hiding_strengths(reference: Reference, name: str) -> Sequence[tuple[int, float]]:
    """Level of a deformation, and strength of the change that brings it to the error of all."""
    images, wanted = reference._deformed(name)
    found = []
    for level, image in enumerate(images, start=1):
        change, most = reference._change(name, level), ALL[name].most
        reached = strengths(change, image, [wanted], most, reference.image)
        found += [(level, strength) for strength in reached]
    return tuple(found)
