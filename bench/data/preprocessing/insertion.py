"""Inserts changes of known position into images, which no deformation explains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.config.numbers import is_number
from bench.config.overrides import quoted
from bench.errors import ConfigError, DataError
from bench.seeding import derive_seed

BLOB, CAVITY, DOUBLED = "blob", "cavity", "doubled"
KINDS = (BLOB, CAVITY, DOUBLED)
DRAWN = (BLOB, CAVITY)  # unless kinds are given
TISSUE = 0.25  # of the range of intensities; what is brighter is tissue
EXTREME = 0.05  # share of the tissue that is as bright as a blob, or as dark as a cavity
CONTRAST = 0.2  # of the range of intensities, that a change differs from its place by, if it can
EDGE = 0.5  # voxels; an edge rises from 10 to 90 % over 4.4 times as many
STRETCH = 0.3  # largest relative change of a half axis
WAVES, BULGE = 3, 0.12  # of an outline: how many, and the largest share of the radius of each
LARGEST = 1000.0  # voxels
APART = (2.0, 3.0)  # times the radius: from a structure to its double
CANDIDATES = 24  # structures of which the one is doubled that differs most from what it covers


@dataclass(frozen=True)
class Insertion:
    """Inserts a change into the fixed image of a pair, the same one each time.

    A blob is as bright as the brightest twentieth of the tissue in the image, a cavity as dark as
    the darkest; tissue is what is brighter than a quarter of the way from the darkest to the
    brightest voxels. Either has the texture of the evenest tissue of the same image: what is left
    there of each channel without its local mean. A doubled structure is a second copy of what the
    image shows nearby, two to three radii away: of some such structures the one that differs most
    from what the copy covers. The outline is an ellipsoid with bulges, within tissue as far as
    there is room; blobs and cavities lie where the image is of another brightness.

    Attributes:
        kinds: Which are drawn from, of `blob`, `cavity` and `doubled`.
        radius: Least and largest mean radius, voxels.
        seed: Separates repetitions; the run's seed does not change the data.
    """

    kinds: Sequence[str] = DRAWN
    radius: Sequence[float] = (4.0, 8.0)
    seed: int = 0

    @classmethod
    def from_config(cls, section: Any) -> "Insertion":
        """From the setting `dataset.insert`: a kind, or a section with some of the attributes.

        Raises:
            ConfigError: If it is neither, or a value is out of range.
        """
        if isinstance(section, str):
            section = {"kinds": [section]}
        if not isinstance(section, Mapping):
            raise ConfigError(
                f"dataset.insert={quoted(section)}: must be {', '.join(KINDS)}, a section such as "
                "{kinds: [blob], radius: [4, 8]}, or null for no change."
            )
        known = tuple(cls.__dataclass_fields__)
        for key in section:
            if key not in known:
                raise ConfigError(f"dataset.insert.{key}: is unknown. Known: {', '.join(known)}.")
        insertion = cls(**section)
        kinds, radius, seed = insertion.kinds, insertion.radius, insertion.seed
        if not _is_list(kinds) or not kinds or any(kind not in KINDS for kind in kinds):
            raise ConfigError(
                f"dataset.insert.kinds={quoted(kinds)}: must be a list "
                f"of some of {', '.join(KINDS)}."
            )
        numbers = _is_list(radius) and len(radius) == 2 and all(map(is_number, radius))
        if not numbers or not 1 <= radius[0] <= radius[1] <= LARGEST:
            raise ConfigError(
                f"dataset.insert.radius={quoted(radius)}: must be the least and the largest "
                f"radius, in voxels, from 1 to {LARGEST:g}, such as [4,8]."
            )
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ConfigError(
                f"dataset.insert.seed={quoted(seed)}: must be a whole number of at least 0."
            )
        return insertion

    def into(self, image: np.ndarray, moving: str, fixed: str) -> tuple[np.ndarray, np.ndarray]:
        """An image with its change, and where that is.

        Args:
            image: The fixed image (C, *S) float32, normalized.
            moving: Subject that the image is paired with; determines the change, together with the
                seed and the following.
            fixed: Subject of the image.

        Returns:
            The changed image, and a mask (*S), True where more than half of it is the change.

        Raises:
            DataError: If the image shows no tissue, or has no room for the change.
        """
        random = np.random.default_rng(derive_seed(self.seed, "insert", moving, fixed))
        kind = self.kinds[int(random.integers(len(self.kinds)))]
        radius = random.uniform(self.radius[0], self.radius[1])
        looks = _Tissue(image, radius, fixed or "a training subject")
        level = None if kind == DOUBLED else looks.level(bright=kind == BLOB)
        place = looks.place(level, random)
        share = np.zeros(image.shape[1:], np.float32)
        window = [(max(0, at - 2 * round(radius)), at + 2 * round(radius) + 1) for at in place]
        around = tuple(slice(*ends) for ends in window)
        start = [first for first, _ in window]
        share[around] = _shape(share[around].shape, start, place, radius, random)
        if (share > 0.5).all():
            raise _too_large(radius, share.shape)
        axes = tuple(range(1, image.ndim))
        if level is None:
            values = looks.double(place, share, random)
        else:
            values = np.expand_dims(level, axes) + looks.texture(place)
        limits = image.min(axes, keepdims=True), image.max(axes, keepdims=True)
        changed = image + share * (values.clip(*limits) - image)
        return changed.astype(np.float32), share > 0.5


class _Tissue:
    """What an image looks like, at the scale of a change of some radius.

    Args:
        image: (C, *S).
        radius: Voxels.
        subject: How messages call the image.

    Raises:
        DataError: If nothing in the image is brighter than the rest.
    """

    def __init__(self, image: np.ndarray, radius: float, subject: str) -> None:
        from scipy.ndimage import distance_transform_edt, gaussian_filter

        width = radius / 2
        self.radius = radius
        self.image = image
        self.coarse = np.stack([gaussian_filter(channel, width) for channel in image])
        mean = image.mean(axis=0)
        fine = gaussian_filter(mean, 1.0)
        low, high = np.quantile(fine, [0.02, 0.98])
        self.range = high - low
        self.fine = fine
        self.tissue = fine > low + TISSUE * self.range
        if not self.tissue.any():
            raise DataError(
                f"dataset.insert: the image of {subject} shows no tissue, since nothing in it is "
                "brighter than the rest. Leave the subject out, or set dataset.insert=null."
            )
        depth = distance_transform_edt(np.pad(self.tissue, 1, mode="edge"))
        depth = depth[(slice(1, -1),) * mean.ndim]
        room = min(radius, float(np.quantile(depth[self.tissue], 0.9)))
        self.roomy = depth >= room
        self.unevenness = gaussian_filter(fine * fine, width) - gaussian_filter(fine, width) ** 2

    def level(self, bright: bool) -> np.ndarray:
        """Mean intensity of each channel (C,) over the brightest or darkest tissue."""
        values = self.fine[self.tissue]
        if bright:
            chosen = self.fine >= np.quantile(values, 1 - EXTREME)
        else:
            chosen = self.fine <= np.quantile(values, EXTREME)
        return self.image[:, chosen & self.tissue].mean(axis=1)

    def place(self, level: np.ndarray | None, random: np.random.Generator) -> tuple[int, ...]:
        """A voxel with room around it, where the image differs from a level (C,), if any."""
        if level is None:
            return _drawn(self.roomy, random)
        differs = np.abs(self.coarse.mean(axis=0) - level.mean())
        wanted = self.roomy & (differs >= CONTRAST * self.range)
        if not wanted.any():
            wanted = self.roomy & (differs >= differs[self.roomy].max())
        return _drawn(wanted, random)

    def double(
        self, place: Sequence[int], share: np.ndarray, random: np.random.Generator
    ) -> np.ndarray:
        """The image (C, *S) moved so that another structure of it comes to a place.

        Args:
            place: Of the copy.
            share: How much of each voxel (*S) is the copy.
            random: Draws the structures.
        """
        grid = np.stack(np.meshgrid(*map(np.arange, share.shape), indexing="ij"))
        apart = np.linalg.norm(grid - np.reshape(place, (-1, *[1] * share.ndim)), axis=0)
        nearby = (apart >= APART[0] * self.radius) & (apart <= APART[1] * self.radius)
        within = nearby & self.tissue if (nearby & self.tissue).any() else nearby
        if not within.any():
            raise _too_large(self.radius, share.shape)
        covered = share > 0.5
        best, most = self.image, -1.0
        for _ in range(CANDIDATES):
            source = _drawn(within, random)
            ways = [
                (np.arange(n) + there - here).clip(0, n - 1)
                for n, there, here in zip(share.shape, source, place, strict=True)
            ]
            moved = np.stack([channel[np.ix_(*ways)] for channel in self.image])
            differs = float(np.square(moved - self.image)[:, covered].mean())
            if differs > most:
                best, most = moved, differs
        return best

    def texture(self, place: Sequence[int]) -> np.ndarray:
        """Texture (C, *S) of the evenest tissue, moved to a place."""
        evenness = np.where(self.roomy, self.unevenness, np.inf)
        origin = np.unravel_index(int(evenness.argmin()), evenness.shape)
        by = [int(there) - int(here) for there, here in zip(place, origin, strict=True)]
        return np.roll(self.image - self.coarse, by, axis=tuple(range(1, self.image.ndim)))


def _shape(
    shape: Sequence[int],
    start: Sequence[int],
    place: Sequence[int],
    radius: float,
    random: np.random.Generator,
) -> np.ndarray:
    """How much of each voxel of a window is the change, from 0 to 1."""
    ndim = len(place)
    turn, _ = np.linalg.qr(random.normal(size=(ndim, ndim)))
    stretch = 1 + random.uniform(-STRETCH, STRETCH, ndim)
    axes = [np.arange(n) + first - at for n, first, at in zip(shape, start, place, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1) @ (turn / stretch)
    distance = np.linalg.norm(points, axis=-1)
    directions = points / np.maximum(distance, 1e-6)[..., None]
    reach = np.full(distance.shape, radius)
    for _ in range(WAVES):
        along = random.normal(size=ndim)
        along *= random.uniform(2, 5) / np.linalg.norm(along)
        phase, bulge = random.uniform(0, 2 * np.pi), random.uniform(0, BULGE)
        reach += radius * bulge * np.cos(directions @ along + phase)
    return 1 / (1 + np.exp(((distance - reach) / EDGE).clip(-50, 50)))


def _too_large(radius: float, shape: Sequence[int]) -> DataError:
    size = " x ".join(map(str, shape))
    return DataError(
        f"dataset.insert.radius: a change with a radius of {radius:.3g} voxels has no room in an "
        f"image of {size} voxels. Choose a smaller radius, or set dataset.insert=null."
    )


def _drawn(wanted: np.ndarray, random: np.random.Generator) -> tuple[int, ...]:
    """One of the voxels of a mask (*S)."""
    places = np.argwhere(wanted)
    return tuple(int(axis) for axis in places[random.integers(len(places))])


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
