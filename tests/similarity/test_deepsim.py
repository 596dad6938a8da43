"""DeepSim: mean cosine of feature maps, the options, and the features that are kept."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conf_options import SMALL, experiment, setup_of
from scipy.ndimage import map_coordinates
from similarity_pairs import (
    SHAPES,
    Allocations,
    Counted,
    displacement,
    images,
    kept_for_backward,
    unmoved,
    value_and_gradient,
)
from torch import nn

from bench.config.overrides import quoted
from bench.data import prepare
from bench.data.batches.loading import read_pairs
from bench.data.setup import make_source
from bench.errors import ConfigError
from bench.extractors.autoencoder import Autoencoder
from bench.extractors.frozen import Extractor
from bench.similarity import DeepSim, Pair
from bench.similarity import deepsim as module
from bench.similarity.deepsim import mean_cosine, plain_mean_cosine
from bench.spatial.displacement import warp
from bench.tasks.registration.assembly import build_parts

OPTIONS = [
    {},
    {"levels": (2,)},
    {"center": "features"},
    {"center": "places", "levels": (1, 3)},
    {"warp": "features"},
    {"mask": "foreground"},
    {"mask": "labels", "center": "places"},
    {"warp": "features", "mask": "labels", "center": "features", "levels": (3, 1)},
]


class Filters(nn.Module):
    """Random filters at the image's size, a half and a quarter, rounded down."""

    levels = 3
    factors = (1, 2, 4)

    def __init__(self, ndim):
        super().__init__()
        self.pool = {2: F.avg_pool2d, 3: F.avg_pool3d}[ndim]
        torch.manual_seed(0)
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[ndim]
        self.filters = nn.ModuleList(
            convolution(a, b, 3, padding=1, bias=False) for a, b in itertools.pairwise((1, 5, 6, 7))
        )

    def supports(self, ndim, channels):
        return "reads grey images" if channels != 1 else None

    def features(self, image):
        pyramid = []
        image = 3 * (image - 0.5)
        for number, filters in enumerate(self.filters):
            image = filters(self.pool(image, 2) if number else image).tanh()
            pyramid.append(image)
        return pyramid


class Watched(Extractor):
    """An extractor that remembers what it was shown."""

    def __init__(self, ndim=2):
        super().__init__(Filters(ndim))
        self.seen = []

    def __call__(self, image):
        self.seen.append(image.detach().clone())
        return super().__call__(image)

    def batches_of(self, images):
        """Sizes of the batches that showed nothing but the first of these images."""
        return [len(seen) for seen in self.seen if torch.equal(seen, images[: len(seen)])]


def padded_pair(shape, u=None):
    """A pair with labels whose fixed image is zero in half of the voxels."""
    moving, fixed = images(shape)
    u = displacement(shape) if u is None else u
    return Pair(moving, (fixed - 0.5).clamp(min=0), u, Counted(shape), 4)


