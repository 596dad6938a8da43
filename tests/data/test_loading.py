"""Samplers and batches: every sample is determined by its number alone."""

import pickle

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from bench.data import prepare
from bench.data.batches.augmentation import Augmentation, RandomAffine
from bench.data.batches.loading import (
    Sampler,
    TrainingImages,
    TrainingPairs,
    read_images,
    read_pairs,
    read_segmentations,
)
from bench.data.sources.pairs import evenly_spaced
from bench.data.sources.source import Source
from bench.data.sources.subject import SPLITS, Sample, Subject

CPU = torch.device("cpu")
STRONG = Augmentation(RandomAffine(rotation=20, scale=(0.9, 1.1), translation=2, flip=True))


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
    labels = [half.segmentations for half in halves]
    for i, maps in enumerate(whole.segmentations):
        assert torch.equal(torch.cat([half[i] for half in labels]), maps)


def test_another_seed_gives_other_samples(tiny_datasets):
    batches = [TrainingPairs(tiny_datasets[2], STRONG, s).batch(range(4), CPU) for s in (0, 1)]
    assert not torch.equal(batches[0].moving, batches[1].moving)


class Twins(Source):
    """Subjects that are all the same blob, labelled where it is bright."""

    def subjects(self):
        return [Subject(f"{split}{i}", split) for split in SPLITS for i in range(2)]

    def load(self, subject):
        shape = (33, 40, 36)[: self.ndim]
        field = np.random.default_rng(0).normal(size=shape)
        field = gaussian_filter(field, 4)
        image = ((field - field.min()) / np.ptp(field)).astype(np.float32)
        return Sample(image[None], (image > 0.5).astype(np.uint8), (1.0,) * self.ndim)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("surrogate", [False, True])
def test_images_and_labels_are_moved_alike(ndim, surrogate, tmp_path):
    pairs = dict.fromkeys(SPLITS, "cross")
    dataset = prepare(Twins(name="twins", ndim=ndim, classes=2, pairs=pairs), tmp_path)
    plain = torch.from_numpy(np.array(dataset.images[:1])).float()
    if surrogate:
        image, labels = TrainingImages(dataset, STRONG, 0, labels=True).batch(range(4), CPU)
    else:
        batch = TrainingPairs(dataset, STRONG, seed=0).batch(range(4), CPU)
        image, (labels, fixed_labels) = batch.moving, batch.segmentations
        assert torch.equal(batch.fixed, image)
        assert torch.equal(fixed_labels, labels)
    assert labels.dtype == torch.uint8
    assert all((moved - plain[0]).abs().mean() > 0.02 for moved in image)
    assert not torch.equal(image[0], image[1])
    agreement = ((image > 0.5) == (labels == 1)).float().mean()
    assert agreement > 0.97


def test_without_augmentation_the_batch_is_the_stored_arrays(tiny_datasets):
    dataset = tiny_datasets[2]
    training = TrainingPairs(dataset, Augmentation(), seed=0)
    batch = training.batch([0], CPU)
    moving, fixed = training.pairs[training.sampler[0]]
    assert np.array_equal(batch.moving[0].numpy(), dataset.images[moving].astype(np.float32))
    assert np.array_equal(batch.fixed[0].numpy(), dataset.images[fixed].astype(np.float32))
    maps = batch.segmentations
    assert np.array_equal(maps[0][0].numpy(), dataset.labels[moving])
    assert np.array_equal(maps[1][0].numpy(), dataset.labels[fixed])


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
