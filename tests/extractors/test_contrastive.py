"""The contrastive encoder: its views and places, InfoNCE against NumPy, and a short training."""

import csv
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conf_options import setup_of, tiny_experiment
from torch import nn

from bench.data.batches.augmentation import Augmentation
from bench.errors import ConfigError
from bench.extractors.contrastive import Contrastive
from bench.runs.extractors import obtain_extractor
from bench.similarity.building import Learner, build_extractor
from bench.store.layout import EXTRACTORS, HISTORY
from bench.store.listing import list_folders

SHAPES = [(17, 22), (10, 13, 15)]
CHANNELS = [4, 6, 8]
UNCHANGED = {"affine": {}, "intensity": {}}


def image(shape, batch=2, channels=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, channels, *shape, generator=generator)


def contrastive(ndim, **settings):
    torch.manual_seed(0)
    options = {"norm": False, "dropout": False, "projection": 16, "places": 20, **settings}
    return Contrastive(ndim, 1, 0, CHANNELS, **options)


class Blocks(Contrastive):
    """Features are the block means of the image itself, and nothing is projected."""

    def __init__(self, channels, **settings):
        super().__init__(2, channels, 0, [channels] * 3, projection=channels, **settings)
        self.projections = nn.ModuleList([nn.Identity()] * 3)

    def features(self, image):
        return [F.avg_pool2d(image, factor) for factor in self.factors]


