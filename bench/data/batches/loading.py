"""From the memory-mapped data set to batches on the device.

Sample number n of a training does not depend on the batch size and the number of devices (up to
rounding), nor on the step at which the training was resumed: the position of each round through the
data and of each augmentation seeds it, and no state is kept.
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch import Tensor

from bench.data.batches.augmentation import Augmentation
from bench.data.cache.prepared import PreparedDataset
from bench.data.preprocessing.steps import crop_or_pad, padded
from bench.data.sources.pairs import Pairs
from bench.data.sources.roles import FIXED, MOVING
from bench.pair import Pair
from bench.seeding import derive_seed
from bench.spatial.displacement import affine_origins, warp


class Sampler:
    """Endless shuffled rounds through `count` items.

    Args:
        count: Number of items.
        seed: Determines the order.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._round = lru_cache(maxsize=2)(self._shuffle)

    def _shuffle(self, number: int) -> np.ndarray:
        return np.random.default_rng(derive_seed(self.seed, "round", number)).permutation(
            self.count
        )

    def __getitem__(self, position: int) -> int:
        number, place = divmod(position, self.count)
        return int(self._round(number)[place])

    def __getstate__(self) -> dict[str, int]:
        return {"count": self.count, "seed": self.seed}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.count, self.seed = state["count"], state["seed"]
        self._round = lru_cache(maxsize=2)(self._shuffle)


class TrainingPairs:
    """Augmented training pairs by sample number.

    Args:
        dataset: The data set.
        augmentation: Random changes.
        seed: The run's seed; all metrics and weights of one seed see the same samples.
    """

    def __init__(self, dataset: PreparedDataset, augmentation: Augmentation, seed: int) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.seed = derive_seed(seed, dataset.name, "augmentation")
        self._order = derive_seed(seed, dataset.name, "pairs")

    @cached_property
    def pairs(self) -> Pairs:
        """(moving, fixed) indices of the training pairs."""
        return self.dataset.pairs("train")

    @cached_property
    def sampler(self) -> Sampler:
        """The order of the training pairs."""
        return Sampler(len(self.pairs), self._order)

    def batch(self, positions: Sequence[int], device: torch.device) -> Pair:
        """The samples at these positions."""
        pairs = [self.pairs[self.sampler[position]] for position in positions]
        pair = read_pairs(self.dataset, pairs, device)
        moving, fixed = pair.moving, pair.fixed
        affine, intensity = self.augmentation.affine, self.augmentation.intensity
        if not intensity.is_identity:
            moving, fixed = (
                intensity(image, [derive_seed(self.seed, name, position) for position in positions])
                for name, image in (("moving", moving), ("fixed", fixed))
            )
        u: Tensor | None = None
        if not affine.is_identity:
            seeds = [derive_seed(self.seed, position) for position in positions]
            u = affine.displacement(moving.shape[2:], seeds, device)
            moving, fixed = warp(moving, u), warp(fixed, u)

        def segmentations() -> tuple[Tensor, Tensor]:
            first, second = pair.segmentations
            if u is None:
                return first, second
            return warp(first, u, mode="nearest"), warp(second, u, mode="nearest")

        def landmarks() -> tuple[Tensor, Tensor]:
            first, second = pair.landmarks
            if u is None:
                return first, second
            return affine_origins(u, first), affine_origins(u, second)

        return Pair(
            moving,
            fixed,
            None,
            segmentations if pair.has_labels else None,
            pair.classes,
            landmarks=landmarks if pair.has_landmarks else None,
        )


