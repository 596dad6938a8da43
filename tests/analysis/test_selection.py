"""λ is chosen on validation scores: by each criterion, over seeds, for each way to register."""

import math

import pytest

from bench.analysis.numbers.selection import CRITERIA, choose
from bench.config.overrides import quoted
from bench.errors import ConfigError


def run(weight, seed=0, dice=0.5, similarity=0.1, folding=0.0, loss=1.0, test=0.5, **more):
    validation = {"dice": dice, "similarity": similarity, "loss": loss, "folding": folding}
    if dice is None:
        del validation["dice"]
    return {
        "dataset": "demo",
        "metric": "ncc",
        "variant": "v",
        "weight": weight,
        "seed": seed,
        "validation": validation,
        "scores": {"dice": {"mean": test, "std": 0.1, "n": 4}},
        "scores_before": {"dice": {"mean": 0.3, "std": 0.1, "n": 4}},
        **more,
    }


def chosen(runs, *criterion):
    (choice,) = choose(runs, *criterion).values()
    return choice


@pytest.mark.parametrize("criterion", CRITERIA)
def test_test_scores_do_not_choose(criterion):
    good, bad = {"dice": 0.7, "similarity": 0.1}, {"dice": 0.6, "similarity": 0.2}
    runs = [run(1, test=0.9, **bad), run(2, test=0.1, **good), run(4, test=0.8, **bad)]
    choice = chosen(runs, criterion)
    assert choice.weight == 2
    assert choice.runs == [runs[1]]


CROSSED = [
    run(1, dice=0.9, similarity=0.4, folding=0.03, loss=0.1),
    run(2, dice=0.7, similarity=0.3, folding=0.01, loss=0.2),
    run(4, dice=0.6, similarity=0.1, folding=0.00, loss=0.3),
    run(8, dice=0.5, similarity=0.2, folding=0.00, loss=0.4),
]


@pytest.mark.parametrize(
    ("criterion", "weight"), [("val_dice", 1), ("val_loss", 4), ("val_dice_bounded", 2)]
)
@pytest.mark.parametrize("order", [1, -1])
def test_each_criterion_has_its_own_choice(criterion, weight, order):
    assert chosen(CROSSED[::order], criterion).weight == weight


def test_validation_dice_is_the_default():
    assert choose(CROSSED) == choose(CROSSED, "val_dice")


def test_loss_may_be_negative():
    runs = [run(1, similarity=-0.2), run(2, similarity=-0.8), run(4, similarity=-0.5)]
    assert chosen(runs, "val_loss").weight == 2


@pytest.mark.parametrize(
    ("bound", "weight"), [(0.1, 1), (0.03, 1), (0.029, 2), (0.01, 2), (0.009, 4), (0.0, 4)]
)
def test_bounded_dice_is_the_largest_among_those_within_the_bound(bound, weight):
    assert chosen(CROSSED, "val_dice_bounded", bound).weight == weight


def test_least_folding_is_chosen_if_all_fold_more_than_the_bound():
    runs = [run(1, dice=0.9, folding=0.3), run(2, dice=0.1, folding=0.05), run(4, folding=0.1)]
    assert chosen(runs, "val_dice_bounded").weight == 2


def test_bound_holds_for_the_mean_over_seeds():
    runs = [
        run(1, 0, dice=0.9, folding=0.0),
        run(1, 1, dice=0.9, folding=0.018),
        run(2, 0, dice=0.6, folding=0.0),
        run(2, 1, dice=0.6, folding=0.0),
    ]
    assert chosen(runs, "val_dice_bounded").weight == 1
    assert chosen(runs, "val_dice_bounded", 0.008).weight == 2


@pytest.mark.parametrize(
    ("criterion", "values"),
    [
        ("val_dice", {"dice": (0.9, 0.1, 0.6, 0.6)}),
        ("val_loss", {"similarity": (0, 0.8, 0.3, 0.3)}),
    ],
)
def test_values_are_averaged_over_seeds(criterion, values):
    ((name, row),) = values.items()
    places = [(1, 0), (1, 1), (2, 0), (2, 1)]
    runs = [run(*place, **{name: value}) for place, value in zip(places, row, strict=True)]
    choice = chosen(runs, criterion)
    assert choice.weight == 2
    assert choice.runs == runs[2:]


def test_runs_of_the_chosen_weight_are_in_order_of_their_seeds():
    runs = [run(1, seed) for seed in (2, 0, 1)]
    assert [own["seed"] for own in chosen(runs).runs] == [0, 1, 2]


