"""Maps of changes, and what they are judged by."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from conf_options import experiment, setup_of, tiny_experiment
from similarity_pairs import SHAPES, displacement, images

from bench.data import prepare
from bench.data.batches.loading import read_pairs
from bench.data.setup import Setup, make_source
from bench.errors import ConfigError, Unsupported
from bench.models.method import Objective
from bench.pair import Pair
from bench.scores.case import Case
from bench.similarity import MIND, MSE, NCC, NMI
from bench.similarity.building import build_metric
from bench.spatial.displacement import warp
from bench.tasks.changes import Changes
from bench.tasks.changes.maps import (
    baseline_maps,
    both_directions,
    li_wyatt,
    metric_map,
    squared_log_jacobian,
)
from bench.tasks.changes.regions import region_rows
from bench.tasks.changes.truth import Truth, changed_components
from bench.tasks.changes.usual import Usual, healthy
from bench.tasks.registration import Registration

CPU = torch.device("cpu")


def moved_pair(ndim, channels=1):
    shape = SHAPES[ndim]
    return Pair(*images(shape, channels=channels), displacement(shape))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("metric", [MSE(), NCC(window=5), MIND(radius=1, dilation=1)])
def test_map_of_a_metric_has_its_value_as_mean(metric, ndim):
    pair = moved_pair(ndim, channels=2)
    found = metric_map(metric, pair)
    assert found.shape == (2, *SHAPES[ndim])
    assert float(found.mean()) == pytest.approx(float(metric(pair)), rel=1e-4)


@pytest.mark.parametrize("ndim", [2, 3])
def test_map_of_features_has_nearly_its_value_as_mean_and_is_0_for_equal_images(
    ndim, tiny_datasets
):
    tiny = tiny_experiment(ndim, "metric=deepsim_seg", "metric.levels=[1,2]")
    torch.manual_seed(0)
    metric, _ = build_metric(setup_of(tiny, tiny_datasets[ndim]), torch.float32)
    pair = moved_pair(ndim)
    found = metric_map(metric, pair)
    assert found.shape == (2, *SHAPES[ndim])
    assert float(found.mean()) == pytest.approx(float(metric(pair)), rel=0.1)
    same = Pair(pair.fixed, pair.fixed)
    assert metric_map(metric, same).abs().max() < 1e-5


def test_metrics_without_a_map_have_none():
    for metric in (NMI(), NCC(window="whole"), None, lambda pair: pair.u.sum()):
        assert metric_map(metric, moved_pair(2)) is None


@pytest.mark.parametrize("ndim", [2, 3])
def test_jacobian_map_is_that_of_a_scaling_up_to_the_border_and_signed(ndim):
    shape = SHAPES[ndim]
    grid = torch.stack(torch.meshgrid(*[torch.arange(float(n)) for n in shape], indexing="ij"))
    found = squared_log_jacobian(0.5 * grid[None])
    assert found.shape == (1, *shape)
    torch.testing.assert_close(found, torch.full_like(found, (ndim * math.log(1.5)) ** 2))
    mirrored = grid.clone()
    mirrored[0] *= -2  # along one axis p turns to -p: the determinant is -2 ** (ndim - 1)
    assert squared_log_jacobian(mirrored[None]).min() == pytest.approx(math.log(1e-5) ** 2)


def test_both_directions_meet_on_the_fixed_image():
    forward, backward = torch.rand(2, 1, 9, 12)
    u = displacement((9, 12), batch=1)
    found = both_directions(forward, backward, u)
    torch.testing.assert_close(found, forward + warp(backward[None], u)[0])


def test_li_and_wyatt_look_away_from_edges():
    fixed = torch.zeros(1, 1, 60, 60)
    fixed[..., 30:] = 1
    moving = fixed.clone()
    moving[..., 5:8, 28:32] += 0.5  # at the edge
    moving[..., 40:43, 5:9] += 0.5  # away from it
    found = li_wyatt(Pair(moving, fixed))[0]
    assert found[41, 6] > 3 * found[6, 29]
    assert found[20, 6] == 0
    assert set(baseline_maps(Pair(moving, fixed))) == {"intensity", "li_wyatt", "jacobian"}


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    tiny = tiny_experiment(2, "task=changes", "task.insert.radius=[3,4]")
    source = make_source(tiny)
    dataset = prepare(source, tmp_path_factory.mktemp("cache"))
    return Setup(tiny, dataset, source.settings())


def test_truth_is_the_insert_or_a_class_and_counts_within(changed):
    pair = read_pairs(changed.dataset, changed.dataset.pairs("test")[:1], CPU)
    labels = pair.segmentations[1][0, 0].numpy()
    change, counted = Truth(changed.dataset, "labels", None).of(pair)
    assert change.any()
    assert np.array_equal(change, pair.change[0, 0].numpy())
    assert np.array_equal(counted, labels > 0)
    change, counted = Truth(changed.dataset, None, "CSF").of(pair)
    assert counted is None
    assert np.array_equal(change, labels == changed.dataset.class_names.index("CSF"))


def job_with(changed, **arguments):
    job = Changes(**arguments).assemble(changed)
    job.make_ready(None)
    return job


def test_relative_map_is_what_is_above_the_usual_at_the_place(changed):
    setup = Setup(
        experiment(["task=changes", "model=identity", "trainer.accelerator=cpu"]),
        changed.dataset,
        changed.reading,
    )
    job = job_with(setup, both_directions=False)
    job.objective = Objective(MSE(), None, 0.0)
    dataset = changed.dataset
    job.usual = Usual(dataset, healthy(dataset, 2, None), job._mapped)
    test = dataset.pairs("test")[0]
    pair = read_pairs(dataset, [test], CPU)
    u = displacement(pair.fixed.shape[2:], batch=1)
    found = job.maps(pair.at(u), None)["relative"]
    controls = healthy(dataset, 2, None)
    assert len(set(controls) & set(dataset.members("train"))) == 2
    plain = dataclasses.replace(dataset, insertion=None)
    images = [read_pairs(plain, [(k, test[0])], CPU) for k in controls]
    usual = torch.stack([(one.moving - one.fixed).square().mean(1) for one in images]).mean(0)
    expected = (pair.at(u).warped - pair.fixed).square().mean(1) - warp(usual[None], u)[0]
    torch.testing.assert_close(found, expected)
    assert all(torch.equal(one.fixed, pair.moving) for one in images)


@pytest.mark.parametrize(
    ("chosen", "what"),
    [
        (["model=identity"], "identity on demo"),
        (["model=direct", "metric=ncc", "metric.window=whole"], "ncc direct on demo"),
        (["model=direct", "metric=nmi"], "nmi direct on demo"),
    ],
)
def test_methods_without_a_map_have_nothing_to_compare_with_the_usual(changed, chosen, what):
    other = experiment(["task=changes", "trainer.accelerator=cpu", *chosen])
    setup = Setup(other, changed.dataset, changed.reading)
    said = rf"^task\.controls=2: compares the map .*, but {what} gives no map\. Choose a metric"
    with pytest.raises(Unsupported, match=said):
        Changes(controls=2).assemble(setup)
    Changes().assemble(setup)


def test_images_of_several_sizes_have_no_usual_place(changed):
    sizes = [list(changed.dataset.shape)] * len(changed.dataset.ids)
    several = dataclasses.replace(changed.dataset, index={**changed.dataset.index, "shapes": sizes})
    with pytest.raises(Unsupported, match=r"^task\.controls=2: dataset=demo has images of"):
        healthy(several, 2, None)


def test_regions_have_mean_and_rank_of_the_map_away_from_the_change():
    labels = np.array([[0, 1, 1], [2, 2, 1]])
    found = np.array([[9.0, 1.0, 3.0], [2.0, 2.0, 8.0]])
    change = np.array([[0, 0, 0], [0, 0, 1]], bool)
    case = Case(fixed=labels, maps={"main": found}, counted=labels > 0, change=change)
    rows = list(region_rows(case, ["background", "a", "b", "c"]))
    assert rows == [
        {"class": "a", "map_mean": 2.0, "map_rank": 0.5},
        {"class": "b", "map_mean": 2.0, "map_rank": 0.5},
    ]
    assert not list(region_rows(Case(fixed=labels, maps={"jacobian": found}), ["background"]))


def test_change_may_be_components_of_a_class(changed):
    pair = read_pairs(changed.dataset, changed.dataset.pairs("test")[:1], CPU)
    change, _ = Truth(changed.dataset, None, "CSF", ["appear", "vanish"]).of(pair)
    label = changed.dataset.class_names.index("CSF")
    moving, fixed = (one[0, 0].numpy() == label for one in pair.segmentations)
    assert np.array_equal(change, changed_components(moving, fixed, ["appear", "vanish"]))


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"both_directions": 1}, ConfigError, r"task.both_directions=1: must be true or false"),
        (
            {"within": "brain"},
            ConfigError,
            r"task.within=brain: must be labels, foreground or null",
        ),
        (
            {"components": "appear", "change": "CSF"},
            ConfigError,
            r"task.components=appear: must be a list of some of appear, vanish, divide, merge",
        ),
        (
            {"components": ["split"], "change": "CSF"},
            ConfigError,
            r"task.components=\[split\]: must be a list",
        ),
        (
            {"components": ["appear"]},
            ConfigError,
            r"task.components=\[appear\]: selects connected components of a class",
        ),
        ({"controls": 0}, ConfigError, r"task.controls=0: must be a whole number of at least 1"),
        (
            {"smallest": 1.5},
            ConfigError,
            r"task.smallest=1.5: must be a whole number",
        ),
        (
            {"controls": 2, "change": "CSF"},
            Unsupported,
            r"task.controls=2: dataset=demo has only 0 training subjects without CSF to take as "
            r"controls. Add some, or set task.controls=null",
        ),
        (
            {"controls": 999},
            Unsupported,
            r"task.controls=999: dataset=demo has only \d+ training subjects to take as controls. "
            r"Add some, or set task.controls=\d+ or fewer, or task.controls=null",
        ),
        (
            {"change": "lesion"},
            Unsupported,
            r"task.change=lesion: dataset=demo has no class of this name. Known: CSF",
        ),
        (
            {"change": "background"},
            Unsupported,
            r"task.change=background: dataset=demo has no class of this name. Known: CSF",
        ),
        (
            {"change": "CSF"},
            Unsupported,
            r"task.change=CSF: takes the true change from the labels",
        ),
    ],
)
def test_other_settings_are_refused(arguments, error, said, changed):
    with pytest.raises(error, match=f"^{said}"):
        Changes(**arguments).assemble(changed)


@pytest.mark.parametrize("task", [Registration, Changes])
def test_pairs_that_are_left_of_a_batch_are_registered_as_in_the_whole_one(changed, task):
    chosen = experiment(
        [
            *("task=changes", "model=direct", "metric=ncc", "model.batch=3"),
            *("model.steps=[5,5,5,5]", "trainer.accelerator=cpu"),
        ]
    )
    setup = Setup(chosen, changed.dataset, changed.reading)
    job = task().assemble(setup)
    job.make_ready(None)
    whole = list(job.test([]))
    left = list(job.test(whole[:1]))
    assert len(left) == len(whole) - 1
    for one, other in zip(left, whole[1:], strict=True):
        for rows, others in zip(one.rows.values(), other.rows.values(), strict=True):
            timeless = [[{**row, "seconds": None} for row in table] for table in (rows, others)]
            assert timeless[0] == timeless[1]
    validated = list(job.validate([]))
    assert list(job.validate(validated[:1])) == validated[1:]
