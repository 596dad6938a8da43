"""Series of images in known order: distortions, their strengths, and the scores of their order."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conf_options import setup_of, tiny_experiment
from scipy.ndimage import gaussian_filter
from torch import Tensor

from bench.errors import ConfigError, DataError, Unsupported
from bench.pair import Pair
from bench.runs.execution import make_task
from bench.scores.of_images import APPEARANCES, DISTORTIONS
from bench.similarity import MSE, NCC
from bench.store.layout import DISTANCES
from bench.tasks.perception import Perception
from bench.tasks.perception.distortions import ALL, displacement, smooth_velocity
from bench.tasks.perception.job import PerceptionJob
from bench.tasks.perception.scoring import scores_of
from bench.tasks.perception.series import REPEATS, STEPS, Reference, Series
from bench.tasks.perception.strengths import error, of_error, squared_error, strengths
from bench.tasks.task import TestCase

LEVELS = [34, 30, 26]
SHAPES = {2: (26, 33), 3: (12, 15, 14)}
CPU = torch.device("cpu")


def smooth_image(shape: tuple[int, ...], seed: int = 0, channels: int = 1) -> Tensor:
    """Blobs from 0 to 1."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    image = np.zeros((channels, *shape))
    for channel in image:
        for _ in range(8):
            center = [random.uniform(0, size) for size in shape]
            away = sum((axis - place) ** 2 for axis, place in zip(grid, center, strict=True))
            channel += random.uniform(0.4, 1) * np.exp(-away / 12)
    return torch.from_numpy(image / image.max()).float()


def reference(ndim: int = 2, seed: int = 0) -> Reference:
    image = 5 + 40 * smooth_image(SHAPES[ndim])  # of any intensities
    return Reference(image, "s1", LEVELS, [0.5, 1, 2], seed, CPU)


def distances(metric, series: Series) -> list[float]:
    return [float(metric(pair)) for pair in series.pairs]


def test_every_distortion_has_a_score() -> None:
    assert tuple(ALL) == DISTORTIONS
    assert set(APPEARANCES) <= set(ALL)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", DISTORTIONS)
class TestEveryDistortion:
    def test_draws_once_and_leaves_the_image_at_0(
        self, name: str, ndim: int, channels: int
    ) -> None:
        image = smooth_image(SHAPES[ndim], channels=channels)
        kept = image.clone()
        first, second, other = (
            ALL[name].draw(np.random.default_rng(seed), SHAPES[ndim]) for seed in (1, 1, 2)
        )
        strength = ALL[name].most / 8
        changed = first(image, strength)
        assert changed.shape == image.shape
        assert changed.dtype == torch.float32
        assert torch.equal(changed, second(image, strength))
        if name in (
            "noise",
            "bias",
            "deformation",
            "rician",
            "motion",
            "spikes",
            "undersampling",
            "lesions",
        ):
            assert not torch.equal(changed, other(image, strength))
        assert torch.allclose(first(image, 0.0), image, atol=1e-6)
        assert torch.equal(image, kept)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", DISTORTIONS)
def test_levels_have_their_errors_at_rising_strengths(name: str, ndim: int) -> None:
    made = reference(ndim)
    series = made.graded(name)
    assert series.order == list(range(1, len(series.pairs) + 1))
    assert len(series.pairs) > 1
    assert list(series.strengths) == sorted(set(series.strengths))
    near = 0.5 if name == "motion" else 0.1  # voxels that leave the image make steps of the error
    for level, pair in zip(LEVELS, series.pairs, strict=False):
        assert made.psnr(pair) == pytest.approx(level, abs=near)


def test_levels_that_are_not_reached_are_left_out() -> None:
    image = smooth_image((20, 20))
    errors = [squared_error(level) for level in (40, 30, 20)]
    assert len(strengths(lambda image, s: image + s, image, errors, most=0.04)) == 2
    assert strengths(lambda image, s: image, image, errors, most=1) == []


@pytest.mark.parametrize("level", [160, 300, 1000])
def test_levels_that_no_search_tells_from_0_are_left_out(level: float) -> None:
    draw = ALL["noise"].draw(np.random.default_rng(0), (32, 40))
    found = strengths(draw, smooth_image((32, 40)), [squared_error(level), squared_error(20)], 0.5)
    assert found == []