def test_weight_with_fewer_seeds_does_not_take_part():
    runs = [run(1, 0), run(1, 1), run(2, 0, dice=0.9), run(4, 0, dice=0.6), run(4, 1, dice=0.6)]
    choice = chosen(runs)
    assert choice.weight == 4
    assert choice.weights == [1, 2, 4]
    assert choice.missing == []


def test_seeds_run_under_another_weight_only_are_missing():
    runs = [run(1, 0), run(1, 3), run(2, 0, dice=0.9), run(2, 1, dice=0.9), run(4, 7)]
    choice = chosen(runs)
    assert choice.weight == 2
    assert choice.missing == [3, 7]


@pytest.mark.parametrize("dice", [math.nan, None])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_without_labels_the_loss_chooses(criterion, dice):
    runs = [
        run(1, dice=dice, similarity=0.3),
        run(2, dice=dice, similarity=0.1, folding=0.5),
        run(4, dice=dice, similarity=0.2),
    ]
    assert chosen(runs, criterion).weight == 2


@pytest.mark.parametrize(("best", "at_border"), [(0.5, True), (1, False), (2, False), (4, True)])
def test_best_weight_at_an_end_of_the_grid_is_at_the_border(best, at_border):
    runs = [run(weight, dice=0.9 if weight == best else 0.5) for weight in (2, 0.5, 4, 1)]
    choice = chosen(runs)
    assert choice.weights == [0.5, 1, 2, 4]
    assert (choice.weight, choice.at_border) == (best, at_border)


def test_the_only_weight_is_not_at_a_border():
    choice = chosen([run(1, 0), run(1, 1)])
    assert not choice.at_border
    assert choice.weights == [1]


def test_weights_are_chosen_for_each_data_set_metric_and_variant():
    own = {
        ("demo", "ncc", "v"): 1,
        ("demo", "ncc", "w"): 2,
        ("demo", "mse", "v"): 4,
        ("brain", "ncc", "v"): 2,
    }
    runs = [
        run(
            weight,
            dice=0.9 if weight == best else 0.5,
            dataset=dataset,
            metric=metric,
            variant=variant,
        )
        for weight in (1, 2, 4)
        for (dataset, metric, variant), best in own.items()
    ]
    assert {key: choice.weight for key, choice in choose(runs).items()} == own


def test_seeds_of_one_group_do_not_count_in_another():
    runs = [run(1, metric="mse"), run(2, dice=0.9, metric="mse"), run(1, 0), run(1, 1)]
    found = choose(runs)
    assert found[("demo", "mse", "v")].weight == 2
    assert found[("demo", "mse", "v")].missing == []


def test_summaries_of_earlier_versions_have_no_variant():
    old = run(1)
    del old["variant"]
    assert list(choose([old])) == [("demo", "ncc", "")]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_no_runs_no_choices(criterion):
    assert choose(iter([]), criterion) == {}


@pytest.mark.parametrize("criterion", ["dice", "test_dice", "", None])
def test_unknown_criterion_is_refused(criterion):
    words = "must be one of val_dice, val_loss, val_dice_bounded"
    with pytest.raises(ConfigError, match=rf"^select={quoted(criterion)}: {words}\.$"):
        choose([run(1)], criterion)


def test_without_validation_nothing_is_chosen_and_that_is_said():
    runs = [run(weight) | {"validation": {}} for weight in (1, 2)]
    (choice,) = choose(runs).values()
    assert choice.blind
    assert not choice.at_border
    (only,) = choose(runs[:1]).values()
    assert not only.blind


def test_factor_of_a_synthesis_is_chosen_by_what_does_not_depend_on_it():
    def made(weight, similarity, **scores):
        validation = {"similarity": similarity, "loss": similarity, **scores}
        names = {"dataset": "demo", "metric": "ssim", "variant": "a", "seed": 0}
        return {**names, "weight": weight, "validation": validation}

    with_distance = [made(1, 0.1, ssim=0.9, distance=0.4), made(2, 0.3, ssim=0.8, distance=0.2)]
    without = [made(1, 0.3, ssim=0.9), made(2, 0.1, ssim=0.8)]
    with_dice = [made(1, 0.1, ssim=0.9, dice=0.6), made(2, 0.3, ssim=0.8, dice=0.7)]
    for runs, weight in ((with_distance, 2), (without, 1), (with_dice, 2)):
        (choice,) = choose(runs).values()
        assert choice.weight == weight
