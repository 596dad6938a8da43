"""What a metric may do with a pair: look, but leave it as it is for whatever reads it next."""

import re

import pytest
import torch

from bench.errors import ConfigError
from bench.pair import Pair
from bench.tasks.values import value_of


def a_pair() -> Pair:
    torch.manual_seed(0)
    images = torch.rand(2, 1, 1, 5, 6)
    labels = torch.randint(0, 3, (2, 1, 1, 5, 6))
    points = torch.tensor([[[1.0, 2.0], [torch.nan, torch.nan]]])
    pair = Pair(
        *images,
        segmentations=lambda: (labels[0], labels[1]),
        classes=3,
        landmarks=lambda: (points, points.clone()),
        change=torch.zeros(1, 1, 5, 6, dtype=torch.bool),
    )
    return pair.at(torch.full((1, 2, 5, 6), 0.3, requires_grad=True))


def centred_by_numpy(pair: Pair) -> None:
    values = pair.fixed.numpy()
    values -= values.mean()


def merged_labels(pair: Pair) -> None:
    fixed = pair.segmentations[1]
    fixed[fixed > 1] = 0


def replaced(pair: Pair) -> None:
    pair.moving = pair.moving * 2


def forgot(pair: Pair) -> None:
    pair.change = None


def cropped(pair: Pair) -> None:
    pair.fixed = pair.fixed[..., :4]


def centred_warped(pair: Pair) -> None:
    warped = pair.warped
    warped -= warped.mean()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda pair: pair.fixed.add_(1), "pair.fixed"),
        (lambda pair: pair.moving.data.mul_(2), "pair.moving"),
        (lambda pair: pair.u.data.add_(1), "pair.u"),
        (lambda pair: pair.landmarks[1].nan_to_num_(), "pair.landmarks[1]"),
        (lambda pair: pair.change.logical_not_(), "pair.change"),
        (centred_by_numpy, "pair.fixed"),
        (merged_labels, "pair.segmentations[1]"),
        (replaced, "pair.moving"),
        (cropped, "pair.fixed"),
        (forgot, "pair.change"),
        (centred_warped, "pair.warped"),
    ],
)
def test_whatever_a_metric_changes_is_named(change, name) -> None:
    def metric(pair: Pair) -> torch.Tensor:
        change(pair)
        return pair.u.mean()

    said = f"metric=odd changes {name} in place on a pair, and whatever reads it next is wrong."
    with pytest.raises(ConfigError, match=re.escape(said)):
        value_of("metric=odd", metric, a_pair(), "on a pair")


def test_regularizer_that_changes_the_field_is_refused() -> None:
    def regularizer(u: torch.Tensor) -> torch.Tensor:
        return u.mul_(2).mean()

    with pytest.raises(ConfigError, match="regularizer=odd changes its argument in place"):
        value_of("regularizer=odd", regularizer, torch.ones(1, 2, 4, 4), "on a pair")


def test_metric_may_look_at_everything() -> None:
    def metric(pair: Pair) -> torch.Tensor:
        looked_at = pair.warped, pair.warped_labels, pair.fixed_labels, pair.mapped_landmarks
        return sum(value.nan_to_num().mean() for value in looked_at)

    assert value_of("metric=l1", metric, a_pair(), "on a pair").requires_grad