def equal(first, second):
    return all(
        torch.equal(a, b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", [True, False])
def test_features_are_three_levels_of_halved_size(shape, norm):
    features = contrastive(len(shape), norm=norm).eval().features(image(shape))
    assert [tuple(f.shape) for f in features] == [
        (2, width, *(math.ceil(size / 2**level) for size in shape))
        for level, width in enumerate(CHANNELS, start=1)
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_both_views_have_a_unit_projection_per_place(shape, train):
    output = contrastive(len(shape)).train(train)(image(shape, batch=3))
    assert len(output) == 3
    for level, views in enumerate(output, start=1):
        most = math.prod(math.ceil(size / 2**level) for size in shape)
        for view in views:
            assert view.shape == (3 * min(20, most), 16)
            torch.testing.assert_close(view.norm(dim=1), torch.ones(len(view)))
    assert not torch.allclose(*output[0], atol=0.01)


def info_nce(first, second, temperature):
    """Mean over places of -log of the share that the own place has, both ways."""
    total, count = 0.0, len(first)
    for one, other in ((first, second), (second, first)):
        for i in range(count):
            weights = [np.exp(one[i] @ other[j] / temperature) for j in range(count)]
            total -= np.log(weights[i] / sum(weights))
    return total / count / 2


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_is_info_nce_in_both_directions_averaged_over_levels(temperature):
    random = np.random.default_rng(0)
    output, expected = [], []
    for count in (9, 5, 2):
        views = random.normal(size=(2, count, 16))
        views /= np.linalg.norm(views, axis=2, keepdims=True)
        expected.append(info_nce(*views, temperature))
        output.append(tuple(torch.from_numpy(views)))
    network = contrastive(2, temperature=temperature)
    found = network.loss(output, image(SHAPES[0]), None)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-10)


def test_score_is_the_share_of_places_that_find_themselves():
    network = contrastive(2)
    apart = torch.eye(4)
    assert network.score([(apart, apart)] * 3, image(SHAPES[0]), None) == {"matched": 1}
    swapped = apart[[1, 0, 2, 3]]
    found = network.score([(apart, swapped), (apart, apart)], image(SHAPES[0]), None)
    assert found == {"matched": pytest.approx((0.5 + 1) / 2)}


@pytest.mark.parametrize("shape", SHAPES)
def test_random_numbers_decide_in_training_and_not_in_evaluation(shape):
    network, x = contrastive(len(shape)), image(shape)

    def after(seed, train):
        network.train(train)
        torch.manual_seed(seed)
        return network(x)

    assert equal(after(0, train=False), after(1, train=False))
    assert equal(after(0, train=True), after(0, train=True))
    assert not equal(after(0, train=True), after(1, train=True))
    torch.manual_seed(0)
    assert not equal(network.train()(x), network.train()(x))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
def test_views_that_change_nothing_are_equal(shape, train):
    network = contrastive(len(shape), views=UNCHANGED).train(train)
    for first, second in network(image(shape)):
        assert torch.equal(first, second)


def test_views_meet_at_the_same_places_when_one_is_mirrored():
    network = Blocks(3, places=40, views={"affine": {"flip": True}}).eval()
    noise = image((16, 24), batch=6, channels=3) - 0.5
    moves = network.affine.displacement((16, 24), range(0, 36, 6), torch.device("cpu"))
    mirrored = [bool(u.abs().max() > 1) for u in moves]
    assert any(mirrored)
    for first, second in network(noise):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-4)
        assert first.std() > 0.3


def test_each_view_has_intensities_of_its_own():
    network = Blocks(3, places=40, views={"intensity": {"noise": 0.2, "bias": 0.5}}).eval()
    flat = torch.ones(2, 3, 16, 24)
    (first, second), *_ = network(flat)
    assert first.std(dim=0).max() > 0.01
    assert not torch.allclose(first, second, atol=0.01)


def places_of(output, batch):
    """Distinct features by level and image, of images whose places all differ."""
    for first, _ in output:
        for rows in first.chunk(batch):
            yield len(rows), len(rows.unique(dim=0))


def test_no_place_is_drawn_twice():
    network = Blocks(3, places=12, views=UNCHANGED).eval()
    found = list(places_of(network(image((16, 32), channels=3)), 2))
    assert found == [(12, 12)] * 4 + [(8, 8)] * 2  # the coarsest level has 2 x 4 places


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("places", [3, 4, 6])
def test_places_are_drawn_on_the_foreground_first(places, train):
    network = Blocks(3, places=places, views=UNCHANGED).train(train)
    spot = torch.zeros(2, 3, 32, 32)
    spot[:, :, 8:24, 16:32] = 0.2 + image((16, 16), channels=3)
    for first, factor in zip((pair[0] for pair in network(spot)), (2, 4, 8), strict=True):
        inside = first.norm(dim=1).view(2, places) > 0.5  # the background has no features
        available = (16 // factor) ** 2
        assert inside.sum(dim=1).tolist() == [min(places, available)] * 2


def test_places_are_drawn_where_neither_view_is_cut_off():
    network = Blocks(3, places=6, views={**UNCHANGED, "crop": 0.45}).train()
    bright = 0.5 + image((32, 40), channels=3)
    bright[:, :, 0, 0] = 0
    torch.manual_seed(0)
    for _ in range(5):
        for views in network(bright)[:2]:  # the coarsest level shares fewer places
            for view in views:
                assert view.norm(dim=1).min() > 0.5  # what is cut off has features of length 0


def test_crops_and_intensities_are_drawn_independently():
    network = Blocks(1, views={"intensity": {"gain": 0.5}, "crop": 0.45}).train()
    shown = []
    network.features = lambda view: shown.append(view) or Blocks.features(network, view)
    flat = torch.ones(200, 1, 16, 16)
    flat[:, :, 0, 0] = 0
    torch.manual_seed(0)
    network(flat)
    assert len(shown) == 2
    for view in shown:
        kept = (view > 0.1).any(dim=3).sum(dim=(1, 2))
        brightness = view.amax(dim=(1, 2, 3))
        assert kept.float().std() > 0.5
        assert brightness.std() > 0.1
        assert abs(np.corrcoef(kept, brightness)[0, 1]) < 0.25


@pytest.mark.parametrize("shape", SHAPES)
def test_image_without_foreground_still_has_places_and_a_gradient(shape):
    network = contrastive(len(shape)).train()
    output = network(torch.zeros(2, 1, *shape))
    loss = network.loss(output, torch.zeros(2, 1, *shape), None)
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("norm", [True, False])
def test_batch_in_bfloat16_has_a_finite_gradient_everywhere(shape, norm):
    network = contrastive(len(shape), norm=norm, dropout=True).train()
    x = image(shape)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(x)
    assert all(view.dtype == torch.float32 for pair in output for view in pair)
    loss = network.loss(output, x, None)
    assert 0 < loss.item() < 20
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())
    assert max(p.grad.abs().max() for p in network.parameters()) > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"places": 1}, r"metric.extractor.places=1: must be a whole number of at least 2\."),
        ({"places": 2.5}, r"metric.extractor.places=2.5: must be a whole number of at least 2\."),
        ({"places": "many"}, r"metric.extractor.places=many: must be a whole number of at least"),
        ({"projection": 0}, r"metric.extractor.projection=0: must be a whole number of at least 1"),
        ({"temperature": 0}, r"metric.extractor.temperature=0: must be above 0\."),
        ({"temperature": -0.1}, r"metric.extractor.temperature=-0.1: must be above 0\."),
        ({"temperature": math.nan}, r"metric.extractor.temperature=nan: must be above 0\."),
        ({"channels": [4, 0]}, r"must be a list of whole numbers above 0, one per stage"),
        ({"views": {"affine": {"scale": [2, 1]}}}, r"scale=\[2,1\]: must be the smallest and"),
        ({"views": {"intensity": {"gain": 1}}}, r"gain=1: must be 0 or more and below 1\."),
        (
            {"views": {"affine": {"tilt": 3}}},
            r"Unknown metric.extractor.views.affine.tilt. Known: r",
        ),
        (
            {"views": {"affine": {"rotation": "far"}}},
            r"views.affine.rotation=far: must be a finite",
        ),
        ({"views": {"intensity": {"noise": -1}}}, r"metric.extractor.views.intensity.noise=-1: mu"),
        ({"views": {"afine": {}}}, r"Unknown metric.extractor.views.afine. Known: affine, intensi"),
    ],
)
def test_impossible_settings_are_refused(settings, words, tiny_datasets):
    section = {"_target_": "bench.extractors.contrastive.Contrastive", **settings}
    with pytest.raises(ConfigError, match=words) as raised:
        build_extractor(section, tiny_datasets[2])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("ndim", [2, 3])