def test_downsampling_keeps_what_is_linear_and_blurs_the_rest() -> None:
    ramp = torch.arange(21.0).expand(1, 21, 21)
    distort = ALL["downsampling"].draw(np.random.default_rng(0), (21, 21))
    inner = (slice(None), slice(4, -4), slice(4, -4))
    assert torch.allclose(distort(ramp, 1.0)[inner], ramp[inner], atol=1e-4)
    stripes = (torch.arange(21) % 2).float().expand(1, 21, 21)
    kept = distort(stripes, 1.0)[inner]
    assert torch.allclose(kept, kept.mean(), atol=1e-5)  # every other voxel is lost


def test_change_of_exact_error() -> None:
    x = smooth_image((20, 20))
    drawn = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    image, change = x + 0.01, x + 0.03 * drawn
    changed = of_error(image, change, x, 0.02)
    assert error(changed, x) == pytest.approx(0.02, rel=1e-5)
    difference, direction = (changed - image).flatten(), (change - image).flatten()
    assert torch.allclose(
        difference, direction * (difference @ direction) / direction.square().sum(), atol=1e-6
    )


@pytest.mark.parametrize("name", APPEARANCES)
def test_deformations_under_changed_appearance_are_all_of_one_mse(name: str) -> None:
    series = reference().geometry(name)
    assert list(series.order) == [1, 2, 3]
    assert list(series.strengths) == [0.5, 1, 2]
    found = distances(MSE(), series)
    assert found == pytest.approx([found[0]] * 3, rel=1e-5)
    rows = [
        {"test": "geometry", "distortion": name, "order": o, "distance": d}
        for o, d in zip(series.order, found, strict=True)
    ]
    scores = scores_of(rows)
    assert scores["geometry"] == scores["appearance"] == scores[f"geometry_{name}"] == 0.5


def test_metric_that_knows_the_gain_follows_the_deformation() -> None:
    found = distances(NCC("whole"), reference().geometry("bias"))
    assert found == sorted(found)


def test_path_ends_where_the_images_agree() -> None:
    series = reference().path()
    assert len(series.pairs) == STEPS + 1
    found = distances(NCC("whole"), series)
    assert np.argmin(found) >= STEPS - 2
    first, last = series.pairs[0], series.pairs[-1]
    assert torch.equal(first.warped, first.moving)
    assert last.u.square().sum(1).mean().sqrt().item() == pytest.approx(2, rel=0.4)


def test_velocity_is_of_unit_size_and_does_not_fold() -> None:
    from bench.spatial.jacobian import jacobian_determinant

    velocity = smooth_velocity(np.random.default_rng(0), (40, 48))
    assert velocity.square().sum(0).mean().sqrt().item() == pytest.approx(1)
    assert jacobian_determinant(displacement(velocity, 3.0)).min() > 0


def test_scans_of_one_anatomy_are_the_same_and_others_are_not() -> None:
    others = [5 + 40 * smooth_image(SHAPES[2], seed) for seed in (1, 2)]
    series = reference().jnd(others)
    assert list(series.order) == [0.0] * REPEATS + [1.0, 1.0]
    same = [pair.moving for pair in series.pairs[:REPEATS]]
    assert not torch.allclose(same[0], same[1])  # another gain, other noise
    found = distances(NCC("whole"), series)
    assert max(found[:REPEATS]) < min(found[REPEATS:])


def test_series_follow_from_the_seed_and_the_subject() -> None:
    def image(**options) -> Tensor:
        return reference(**options).graded("noise").pairs[0].moving

    assert torch.equal(image(), image())
    assert not torch.equal(image(), image(seed=1))


