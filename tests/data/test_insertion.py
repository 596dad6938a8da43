"""`dataset.insert`: a change of known place in fixed images of test pairs, and nowhere else."""

import dataclasses

import numpy as np
import pytest
import torch
from conf_options import tiny_experiment
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from bench.config.identity import INSERTED, network_identity, run_identity, variant_identity
from bench.data import prepare
from bench.data.batches.loading import read_pairs
from bench.data.cache.preparing import cache_folder
from bench.data.preprocessing.insertion import Insertion
from bench.data.setup import make_source
from bench.errors import ConfigError, DataError

CPU = torch.device("cpu")


def image(shape, channels=1):
    """A smooth ball of tissue with noise in a dark background."""
    random = np.random.default_rng(1)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    ball = (np.linalg.norm(grid, axis=0) < 0.8) * (0.5 + 0.2 * np.sin(4 * grid[0]))
    noise = random.normal(0, 0.02, (channels, *shape))
    return (gaussian_filter(ball, 1) + noise).astype(np.float32)


@pytest.mark.parametrize("kind", ["blob", "cavity"])
@pytest.mark.parametrize("shape", [(61, 70), (40, 33, 37)])
def test_change_is_where_the_mask_says_and_as_bright_as_tissue(shape, kind):
    plain = image(shape, channels=2)
    insertion = Insertion.from_config({"kinds": [kind], "radius": [4, 6]})
    changed, mask = insertion.into(plain, "one", "other")
    difference = np.abs(changed - plain).max(axis=0)
    assert changed.dtype == np.float32
    ball = {2: np.pi, 3: 4 / 3 * np.pi}[len(shape)]
    assert 0.4 * ball * 4 ** len(shape) < mask.sum() < 2.5 * ball * 6 ** len(shape)
    assert difference[~binary_dilation(mask, iterations=9)].max() < 1e-3
    assert difference[mask].mean() > 0.05
    tissue = plain[0][gaussian_filter(plain[0], 1) > 0.3]
    inside = changed[0][mask]
    low, high = np.quantile(tissue, [0.25, 0.75])
    assert high < inside.mean() if kind == "blob" else inside.mean() < low
    assert tissue.min() - 0.1 < inside.mean() < tissue.max()
    assert plain.min() <= changed.min()
    assert changed.max() <= plain.max()


def test_texture_is_that_of_the_image():
    plain = image((90, 90))
    changed, mask = Insertion(kinds=["blob"], radius=[9, 9]).into(plain, "a", "b")
    assert changed[0][binary_erosion(mask, iterations=3)].std() == pytest.approx(0.02, rel=0.4)