def test_short_training_lowers_the_loss_on_other_images(ndim, tiny_datasets, tmp_path):
    overrides = ["metric=deepsim_csr", "metric.extractor.steps=60", f"results_dir={tmp_path}"]
    overrides += ["metric.extractor.places=64", "trainer.lr=3e-3", "trainer.batch_size=3"]
    experiment = tiny_experiment(ndim, *overrides, "trainer.validate_every=15")
    dataset, section = tiny_datasets[ndim], experiment["metric"]["extractor"]
    torch.manual_seed(0)
    network = build_extractor(section, dataset)
    augmentation = Augmentation.from_config(experiment["dataset"]["augmentation"])
    obtain_extractor(Learner(network, setup_of(experiment, dataset), section, augmentation))
    (folder,) = list_folders(tmp_path, EXTRACTORS)
    assert folder.path.name.startswith(f"{dataset.name}-contrastive-seed0-")
    summary = folder.summary()
    with open(folder.file(HISTORY), newline="") as file:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] - 0.2
    places = [
        min(64, math.prod(math.ceil(size / 2**level) for size in dataset.shape))
        for level in (1, 2, 3)
    ]
    chance = {"loss": np.mean(np.log(places)), "matched": np.mean(1 / np.array(places))}
    assert summary["validation_loss"] < chance["loss"] - 0.3
    assert summary["scores"]["matched"]["mean"] > 2 * chance["matched"]
