"""Which voxels a masked metric looks at."""

import numpy as np
import pytest
import torch
from similarity_pairs import Counted, images, unmoved

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.similarity import MSE, NCC
from bench.similarity.masks import mask_shares

MASKED = [lambda mask: MSE(mask=mask), lambda mask: NCC(3, mask=mask)]


def padded(shape, channels=1):
    """A moving image and a fixed one that is zero or at its least in half of the voxels."""
    moving, fixed = images(shape, channels=channels)
    return moving, (fixed - 0.5).clamp(min=0) - 0.3


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
@pytest.mark.parametrize("channels", [1, 2])
def test_foreground_is_where_any_channel_of_the_fixed_image_is_above_its_least(shape, channels):
    moving, fixed = padded(shape, channels)
    fixed[1] += 0.2
    shares = mask_shares("foreground", unmoved(moving, fixed))
    assert shares.dtype == torch.float32
    assert shares.shape == (2, 1, *shape)
    for own, image in zip(shares.numpy(), fixed.numpy(), strict=True):
        inside = np.zeros(shape, bool)
        for channel in image:
            inside |= channel > channel.min()
        assert 0 < inside.sum() < inside.size
        np.testing.assert_allclose(own[0], inside / inside.sum() / 2, rtol=1e-5)


@pytest.mark.parametrize("shape", [(17, 22), (10, 13, 15)])
def test_labels_mask_is_where_the_fixed_image_has_a_label(shape):
    labels = Counted(shape)
    shares = mask_shares("labels", unmoved(*images(shape), labels))
    for own, fixed in zip(shares.numpy(), labels.maps[1].numpy(), strict=True):
        np.testing.assert_allclose(own, (fixed != 0) / (fixed != 0).sum() / 2, rtol=1e-5)


@pytest.mark.parametrize("mask", ["foreground", "labels"])
def test_weights_sum_to_one_over_the_batch_and_to_the_same_for_each_pair(mask):
    labels = Counted((17, 22), batch=3)
    labels.maps[1, 0, :, 4:] = 0
    moving, fixed = images((17, 22), batch=3)
    fixed[1, :, :9] = -1
    shares = mask_shares(mask, unmoved(moving, fixed, labels))
    torch.testing.assert_close(shares.sum((1, 2, 3)), torch.full((3,), 1 / 3))


@pytest.mark.parametrize("mask", ["foreground", "labels"])
def test_a_pair_whose_mask_is_empty_has_no_weight(mask):
    labels = Counted((17, 22))
    labels.maps[1, 0] = 0
    moving, fixed = images((17, 22))
    fixed[0] = 0.4
    shares = mask_shares(mask, unmoved(moving, fixed, labels))
    assert shares[0].abs().max() == 0
    assert shares[1].sum().item() == pytest.approx(0.5)


@pytest.mark.parametrize(("mask", "calls"), [(None, 0), ("foreground", 0), ("labels", 1)])
def test_labels_are_read_for_no_mask_but_theirs(mask, calls):
    labels = Counted((17, 22))
    shares = mask_shares(mask, unmoved(*images((17, 22)), labels))
    assert labels.calls == calls
    assert (shares is None) == (mask is None)


@pytest.mark.parametrize("metric", MASKED)
def test_labels_mask_needs_labels(metric):
    assert metric("labels").supports(2, 1, labels=True) is None
    assert metric("labels").supports(2, 1, labels=False) == (
        "needs labels, but the data set has none"
    )
    assert metric("foreground").supports(3, 2, labels=False) is None
    assert metric(None).supports(3, 2, labels=False) is None


@pytest.mark.parametrize("metric", MASKED)
@pytest.mark.parametrize("mask", ["background", "", True])
def test_unknown_masks_are_refused(metric, mask):
    words = f"metric.mask={quoted(mask)}: must be null, foreground or labels."
    with pytest.raises(ConfigError, match=words):
        metric(mask)


@pytest.mark.parametrize("metric", MASKED)
@pytest.mark.parametrize("mask", ["foreground", "labels"])
def test_empty_masks_leave_the_metric_finite(metric, mask):
    shape = (17, 22)
    labels = Counted(shape)
    labels.maps[1] = 0
    moving, _ = images(shape)
    pair = unmoved(moving.requires_grad_(), torch.full_like(moving, 0.4), labels)
    value = metric(mask)(pair)
    value.backward()
    assert torch.isfinite(value)
    assert moving.grad.abs().max() == 0


@pytest.mark.parametrize("metric", MASKED)
def test_a_pair_whose_mask_is_empty_adds_nothing(metric):
    moving, fixed = padded((17, 22))
    fixed[1] = 0.4
    alone = metric("foreground")(unmoved(moving[:1], fixed[:1])).item()
    assert alone > 0.05
    both = metric("foreground")(unmoved(moving, fixed)).item()
    assert both == pytest.approx(alone / 2, rel=1e-5)