@pytest.mark.parametrize("shape", [(61, 70), (40, 33, 37)])
def test_doubled_structure_is_a_second_copy_of_what_lies_nearby(shape):
    plain = image(shape, channels=2)
    plain[:, *[slice(n // 2 - 2, n // 2 + 2) for n in shape]] += 0.5  # one structure
    changed, mask = Insertion(kinds=["doubled"], radius=[4, 4]).into(plain, "a", "b")
    inside = binary_erosion(mask, iterations=2)
    assert np.abs(changed - plain).max(axis=0)[inside].mean() > 0.02
    beyond = ~binary_dilation(mask, iterations=9)
    assert np.abs(changed - plain)[:, beyond].max() < 1e-3
    reach = range(-12, 13)
    shifts = np.stack(np.meshgrid(*[reach] * len(shape), indexing="ij"), -1).reshape(-1, len(shape))
    places = np.argwhere(inside)
    apart = []
    for shift in shifts:
        if 8 <= np.linalg.norm(shift) <= 12:
            there = tuple((places + shift).clip(0, np.array(shape) - 1).T)
            apart.append(np.abs(plain[:, *there] - changed[:, *places.T]).max())
    assert min(apart) < 0.01


def test_pair_and_seed_determine_it():
    plain = image((61, 70))
    once, again = (Insertion().into(plain, "a", "b") for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(once, again, strict=True))
    for insertion, pair in ((Insertion(seed=1), ("a", "b")), (Insertion(), ("c", "b"))):
        assert not np.array_equal(insertion.into(plain, *pair)[1], once[1])


@pytest.mark.parametrize("cached", [True, False])
def test_fixed_images_of_test_pairs_alone_are_changed(tmp_path, cached):
    cache = tmp_path if cached else None
    source = make_source(tiny_experiment(2, "dataset.insert={radius:[3,4]}"))
    dataset = prepare(source, cache)
    plain = dataclasses.replace(dataset, insertion=None) if cached else None
    for split in ("train", "val"):
        assert read_pairs(dataset, dataset.pairs(split), CPU).change is None
    pairs = dataset.pairs("test")
    batch = read_pairs(dataset, pairs, CPU)
    assert batch.change.shape == batch.fixed[:, :1].shape
    assert batch.change.flatten(1).any(1).all()
    for index, pair in enumerate(pairs):  # the same whatever the batch
        alone = read_pairs(dataset, [pair], CPU)
        assert torch.equal(alone.fixed[0], batch.fixed[index])
        assert torch.equal(batch.one(index).at(torch.zeros_like(alone.u)).change, alone.change)
    if plain is not None:
        before = read_pairs(plain, pairs, CPU)
        assert before.change is None
        assert torch.equal(before.moving, batch.moving)
        changed = (before.fixed != batch.fixed).any(1, keepdim=True)
        assert (changed & batch.change).sum() > 0.9 * batch.change.sum()


def test_images_of_several_sizes_are_changed_before_they_are_padded(tmp_path):
    source = make_source(tiny_experiment(2, "dataset.insert={radius:[3,4]}"))
    dataset = prepare(source, tmp_path)
    shapes = [list(dataset.shape) for _ in dataset.ids]
    (pair, *_) = dataset.pairs("test")
    shapes[pair[1]] = [n - 4 for n in dataset.shape]
    several = dataclasses.replace(dataset, index={**dataset.index, "shapes": shapes})
    padded = read_pairs(several, [pair], CPU)
    border = torch.ones(dataset.shape, dtype=torch.bool)
    border[2:-2, 2:-2] = False
    assert padded.fixed.shape == padded.moving.shape
    assert not (padded.change[0, 0] & border).any()
    assert padded.fixed[0, 0][border].unique().numel() == 1


def test_identity_has_the_defaults_of_an_insertion():
    plain = Insertion()
    assert {"kinds": list(plain.kinds), "radius": list(plain.radius), "seed": 0} == INSERTED


def test_cache_and_training_do_not_know_of_it_and_runs_do(tmp_path):
    plain, changed = (tiny_experiment(2, *more) for more in ([], ["dataset.insert=blob"]))
    folders = {cache_folder(s, s.subjects(), tmp_path) for s in map(make_source, (plain, changed))}
    assert len(folders) == 1
    data = {"fingerprint": "x", "settings": make_source(plain).settings()}
    for identity in (lambda e: run_identity(e, data, {}), lambda e: variant_identity(e, data)):
        assert "insert" not in identity(plain)["dataset"]
        whole = {"kinds": ["blob"], "radius": [4, 8], "seed": 0}
        assert identity(changed)["dataset"] == {**identity(plain)["dataset"], "insert": whole}
        for same in ("{kinds:[blob]}", "{seed:0,kinds:[blob],radius:[4.0,8]}"):
            other = tiny_experiment(2, f"dataset.insert={same}")
            assert identity(other) == identity(changed)
        default = tiny_experiment(2, "task=changes")  # whose id is that of before
        assert identity(default)["dataset"]["insert"] == default["dataset"]["insert"]
        short = tiny_experiment(2, "task=changes", "dataset.insert={}")
        assert identity(short) == identity(default)
    networks = [network_identity(e, data, {}) for e in (plain, changed)]
    assert networks[0] == networks[1]


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (3, "dataset.insert=3: must be blob, cavity, doubled, a section"),
        ("hole", r"dataset.insert.kinds=\[hole\]: must be a list of some of blob, cavity, doub"),
        ({"kinds": []}, r"dataset.insert.kinds=\[\]"),
        ({"radius": [8, 4]}, r"dataset.insert.radius=\[8,4\]: must be the least and the largest"),
        ({"radius": 4}, r"dataset.insert.radius=4:"),
        ({"seed": -1}, r"dataset.insert.seed=-1: must be a whole number"),
        ({"size": 4}, r"dataset.insert.size: is unknown. Known: kinds, radius, seed"),
    ],
)
def test_other_values_are_refused(setting, said):
    with pytest.raises(ConfigError, match=f"^{said}"):
        Insertion.from_config(setting)


@pytest.mark.parametrize(
    ("plain", "setting", "said"),
    [
        (np.zeros((1, 20, 24), np.float32), "blob", "the image of other shows no tissue"),
        (image((20, 24)), {"kinds": ["blob"], "radius": [60, 60]}, "a radius of 60 voxels has no"),
        (image((20, 24)), {"kinds": ["doubled"], "radius": [20, 20]}, "no room in an image of 20"),
    ],
)
def test_image_without_room_for_a_change_is_refused(plain, setting, said):
    with pytest.raises(DataError, match=said):
        Insertion.from_config(setting).into(plain, "one", "other")