def block_means(maps, factor, shape):
    """Means over blocks of a NumPy array (B, C, *S), the far border repeated."""
    widths = [(0, -size % factor) for size in maps.shape[2:]]
    padded = np.pad(maps, [(0, 0), (0, 0), *widths], mode="edge")
    blocks = []
    for size in padded.shape[2:]:
        blocks += [size // factor, factor]
    means = padded.reshape(*maps.shape[:2], *blocks)
    means = means.mean(tuple(range(3, means.ndim, 2)))
    return means[(..., *(slice(size) for size in shape))]


def sampled(maps, u):
    """Maps at p + u(p), by SciPy."""
    grid = np.indices(maps.shape[2:])
    return np.stack(
        [
            [map_coordinates(one, grid + by, order=1, mode="nearest") for one in own]
            for own, by in zip(maps, u, strict=True)
        ]
    )


def plain_deepsim(pair, extractor, levels=(1, 2, 3), center=None, warp="images", mask=None):
    """The metric level by level, in NumPy and float64."""

    def features(image):
        with torch.no_grad():
            return [maps.double().numpy() for maps in extractor(image)]

    inside = np.ones((len(pair.fixed), 1, *pair.fixed.shape[2:]))
    if mask == "foreground":
        inside = 1.0 * (pair.fixed > 0).numpy()
    if mask == "labels":
        inside = 1.0 * (pair.segmentations[1] > 0).numpy()
    ours = features(pair.warped if warp == "images" else pair.moving)
    theirs = features(pair.fixed)
    cosines = []
    for level in levels:
        a, b, factor = ours[level - 1], theirs[level - 1], extractor.factors[level - 1]
        if warp == "features":
            u = block_means(pair.u.double().numpy(), factor, a.shape[2:])
            a = sampled(a, u / factor)
        if center == "features":
            a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
        if center == "places":
            a, b = (x - x.mean(tuple(range(2, x.ndim)), keepdims=True) for x in (a, b))
        norms = [np.square(x).sum(1).clip(1e-6) for x in (a, b)]
        cosine = (a * b).sum(1) / np.sqrt(norms[0] * norms[1])
        shares = block_means(inside, factor, a.shape[2:])[:, 0]
        of_pairs = [np.average(c, weights=s) for c, s in zip(cosine, shares, strict=True)]
        cosines.append(np.mean(of_pairs))
    return 1 - np.mean(cosines)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_mean_cosine_agrees_with_numpy(shape):
    a, b = (image - 0.5 for image in images(shape, channels=5))
    a[0, :, 3] = 0  # without features: cosine 0
    dot = (a * b).sum(1).numpy()
    squares = [(x.numpy().astype(float) ** 2).sum(1).clip(1e-6) for x in (a, b)]
    expected = np.mean(dot / np.sqrt(squares[0] * squares[1]))
    assert mean_cosine(a, b).item() == pytest.approx(expected, rel=1e-4)


def maps(shape, batch=2, shared=False, dtype=torch.float64):
    """Two maps of five features with places that have none or hardly any, and weights."""
    a, b = (image - 0.5 for image in images(shape, batch, channels=5, dtype=dtype))
    a[0, :, 1] = 0
    b[-1, :, 2] *= 1e-5
    weights, _ = images(shape, batch, seed=2, dtype=dtype)
    return a, b[:1].clone() if shared else b, weights


@pytest.mark.parametrize("shape", [(3, 4), (3, 2, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_of_mean_cosine(shape, weighted):
    a, b, weights = maps(shape)
    weights = weights if weighted else None
    both = (a.requires_grad_(), b.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: mean_cosine(a, b, weights), both, fast_mode=True)


@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_of_mean_cosine_with_one_map_for_all_of_the_batch(weighted):
    a, b, weights = maps((3, 4), batch=3, shared=True)
    weights = weights if weighted else None
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda a: mean_cosine(a, b, weights), a)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("chunk", [1, 1000, 1 << 20])
def test_mean_cosine_agrees_with_autograd(shape, shared, weighted, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    a, b, weights = maps(shape, shared=shared)
    weights = weights if weighted else None
    for own in ((a, b), (b, a))[: 1 if shared else 2]:
        ours = value_and_gradient(lambda a, b: mean_cosine(a, b, weights), *own)
        plain = value_and_gradient(lambda a, b: plain_mean_cosine(a, b, weights), *own)
        torch.testing.assert_close(ours, plain, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("chunk", [100, 1 << 20])
def test_bfloat16_maps_agree_with_float32_up_to_rounding(weighted, chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    a, b, weights = (x.bfloat16() for x in maps((10, 13, 15), dtype=torch.float32))
    weights = weights.float() if weighted else None
    rough = value_and_gradient(lambda a, b: mean_cosine(a, b, weights), a, b)
    exact = value_and_gradient(lambda a, b: mean_cosine(a, b, weights), a.float(), b.float())
    assert rough[0].dtype == torch.float32
    assert rough[1].dtype == torch.bfloat16
    torch.testing.assert_close(rough[0], exact[0], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(rough[1].float(), exact[1], rtol=2**-8, atol=1e-9)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
def test_channels_last_changes_nothing(shape, which):
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[len(shape)]
    a, b, weights = maps(shape)
    expected = value_and_gradient(lambda a, b: mean_cosine(a, b, weights), a, b)
    a, b = (
        x.contiguous(memory_format=layout) if last else x
        for x, last in zip((a, b), which, strict=True)
    )
    found = value_and_gradient(lambda a, b: mean_cosine(a, b, weights), a, b)
    torch.testing.assert_close(found, expected)


def test_mean_cosine_keeps_three_numbers_per_place_besides_the_maps():
    a, b, _ = maps((17, 22))
    kept = kept_for_backward(lambda a: mean_cosine(a, b), a)
    assert kept == a.numel() + b.numel() + 3 * a[:, 0].numel()


def test_no_map_is_copied_in_another_precision_as_a_whole(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 1 << 10)
    a, b = (x.bfloat16() for x in images((64, 65), channels=32))
    a.requires_grad_()
    with Allocations(a, b) as allocations:
        mean_cosine(a, b).backward()
    assert allocations.largest == a.nbytes
    assert allocations.peak < 1.5 * a.nbytes


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_agree_with_a_plain_formula(ndim, options):
    extractor = Extractor(Filters(ndim))
    pair = padded_pair(SHAPES[ndim])
    expected = plain_deepsim(pair, extractor, **options)
    assert DeepSim(extractor, **options)(pair).item() == pytest.approx(expected, abs=3e-6)
    assert expected > 1e-3


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_levels_that_are_rounded_up_agree_as_well(options):
    torch.manual_seed(0)
    extractor = Extractor(Autoencoder(2, 1, 0, [4, 6, 8], norm=False, dropout=False))
    pair = padded_pair((17, 22))
    expected = plain_deepsim(pair, extractor, **options)
    assert DeepSim(extractor, **options)(pair).item() == pytest.approx(expected, abs=3e-6)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_step_against_the_gradient_lowers_every_option(ndim, options):
    metric = DeepSim(Extractor(Filters(ndim)), **options)
    u = displacement(SHAPES[ndim])
    value, gradient = value_and_gradient(lambda u: metric(padded_pair(SHAPES[ndim], u)), u)
    step = 1e-3 * gradient / gradient.abs().max()
    change = metric(padded_pair(SHAPES[ndim], u - step)) - value
    assert change.item() == pytest.approx(-(gradient * step).sum().item(), rel=0.3)


@pytest.mark.parametrize("levels", [(1,), (3,), (1, 3), (1, 2, 3)])
def test_deepsim_averages_one_minus_cosine_over_the_levels_chosen(levels):
    torch.manual_seed(0)
    extractor = Extractor(Autoencoder(2, 1, 0, [4, 6, 8], norm=False, dropout=False))
    pair = Pair(*images((17, 22)), displacement((17, 22)))
    features = zip(extractor(pair.warped), extractor(pair.fixed), strict=True)
    cosines = []
    for a, b in features:
        a, b = a.double().numpy(), b.double().numpy()
        norms = np.sqrt((a**2).sum(1).clip(1e-6) * (b**2).sum(1).clip(1e-6))
        cosines.append(((a * b).sum(1) / norms).mean())
    expected = 1 - np.mean([cosines[level - 1] for level in levels])
    assert DeepSim(extractor, levels)(pair).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("levels", [(), (0,), (1, 4)])
def test_deepsim_refuses_levels_that_the_extractor_lacks(levels):
    extractor = Extractor(Autoencoder(2, 1, 0, [4, 6, 8]))
    with pytest.raises(ConfigError, match=r"the extractor has levels \[1, 2, 3\]; name one or"):
        DeepSim(extractor, levels)


@pytest.mark.parametrize("center", ["feature", "", True])
def test_unknown_centers_are_refused(center):
    words = f"metric.center={quoted(center)}: must be null, features or places."
    with pytest.raises(ConfigError, match=words):
        DeepSim(Extractor(Filters(2)), center=center)


@pytest.mark.parametrize("warp", ["image", "", None])
def test_unknown_ways_to_warp_are_refused(warp):
    with pytest.raises(ConfigError, match=f"metric.warp={quoted(warp)}: must be images"):
        DeepSim(Extractor(Filters(2)), warp=warp)


def test_unknown_masks_are_refused():
    with pytest.raises(ConfigError, match=r"metric\.mask=background: must be null, foreground or"):
        DeepSim(Extractor(Filters(2)), mask="background")


def test_the_extractor_and_the_mask_may_have_a_reason_against_the_images():
    metric = DeepSim(Extractor(Filters(2)), mask="labels")
    assert metric.supports(2, 1, labels=True) is None
    assert metric.supports(2, 1, labels=False) == "needs labels, but the data set has none"
    assert metric.supports(2, 3, labels=True) == "reads grey images"
    assert DeepSim(Extractor(Filters(2))).supports(2, 1, labels=False) is None


def test_deepsim_leaves_its_extractor_alone():
    torch.manual_seed(0)
    network = Autoencoder(2, 1, 0, [4, 6, 8], norm=True, dropout=True)
    metric = DeepSim(Extractor(network))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    u = displacement((17, 22)).requires_grad_()
    metric(Pair(*images((17, 22)), u)).backward()
    assert all(parameter.grad is None for parameter in network.parameters())
    after = network.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_warped_features_are_not_those_of_the_warped_image():
    pair = padded_pair((17, 22))
    extractor = Extractor(Filters(2))
    values = [DeepSim(extractor, warp=warp)(pair).item() for warp in ("images", "features")]
    assert abs(values[0] - values[1]) > 1e-2


@pytest.mark.parametrize(("shape", "by"), [((40, 45), (4, -8)), ((25, 28, 30), (-4, 4, 0))])
def test_features_warped_by_whole_places_are_those_of_the_shifted_image_inside(shape, by):
    image, _ = images(shape, batch=1)
    u = torch.tensor(by).float().view(1, -1, *[1] * len(shape)).expand(1, -1, *shape)
    labels = Counted(shape, batch=1)
    labels.maps[1] = 0
    labels.maps[1][(..., *[slice(16, -16) if len(shape) == 2 else slice(12, -12)] * len(shape))] = 1
    metric = DeepSim(Extractor(Filters(len(shape))), warp="features", mask="labels")
    fixed = warp(image, u)
    assert metric(Pair(image, fixed, u, labels, 4)).item() == pytest.approx(0, abs=1e-5)
    assert metric(Pair(image, fixed, 0 * u, labels, 4)).item() > 1e-2


@pytest.mark.parametrize("warp", ["images", "features"])
@pytest.mark.parametrize("center", [None, "features", "places"])
def test_an_extractor_in_bfloat16_agrees_up_to_rounding(warp, center):
    results = []
    for precision in (torch.float32, torch.bfloat16):
        metric = DeepSim(Extractor(Filters(2), precision), center=center, warp=warp)
        u = displacement((17, 22))
        results.append(value_and_gradient(lambda u, m=metric: m(padded_pair((17, 22), u)), u))
    (value, gradient), (rough_value, rough_gradient) = results
    assert rough_value.dtype == rough_gradient.dtype == torch.float32
    assert rough_value.item() == pytest.approx(value.item(), abs=5e-3)
    similarity = torch.cosine_similarity(gradient.flatten(), rough_gradient.flatten(), dim=0)
    assert similarity > 0.98


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fixed_features_are_computed_once_for_a_pair_under_all_displacements(options):
    metric, fresh = DeepSim(Watched(), **options), DeepSim(Extractor(Filters(2)), **options)
    pair = padded_pair((17, 22))
    for seed in range(3):
        u = displacement((17, 22), seed=seed)
        torch.testing.assert_close(metric(pair.at(u)), fresh(padded_pair((17, 22), u)))
    assert metric.extractor.batches_of(pair.fixed) == [2]


def test_fixed_features_of_another_pair_are_computed_anew():
    metric, fresh = DeepSim(Watched()), DeepSim(Extractor(Filters(2)))
    for seed in range(2):
        pair = Pair(*images((17, 22), seed=seed), displacement((17, 22)))
        torch.testing.assert_close(metric(pair), fresh(pair))
    assert len(metric.extractor.seen) == 4


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_each_pair_has_the_value_it_has_alone(options):
    metric = DeepSim(Extractor(Filters(2)), **options)
    pair = padded_pair((17, 22), displacement((17, 22)))
    values = metric.each(pair)
    for index in range(2):
        torch.testing.assert_close(values[index], metric(pair.one(index)))


def test_the_fixed_image_has_no_gradient():
    moving, fixed = images((17, 22))
    pair = unmoved(moving.requires_grad_(), fixed.requires_grad_())
    DeepSim(Extractor(Filters(2)))(pair).backward()
    assert moving.grad.abs().max() > 0
    assert fixed.grad is None


def test_features_kept_from_a_pass_without_gradient_serve_one_with():
    metric = DeepSim(Watched())
    pair = padded_pair((17, 22))
    with torch.no_grad():
        metric(pair)
    u = displacement((17, 22)).requires_grad_()
    metric(pair.at(u)).backward()
    assert metric.extractor.batches_of(pair.fixed) == [2]
    assert u.grad.abs().max() > 0


def test_features_of_a_real_volume_are_warped_with_a_gradient_that_leads_downhill(real_data):
    overrides = [
        "dataset=hippocampus",
        f"dataset.root={real_data / 'hippocampus'}",
        "dataset.cache=none",
    ]
    dataset, values = None, {}
    for way in ("images", "features"):
        own = experiment([*overrides, "metric=deepsim_ae", f"metric.warp={way}", *SMALL[1:]])
        dataset = dataset or prepare(make_source(own), None)
        metric = build_parts(setup_of(own, dataset)).objective.similarity
        batch = read_pairs(dataset, dataset.pairs("test")[:1], torch.device("cpu"))
        u = torch.full((1, 3, *dataset.shape), 0.7, requires_grad=True)
        values[way] = metric(Pair(batch.moving, batch.fixed, u))
    value = values["features"]
    assert abs(value.item() - values["images"].item()) > 1e-3
    (gradient,) = torch.autograd.grad(value, u)
    assert gradient.isfinite().all()
    along = 0.1 * gradient / gradient.abs().max()
    lower = metric(Pair(batch.moving, batch.fixed, u.detach() - along)).item()
    expected = (gradient * along).sum().item()
    assert value.item() - lower == pytest.approx(expected, rel=0.2)
