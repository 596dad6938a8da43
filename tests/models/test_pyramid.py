"""The pyramid: scale and sign of its displacements, its correlations, and each pair by itself."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.errors import ConfigError
from bench.models import Pyramid

SHAPES = [(17, 22), (10, 13, 15)]
WIDTHS = (4, 6, 8)


def pair(shape, batch=2, channels=1):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, batch, channels, *shape, generator=generator).unbind()


def large(network):
    """A network whose displacements are no longer near zero."""
    torch.manual_seed(1)
    for flow in network.flows:
        nn.init.normal_(flow.weight, std=0.3)
    return network.eval()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_level_counts_in_its_voxels(shape, level):
    network = Pyramid(len(shape), 1, WIDTHS)
    for number, flow in enumerate(network.flows):
        nn.init.zeros_(flow.weight)
        nn.init.constant_(flow.bias, 0.5 * (number == level))
    u = network(*pair(shape))
    torch.testing.assert_close(u, torch.full_like(u, 0.5 * 2 ** (3 - level)))


@pytest.mark.parametrize("ndim", [2, 3])
def test_what_a_level_compares_is_warped_by_the_levels_before(ndim):
    """Where coarser levels find a shift, features agree at shift 0 and nowhere else."""
    network = Pyramid(ndim, 1, WIDTHS).eval()
    for number, flow in enumerate(network.flows):
        nn.init.zeros_(flow.weight)
        nn.init.zeros_(flow.bias)
        if number == 0:
            with torch.no_grad():
                flow.bias[0] = 1  # 8 voxels of the image along the first axis
    fixed, _ = pair((48,) * ndim, batch=1)
    moving = torch.roll(fixed, 8, dims=2)
    seen = []
    network.stages[-1].register_forward_hook(lambda _, given, __: seen.extend(given))
    network(moving, fixed)
    middle = seen[0][(0, slice(None), *[slice(9, 15)] * ndim)]
    found = middle[: 1 + 2 * ndim].flatten(1).mean(1)
    centre = network.shifts.index((0,) * ndim)
    assert found[centre] > 1 - 1e-5
    assert found.sort().values[-2] < 1 - 1e-3


@pytest.mark.parametrize(("ndim", "reach"), [(2, 0), (2, 2), (3, 1)])
def test_correlations_are_cosines_at_each_shift(ndim, reach):
    network = Pyramid(ndim, 1, WIDTHS, reach=reach)
    moving, fixed = (
        F.normalize(x - 0.5, dim=1) for x in pair((5, 6, 7)[:ndim], batch=1, channels=4)
    )
    found = network._correlations(moving, fixed)
    assert found.shape == (1, 1 + 2 * reach * ndim, *fixed.shape[2:])
    for number, shift in enumerate(network.shifts):
        for place in product(*map(range, fixed.shape[2:])):
            there = [
                min(max(p + s, 0), size - 1)
                for p, s, size in zip(place, shift, fixed.shape[2:], strict=True)
            ]
            expected = F.cosine_similarity(
                fixed[(0, slice(None), *place)], moving[(0, slice(None), *there)], dim=0
            )
            assert found[(0, number, *place)] == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_pair_of_a_batch_is_computed_by_itself(shape):
    network = large(Pyramid(len(shape), 1, WIDTHS, norm=True, dropout=True))
    moving, fixed = pair(shape)
    with torch.no_grad():
        apart = torch.cat([network(moving[i : i + 1], fixed[i : i + 1]) for i in range(2)])
        both = network(moving, fixed)
    torch.testing.assert_close(both, apart, rtol=1e-3, atol=1e-4)
    assert both.abs().max() > 0.1
    assert not torch.allclose(both, network(fixed, moving), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("reach", [-1, 1.5, "far", 17, 10**6])
def test_impossible_reach_is_refused(reach):
    with pytest.raises(ConfigError, match=rf"model\.reach={reach}: must be a whole number"):
        Pyramid(2, 1, WIDTHS, reach=reach)
