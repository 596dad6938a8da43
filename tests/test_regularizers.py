"""The regularizers: against a plain formula, and the contract over all of conf/regularizer."""

import numpy as np
import pytest
import torch
from conf_options import compose, names, section

from bench.instantiation import build
from bench.regularizers import Diffusion

SHAPES = [(17, 22), (10, 13, 15)]


def displacement(shape, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, len(shape), *shape, generator=generator, dtype=dtype)


def diffusion_by_loops(u):
    """Mean over voxels and channels of the mean over axes of squared forward differences."""
    total = 0.0
    for sample in u:
        for channel in sample:
            for axis in range(channel.ndim):
                last = np.take(channel, [-1], axis=axis)
                padded = np.concatenate([channel, last], axis=axis)
                total += (np.diff(padded, axis=axis) ** 2).sum()
    return total / u.size / (u.ndim - 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_diffusion_agrees_with_loops(shape):
    u = displacement(shape, dtype=torch.float64)
    assert float(Diffusion()(u)) == pytest.approx(diffusion_by_loops(u.numpy()), rel=1e-12)


def test_diffusion_of_a_ramp_by_hand():
    u = torch.zeros(1, 2, 4, 5)
    u[0, 0] = 3 * torch.arange(4.0)[:, None]
    # 3 of 4 rows differ by 3; averaged over 2 channels and 2 axes
    assert float(Diffusion()(u)) == pytest.approx(9 * 3 / 4 / 2 / 2)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 2)])
def test_gradient_of_diffusion(shape):
    u = displacement(shape, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(Diffusion(), (u,))


@pytest.fixture(params=names("regularizer"))
def regularizer(request):
    config = compose([f"regularizer={request.param}"])
    return build(section(config["regularizer"], "name", "weight", "scale"), "regularizer")


@pytest.mark.parametrize("shape", SHAPES)
class TestEveryRegularizer:
    def test_is_a_positive_float32_scalar_with_a_gradient(self, regularizer, shape):
        u = displacement(shape).requires_grad_()
        value = regularizer(u)
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert 0 < value.item() < float("inf")
        value.backward()
        assert torch.isfinite(u.grad).all()
        assert u.grad.abs().max() > 0

    def test_is_zero_for_the_identity_and_for_translations(self, regularizer, shape):
        assert float(regularizer(torch.zeros(2, len(shape), *shape))) == pytest.approx(0, abs=1e-6)
        shift = torch.full((2, len(shape), *shape), 1.75)
        assert float(regularizer(shift)) == pytest.approx(0, abs=1e-6)

    def test_averages_over_the_batch(self, regularizer, shape):
        u = displacement(shape)
        apart = [float(regularizer(u[i : i + 1])) for i in range(2)]
        assert float(regularizer(u)) == pytest.approx(sum(apart) / 2, rel=1e-5)