def test_strengths_are_searched_once_for_all_metrics_of_a_sweep(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = reference(seed=77).graded("blur"), reference(seed=77).geometry("gamma")

    def searched(*_: object) -> list[float]:
        raise AssertionError("searched again")

    monkeypatch.setattr("bench.tasks.perception.series.strengths", searched)
    again = reference(seed=77).graded("blur"), reference(seed=77).geometry("gamma")
    for one, other in zip(first, again, strict=True):
        assert one.strengths == other.strengths
        assert all(
            torch.equal(a.moving, b.moving) for a, b in zip(one.pairs, other.pairs, strict=True)
        )
    for other in (reference(seed=78), Reference(reference().image, "s2", LEVELS, [1, 2], 77, CPU)):
        with pytest.raises(AssertionError, match="searched again"):
            other.graded("blur")


def test_constant_image_is_refused() -> None:
    with pytest.raises(DataError, match="s1: its image is constant"):
        Reference(torch.ones(1, 9, 9), "s1", LEVELS, [1, 2], 0, CPU)


def test_order_by_nature_has_scores_of_its_own() -> None:
    def rows(test: str, order: list[float], found: list[float]):
        return [
            {"test": test, "distortion": "", "order": o, "distance": d}
            for o, d in zip(order, found, strict=True)
        ]

    scores = scores_of(
        [
            *rows("sections", [1, 2, 5], [1, 3, 2]),
            *rows("persons", [0, 0, 1, 1], [1, 4, 2, 3]),
            *rows("contrasts", [0, 1], [2, 1]),
        ]
    )
    assert scores == {"sections": pytest.approx(2 / 3), "persons": 0.5, "contrasts": 0}


def tissue(seed: int) -> Tensor:
    """(1, 60, 64) of uneven tissue all over."""
    noise = np.random.default_rng(seed).standard_normal((60, 64))
    values = gaussian_filter(noise, 4, mode="wrap")
    return torch.from_numpy(0.5 + 0.15 * values / values.std()).float()[None].clamp(0, 1)


def test_lesions_come_one_after_the_other_and_stay() -> None:
    image = tissue(0)
    distort = ALL["lesions"].draw(np.random.default_rng(0), (60, 64))
    one, half, two = (distort(image, strength) for strength in (1.0, 1.5, 2.0))
    assert torch.allclose(half, (one + two) / 2)
    changed = ((one - image).abs() > 1e-3).float().mean()
    assert 0 < changed < 0.2
    kept = (two - image).abs() > 1e-3
    assert kept.float().mean() > changed
    other = tissue(1)  # another image gets lesions of its own
    assert torch.equal(distort(other, 0.0), other)
    assert not torch.equal(distort(other, 1.0), other)


def test_undersampling_keeps_the_mean_and_loses_detail() -> None:
    image = 0.5 + 0.5 * smooth_image((40, 44))  # bright enough to have no negative magnitudes
    distort = ALL["undersampling"].draw(np.random.default_rng(0), (40, 44))
    lost = distort(image, 1.0)
    assert lost.mean().item() == pytest.approx(image.mean().item(), rel=0.02)
    assert (
        error(distort(image, 0.2), image) < error(distort(image, 0.6), image) < error(lost, image)
    )


def test_rician_noise_has_its_mean_in_the_dark() -> None:
    dark = torch.zeros(1, 200, 200)
    noisy = ALL["rician"].draw(np.random.default_rng(0), (200, 200))(dark, 0.1)
    assert noisy.mean().item() == pytest.approx(0.1 * np.sqrt(np.pi / 2), rel=0.02)  # Rayleigh's
    bright = ALL["rician"].draw(np.random.default_rng(0), (200, 200))(dark + 1, 0.01)
    assert bright.std().item() == pytest.approx(0.01, rel=0.03)


def test_scores_of_an_image_by_hand() -> None:
    def rows(test: str, name: str, found: list[float], order: list[float] | None = None):
        places = order or range(1, len(found) + 1)
        return [
            {"test": test, "distortion": name, "order": o, "distance": d}
            for o, d in zip(places, found, strict=True)
        ]

    scores = scores_of(
        [
            *rows("graded", "noise", [1, 2, 3]),
            *rows("graded", "blur", [1, 3, 2]),
            *rows("graded", "motion", [1]),  # one level of it was reached
            *rows("geometry", "bias", [2, 1]),
            *rows("geometry", "gamma", [1, 2]),
            *rows("jnd", "", [1, 3, 2], [0, 0, 1]),
            *rows("path", "", [4, 3, 1], [0, 0.5, 1]),
        ]
    )
    assert scores["2afc_noise"] == 1
    assert scores["2afc_blur"] == pytest.approx(2 / 3)
    assert np.isnan(scores["2afc_motion"])
    assert scores["2afc"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["2afc_adjacent"] == pytest.approx((1 + 1 / 2) / 2)
    assert scores["rank"] == pytest.approx((1 + 1 / 2) / 2)
    assert (scores["geometry_bias"], scores["geometry_gamma"], scores["geometry"]) == (0, 1, 0.5)
    assert scores["appearance"] == 0.5
    assert scores["jnd"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert (scores["falling"], scores["minimum"], scores["basin"]) == (1, 1, 0.5)


def test_deformations_are_small_beside_the_image(tiny_datasets) -> None:
    setup = setup_of(
        tiny_experiment(2, "task=perception", "metric=mse", "task.deformations=[1,5]"),
        tiny_datasets[2],
    )
    with pytest.raises(Unsupported, match=r"=\[1,5\]: the shortest axis .* 17 voxels, .* 4.25 "):
        make_task(setup).assemble(setup)


OPTIONS = {
    "images": 5,
    "levels": [40, 30],
    "distortions": ["noise"],
    "deformations": [1, 2],
}


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("images", 0, "task.images=0: must be a whole number of at least 1, or null for all."),
        ("images", True, "task.images=true: must be a whole number"),
        ("levels", [30, 40], "task.levels=[30,40]: must be at least two PSNR in dB that fall"),
        ("levels", [30, 30], "task.levels=[30,30]: must be at least two PSNR"),
        ("levels", 40, "task.levels=40: must be at least two PSNR"),
        ("levels", [40, float("nan")], "task.levels=[40,nan]: must be at least two PSNR"),
        ("deformations", [2, 1], "task.deformations=[2,1]: must be at least two sizes in voxels"),
        ("deformations", [0, 1], "task.deformations=[0,1]: must be at least two sizes in voxels"),
        ("levels", [160, 150], "task.levels=[160,150]: must be at most 80 dB and at least 0.1 dB"),
        ("levels", [40, 39.99], "task.levels=[40,39.99]: must be at most 80 dB and at least 0.1 d"),
        (
            "deformations",
            [1, 1 + 1e-9],
            "task.deformations=[1,1.000000001]: must be at least 0.01 voxels apart",
        ),
        ("deformations", [1e-9, 2e-9], "task.deformations=[1e-09,2e-09]: must be at least 0.01 vo"),
        (
            "distortions",
            ["noise", "nois"],
            "task.distortions=[noise,nois]: nois is none; must be a list of some of noise, rician",
        ),
        (
            "distortions",
            ["noise", 3],
            "task.distortions=[noise,3]: 3 is none; must be a list of some of noise, rician",
        ),
        ("apart", [2, 1], "task.apart=[2,1]: must be at least two numbers of sections that rise"),
        ("apart", [1.5, 2], "task.apart=[1.5,2]: must be at least two numbers of sections"),
        ("apart", 5, "task.apart=5: must be at least two numbers of sections that rise"),
        ("persons", 3, "task.persons=3: must be the name of a CSV table, or null."),
        ("judgements", [], "task.judgements=[]: must be the name of a CSV table, or null."),
        ("distortions", [], "task.distortions=[]: must be a list of some of noise"),
        ("distortions", ["blur", "blur"], "task.distortions=[blur,blur]: blur is there twice."),
        ("distortions", "blur", "task.distortions=blur: must be a list"),
    ],
)
def test_options_out_of_range_are_refused(option: str, value: object, words: str) -> None:
    Perception(**OPTIONS)
    with pytest.raises(ConfigError) as refused:
        Perception(**(OPTIONS | {option: value}))
    assert str(refused.value).startswith(words)


def test_pair_has_the_intensities_of_the_data_set() -> None:
    pair: Pair = reference().graded("blur").pairs[0]
    assert pair.fixed.min().item() == pytest.approx(5, abs=1e-3)
    assert pair.fixed.max().item() == pytest.approx(45, abs=1e-3)
    assert abs(pair.moving.mean() - pair.fixed.mean()) < 1


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ([3, 3], None),
        ([3, 2], "reaches 24 dB in 1 of 2 images and has fewer levels in 1"),
        (
            [3, 1],
            "reaches 24 dB in 1 of 2 images and has fewer levels in 1. No 2AFC of motion in 1 "
            "image with fewer than two levels",
        ),
        (
            [0, 1, 2],
            "reaches 24 dB in 0 of 3 images and has fewer levels in 3. No 2AFC of motion in 2 "
            "images with fewer than two levels",
        ),
    ],
)
def test_images_with_fewer_levels_are_counted(levels: list[int], words: str | None) -> None:
    shown = SimpleNamespace(levels=[40, 32, 24], distortions=["motion"])
    job = SimpleNamespace(shown=shown, members=list(range(len(levels))), name="ncc on demo")
    graded = {"test": "graded", "distortion": "motion"}
    cases = [
        TestCase({DISTANCES: [{**graded, "subject": str(number)}] * count}, {})
        for number, count in enumerate(levels)
    ]
    lines = list(PerceptionJob._unreached(job, cases))  # type: ignore[arg-type]
    assert lines == ([] if words is None else [f"ncc on demo: motion {words}"])
