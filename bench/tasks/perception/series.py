"""Series of images of one subject whose order is known."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.errors import DataError
from bench.pair import Pair
from bench.scores.registry import APPEARANCES
from bench.seeding import derive_seed
from bench.tasks.perception.distortions import ALL, deformed, displacement, smooth_velocity
from bench.tasks.perception.strengths import error, of_error, squared_error, strengths

GRADED, GEOMETRY, JND, PATH = "graded", "geometry", "jnd", "path"
STEPS = 20  # along the true path
REPEATS = 5  # of a scan, and as many other subjects
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
        kind = ALL[name]
        distort = kind.draw(self._random(GRADED, name), self.shape)
        found = strengths(distort, self.image, self.errors, kind.most)
        return [distort(self.image, strength) for strength in found], found

    def geometry(self, name: str) -> Series:
        """Deformations of growing size, each under a change of appearance that is drawn anew.

        All have the same mean squared error to the image, twice that of the last deformation: the
        more there is of deformation, the less of the change. Those that the change cannot bring to
        that error are left out.
        """
        velocity = smooth_velocity(self._random(GEOMETRY, name), self.shape)
        images = [deformed(self.image, velocity, size) for size in self.sizes]
        kind, wanted = ALL[name], 2 * error(images[-1], self.image)
        order, found, pairs = [], [], []
        for level, (size, image) in enumerate(zip(self.sizes, images, strict=True), start=1):
            change = kind.draw(self._random(GEOMETRY, name, level), self.shape)
            reached = strengths(change, image, [wanted], kind.most, self.image)
            if reached:
                changed = of_error(image, change(image, reached[0]), self.image, wanted)
                order.append(level)
                found.append(size)
                pairs.append(self._pair(changed, self.image))
        return Series(GEOMETRY, name, order, found, pairs)

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
