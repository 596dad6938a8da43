"""Metrics of labels: mean squared error and soft Dice."""

import numpy as np
import pytest
import torch
from similarity_pairs import Counted, displacement, images, unmoved

from bench.similarity import Dice, LabelMSE, Pair


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_label_mse_is_the_mean_over_voxels_and_classes(shape):
    labels = Counted(shape)
    value = LabelMSE()(unmoved(*images(shape), labels)).item()
    differing = (labels.maps[0] != labels.maps[1]).double().mean().item()
    assert value == pytest.approx(2 * differing / 4, rel=1e-5)


@pytest.mark.parametrize("metric", [LabelMSE(), Dice()])
def test_metrics_of_labels_need_labels(metric):
    assert metric.supports(2, 1, labels=True) is None
    assert metric.supports(2, 1, labels=False) == "needs labels, but the data set has none"


def pair_of_labels(moving, fixed, classes=4):
    """A pair of label maps, given as lists of rows, that is not moved."""
    maps = [torch.tensor(labels, dtype=torch.uint8)[:, None] for labels in (moving, fixed)]
    image = torch.zeros(maps[0].shape)
    return unmoved(image, image, lambda: tuple(maps), classes)


def plain_dice_loss(warped, fixed):
    """The metric of soft labels (B, K, *S), class by class."""
    losses = []
    for ours, theirs in zip(warped, fixed, strict=True):
        of_classes = [
            1 - 2 * (a * b).sum() / (a.sum() + b.sum())
            for a, b in list(zip(ours, theirs, strict=True))[1:]
            if a.sum() + b.sum() > 0
        ]
        losses.append(sum(of_classes) / len(of_classes))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize("present", [2, 4, 7])
def test_dice_agrees_with_numpy(shape, present):
    pair = Pair(*images(shape), displacement(shape), Counted(shape, classes=present), 7)
    warped, fixed = (x.numpy().astype(float) for x in (pair.warped_labels, pair.fixed_labels))
    assert not np.isin(warped, (0, 1)).all()
    assert Dice()(pair).item() == pytest.approx(plain_dice_loss(warped, fixed), rel=1e-5)


def test_dice_of_equal_labels_is_zero_and_of_disjoint_labels_one():
    labels = [[[0, 1, 2, 3]]]
    assert Dice()(pair_of_labels(labels, labels)).item() == pytest.approx(0, abs=1e-6)
    assert Dice()(pair_of_labels(labels, [[[0, 2, 3, 1]]])).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("surroundings", [0, 50])
def test_background_does_not_count(surroundings):
    outside = [0] * surroundings
    pair = pair_of_labels([[[1, 1, 0, *outside]]], [[[0, 1, 1, *outside]]])
    assert Dice()(pair).item() == pytest.approx(0.5)


def test_classes_that_neither_image_has_are_left_out_pair_by_pair():
    pair = pair_of_labels([[[1, 1, 0]], [[2, 3, 0]]], [[[0, 1, 1]], [[2, 0, 3]]])
    assert Dice()(pair).item() == pytest.approx((0.5 + (0 + 1) / 2) / 2)


def test_a_class_that_one_image_has_counts_as_missed():
    assert Dice()(pair_of_labels([[[1, 2]]], [[[1, 0]]])).item() == pytest.approx(0.5)


def test_dice_of_background_alone_is_finite():
    pair = pair_of_labels([[[0, 0], [0, 0]]], [[[0, 0], [0, 0]]])
    pair.u.requires_grad_()
    value = Dice()(pair)
    value.backward()
    assert value.item() == 0
    assert torch.isfinite(pair.u.grad).all()


@pytest.mark.parametrize("shape", [(5, 6), (4, 5, 3)])
def test_gradient_of_dice(shape):
    labels = Counted(shape)
    soft, _ = images(shape, channels=4, dtype=torch.float64)

    def metric(warped_labels):
        pair = unmoved(*images(shape, dtype=torch.float64), labels)
        pair.warped_labels = warped_labels
        pair.fixed_labels = pair.fixed_labels.double()
        return Dice()(pair)

    assert torch.autograd.gradcheck(metric, soft.requires_grad_())


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_dice_has_the_gradient_of_the_plain_formula_in_u(shape):
    gradients = []
    for formula in (Dice(), lambda pair: plain_dice_loss(pair.warped_labels, pair.fixed_labels)):
        u = displacement(shape).requires_grad_()
        formula(Pair(*images(shape), u, Counted(shape), 4)).backward()
        gradients.append(u.grad)
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)
    assert gradients[0].abs().max() > 1e-4
