"""Samplers and batches: every sample is determined by its number alone."""

import pickle

import numpy as np
import pytest
import torch

from bench.data.augmentation import RandomAffine
from bench.data.loading import (
    Sampler,
    TrainingImages,
    TrainingPairs,
    evenly_spaced,
    read_images,
    read_pairs,
    read_segmentations,
)
from bench.spatial import warp

CPU = torch.device("cpu")
STRONG = RandomAffine(rotation=20, scale=(0.9, 1.1), translation=2, flip=True)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_each_round_covers_every_item_once(count):
    sampler = Sampler(count, seed=3)
    for start in range(0, 5 * count, count):
        assert sorted(sampler[start + i] for i in range(count)) == list(range(count))


def test_rounds_and_seeds_differ_and_repeat():
    order = [Sampler(20, seed=3)[i] for i in range(40)]
    assert order[:20] != order[20:]
    assert order[:20] != [Sampler(20, seed=4)[i] for i in range(20)]
    sampler = Sampler(20, seed=3)
    assert [sampler[i] for i in reversed(range(40))] == order[::-1]


def test_sampler_survives_pickling():
    sampler = Sampler(20, seed=3)
    copy = pickle.loads(pickle.dumps(sampler))
    assert [copy[i] for i in range(40)] == [sampler[i] for i in range(40)]


def test_training_pairs_survive_pickling_without_their_arrays(tiny_datasets):
    training = TrainingPairs(tiny_datasets[2], STRONG, seed=0)
    first = training.batch(range(2), CPU)
    data = pickle.dumps(training)
    assert len(data) < 20_000
    second = pickle.loads(data).batch(range(2), CPU)
    assert torch.equal(first.moving, second.moving)


@pytest.mark.parametrize("ndim", [2, 3])
def test_samples_do_not_depend_on_the_batch_they_are_in(tiny_datasets, ndim):
    training = TrainingPairs(tiny_datasets[ndim], STRONG, seed=0)
    whole = training.batch(range(6), CPU)
    halves = [training.batch(range(first, first + 3), CPU) for first in (0, 3)]
    alone = TrainingPairs(tiny_datasets[ndim], STRONG, seed=0).batch([4], CPU)
    for image in ("moving", "fixed"):
        joined = torch.cat([getattr(half, image) for half in halves])
        torch.testing.assert_close(joined, getattr(whole, image), rtol=0, atol=1e-5)
        one = getattr(alone, image)[0]
        torch.testing.assert_close(one, getattr(whole, image)[4], rtol=0, atol=1e-5)
    labels = [half.read_segmentations() for half in halves]
    for i, maps in enumerate(whole.read_segmentations()):
        assert torch.equal(torch.cat([half[i] for half in labels]), maps)


def test_another_seed_gives_other_samples(tiny_datasets):
    batches = [TrainingPairs(tiny_datasets[2], STRONG, s).batch(range(4), CPU) for s in (0, 1)]
    assert not torch.equal(batches[0].moving, batches[1].moving)


@pytest.mark.parametrize("ndim", [2, 3])
def test_moving_fixed_and_labels_are_moved_alike(tiny_datasets, ndim):
    """Undoing the map that moved the one must undo it for the others."""
    dataset = tiny_datasets[ndim]
    training = TrainingPairs(dataset, STRONG, seed=0)
    positions = range(4)
    plain = TrainingPairs(dataset, RandomAffine(), seed=0).batch(positions, CPU)
    batch = training.batch(positions, CPU)
    moved = _displacements(training, dataset, positions)
    assert moved.abs().max() > 1
    assert torch.equal(batch.moving, warp(plain.moving, moved))
    assert torch.equal(batch.fixed, warp(plain.fixed, moved))
    for found, before in zip(batch.read_segmentations(), plain.read_segmentations(), strict=True):
        assert torch.equal(found, warp(before, moved, mode="nearest"))
        assert found.dtype == torch.uint8


def _displacements(training, dataset, positions):
    """The maps, found by letting them move the coordinates of every voxel."""
    ndim = dataset.ndim
    grid = np.stack(np.meshgrid(*map(np.arange, dataset.shape), indexing="ij"))
    seeds = []
    draw = RandomAffine.draw

    def noted(self, ndim, seed):
        seeds.append(seed)
        return draw(self, ndim, seed)

    RandomAffine.draw = noted
    try:
        training.batch(positions, CPU)
    finally:
        RandomAffine.draw = draw
    maps = np.stack([training.augmentation.draw(ndim, seed) for seed in seeds])
    centre = (np.array(dataset.shape) - 1) / 2
    points = grid - centre.reshape(-1, *[1] * ndim)
    moved = np.einsum("bij,j...->bi...", maps[:, :, :ndim], points)
    moved += maps[:, :, ndim].reshape(len(maps), ndim, *[1] * ndim)
    return torch.from_numpy(moved - points).float()


def test_without_augmentation_the_batch_is_the_stored_arrays(tiny_datasets):
    dataset = tiny_datasets[2]
    training = TrainingPairs(dataset, RandomAffine(), seed=0)
    batch = training.batch([0], CPU)
    moving, fixed = training.pairs[training.sampler[0]]
    assert np.array_equal(batch.moving[0].numpy(), dataset.images[moving].astype(np.float32))
    assert np.array_equal(batch.fixed[0].numpy(), dataset.images[fixed].astype(np.float32))
    maps = batch.read_segmentations()
    assert np.array_equal(maps[0][0].numpy(), dataset.labels[moving])
    assert np.array_equal(maps[1][0].numpy(), dataset.labels[fixed])


def test_surrogate_images_move_with_their_labels(tiny_datasets):
    dataset = tiny_datasets[2]
    plain, _ = TrainingImages(dataset, RandomAffine(), 0, labels=False).batch(range(3), CPU)
    image, labels = TrainingImages(dataset, STRONG, 0, labels=True).batch(range(3), CPU)
    assert image.shape == plain.shape == (3, 1, 17, 22)
    assert not torch.equal(image, plain)
    brain = image > 0.3  # tissue is bright, background is dark
    outside = brain & (labels == 0)
    assert outside.sum() < 0.1 * brain.sum()
    members = set(dataset.members("train"))
    assert {dataset.members("train")[i] for i in range(3)} == members


def test_reading_gives_float32_images_and_uint8_labels(tiny_datasets):
    dataset = tiny_datasets[3]
    image = read_images(dataset, [2, 0], CPU)
    assert image.dtype == torch.float32
    assert image.shape == (2, 1, 10, 13, 15)
    labels = read_segmentations(dataset, [2, 0], CPU)
    assert labels.dtype == torch.uint8
    assert labels.shape == (2, 1, 10, 13, 15)
    batch = read_pairs(dataset, [(2, 0)], CPU)
    assert torch.equal(batch.moving[0], image[0])
    assert torch.equal(batch.fixed[0], image[1])


def test_evenly_spaced_takes_all_or_spreads():
    assert evenly_spaced(range(5), None) == [0, 1, 2, 3, 4]
    assert evenly_spaced(range(5), 9) == [0, 1, 2, 3, 4]
    assert evenly_spaced(range(10), 4) == [0, 2, 5, 7]
    assert evenly_spaced(range(10), 1) == [0]