class TrainingImages:
    """Augmented training images by sample number, for surrogate tasks.

    Args:
        dataset: The data set; only its training split is read, see `images_for`.
        augmentation: Random changes.
        seed: The run's seed.
        labels: Whether to read segmentations.
    """

    def __init__(
        self, dataset: PreparedDataset, augmentation: Augmentation, seed: int, labels: bool
    ) -> None:
        self.dataset = dataset
        self.augmentation = augmentation
        self.labels = labels
        self.members = dataset.images_for("train", labels)
        self.sampler = Sampler(len(self.members), derive_seed(seed, dataset.name, "images"))
        self.seed = derive_seed(seed, dataset.name, "image augmentation")

    def batch(self, positions: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Images (B, C, *S) and segmentations (B, 1, *S) at these positions.

        Where moving and fixed images show different channels, even positions show the former.
        """
        members = [self.members[self.sampler[position]] for position in positions]
        image = read_images(self.dataset, members, device)
        if self.dataset.roles is not None:
            shown = torch.tensor([position % 2 == 1 for position in positions], device=device)
            image[shown] = read_images(self.dataset, members, device, FIXED)[shown]
        labels = read_segmentations(self.dataset, members, device) if self.labels else None
        affine, intensity = self.augmentation.affine, self.augmentation.intensity
        image = intensity(image, [derive_seed(self.seed, "image", i) for i in positions])
        if affine.is_identity:
            return image, labels
        seeds = [derive_seed(self.seed, position) for position in positions]
        u = affine.displacement(image.shape[2:], seeds, device)
        return warp(image, u), None if labels is None else warp(labels, u, mode="nearest")


def read_images(
    dataset: PreparedDataset,
    members: Sequence[int],
    device: torch.device,
    role: str = MOVING,
    shape: Sequence[int] | None = None,
) -> Tensor:
    """(B, C, *S) float32 of these subjects, with the channels that they show in a role.

    Args:
        dataset: The data set.
        members: Which subjects.
        device: Where to put them.
        role: Moving or fixed images.
        shape: Shape to pad smaller images to; None for the smallest shape that holds each.
    """
    kept = _within(dataset, dataset.images_of(members), members, shape)
    if dataset.roles is not None:
        kept = kept[:, list(dataset.roles[role])]
    images = torch.from_numpy(kept).to(device).float()
    return images if dataset.step in (None, 1.0) else images.mul_(dataset.step)


def read_segmentations(
    dataset: PreparedDataset,
    members: Sequence[int],
    device: torch.device,
    shape: Sequence[int] | None = None,
) -> Tensor:
    """(B, 1, *S) uint8 of these subjects, int32 beyond 256 classes; there must be labels."""
    labels = _within(dataset, dataset.labels_of(members), members, shape)
    if labels.dtype != np.uint8:
        labels = labels.astype(np.int32)
    return torch.from_numpy(labels).to(device)


def read_landmarks(
    dataset: PreparedDataset,
    members: Sequence[int],
    device: torch.device,
    shape: Sequence[int] | None = None,
) -> Tensor:
    """(B, N, D) float32 of these subjects, voxels, NaN where one is missing; there must be some."""
    assert dataset.landmarks is not None
    shape = shape or dataset.common_shape(members)
    starts = [[part.start for part in dataset.window(i, shape)] for i in members]
    points = dataset.landmarks[list(members)] - np.array(starts)[:, None]
    return torch.from_numpy(points).float().to(device)


def _within(
    dataset: PreparedDataset,
    blocks: np.ndarray,
    members: Sequence[int],
    shape: Sequence[int] | None,
) -> np.ndarray:
    """Subjects (B, C, *S) without what arrays of subjects of several sizes pad them with."""
    if dataset.shapes is None:
        return blocks
    shape = shape or dataset.common_shape(members)
    windows = [(slice(None), *dataset.window(i, shape)) for i in members]
    return np.stack([block[place] for block, place in zip(blocks, windows, strict=True)])


def read_pairs(
    dataset: PreparedDataset,
    pairs: Sequence[tuple[int, int]],
    device: torch.device,
    changed: bool = True,
) -> Pair:
    """A batch of (moving, fixed) pairs, without augmentation.

    Subjects of different sizes are padded to the largest of the batch along each axis.

    Args:
        dataset: The data set.
        pairs: Which subjects.
        device: Where to put them.
        changed: Whether fixed images get the change that the data set inserts.
    """
    moving, fixed = zip(*pairs, strict=True)
    shape = dataset.common_shape([*moving, *fixed])
    shown, change = read_images(dataset, fixed, device, FIXED, shape), None
    if changed and any(dataset.is_changed(*pair) for pair in pairs):
        shown, change = _changed(dataset, pairs, device, shape)

    def segmentations() -> tuple[Tensor, Tensor]:
        return (
            read_segmentations(dataset, moving, device, shape),
            read_segmentations(dataset, fixed, device, shape),
        )

    def landmarks() -> tuple[Tensor, Tensor]:
        return (
            read_landmarks(dataset, moving, device, shape),
            read_landmarks(dataset, fixed, device, shape),
        )

    return Pair(
        read_images(dataset, moving, device, MOVING, shape),
        shown,
        None,
        segmentations if dataset.has_labels else None,
        len(dataset.class_names),
        [(dataset.ids[m], dataset.ids[f]) for m, f in pairs],
        landmarks if dataset.has_landmarks else None,
        change,
    )


def _changed(
    dataset: PreparedDataset,
    pairs: Sequence[tuple[int, int]],
    device: torch.device,
    shape: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Fixed images (B, C, *S) with their changes, and where these are (B, 1, *S).

    The change is inserted before padding, so it does not depend on the batch.
    """
    assert dataset.insertion is not None
    images, masks = [], []
    for moving, fixed in pairs:
        plain = read_images(dataset, [fixed], torch.device("cpu"), FIXED, dataset.shape_of(fixed))
        image, mask = plain[0].numpy(), np.zeros(plain.shape[2:], bool)
        if dataset.is_changed(moving, fixed):
            image, mask = dataset.insertion.into(image, dataset.ids[moving], dataset.ids[fixed])
        images.append(padded(image, shape))
        masks.append(crop_or_pad(mask, shape, False)[None])
    return torch.from_numpy(np.stack(images)).to(device), torch.from_numpy(np.stack(masks)).to(
        device
    )
