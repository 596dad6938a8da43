"""Networks that take λ: they start as the plain ones, and each item has its λ."""

import copy

import pytest
import torch
from conf_options import setup_of, tiny_experiment
from torch import nn
from torch.utils.checkpoint import checkpoint

from bench.config.conditioning import WeightRange
from bench.errors import ConfigError, Unsupported
from bench.models import MonaiNetwork
from bench.models.building import build_model
from bench.models.conditioned import Conditioned, Modulation, reached
from bench.models.flow import displacement_of
from bench.models.method import Objective
from bench.models.network import NetworkMethod
from bench.models.unet import UNet
from bench.pair import Pair
from bench.spatial.displacement import integrate

CONDITIONED = "model.conditioned=lambda"
WEIGHT = torch.tensor([0.01, 0.1])


def images(ndim, batch=2):
    generator = torch.Generator().manual_seed(0)
    shape = (17, 22) if ndim == 2 else (10, 13, 15)
    return torch.rand(2, batch, 1, *shape, generator=generator).unbind()


def built(datasets, ndim, *overrides):
    experiment = tiny_experiment(ndim, "metric=mse", *overrides)
    return build_model(experiment["model"], setup_of(experiment, datasets[ndim]))


def trained(network):
    """A conditioned network whose last layer is no longer zero."""
    torch.manual_seed(1)
    nn.init.normal_(network.changes.weight, std=2)
    return network.eval()


@pytest.mark.parametrize("model", ["pyramid", "voxelmorph"])
@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_it_starts_as_the_plain_network_bit_for_bit(model, ndim, precision, tiny_datasets):
    options = [f"model={model}", "model.norm=true", "model.flow_std=1"]
    plain = built(tiny_datasets, ndim, *options)
    network = built(tiny_datasets, ndim, *options, CONDITIONED)
    moving, fixed = images(ndim)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        expected = plain(moving, fixed)
        found = network(moving, fixed, WEIGHT)
    assert expected.abs().max() > 0.01
    assert torch.equal(found, expected)


def test_what_reads_the_weight_learns_from_the_first_step(tiny_datasets):
    network = built(tiny_datasets, 2, CONDITIONED, "model.flow_std=1")
    network(*images(2), WEIGHT).square().sum().backward()
    assert network.changes.weight.grad.abs().max() > 0
    assert all(p.grad is not None for p in network.parameters())


def test_a_step_moves_a_channel_about_as_far_as_a_bias(tiny_datasets):
    network = built(tiny_datasets, 2, CONDITIONED, "model.flow_std=1")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    changes = []
    modulation = network.modulations[0]
    modulation.register_forward_pre_hook(lambda self, _: changes.append(self.change.detach()))
    for _ in range(2):
        optimizer.zero_grad()
        network(*images(2), WEIGHT).square().sum().backward()
        optimizer.step()
    assert changes[0].abs().max() == 0
    assert 1e-4 < changes[-1].abs().max() < 3e-3


@pytest.mark.parametrize("model", ["pyramid", "voxelmorph"])
@pytest.mark.parametrize("ndim", [2, 3])
def test_each_item_has_its_weight(model, ndim, tiny_datasets):
    network = trained(built(tiny_datasets, ndim, f"model={model}", CONDITIONED, "model.flow_std=1"))
    moving, fixed = images(ndim)
    both = network(moving, fixed, WEIGHT)
    for i in range(2):
        part = slice(i, i + 1)
        alone = network(moving[part], fixed[part], WEIGHT[part])
        torch.testing.assert_close(both[part], alone)
    other = network(moving, fixed, WEIGHT.flip(0))
    assert (both - other).abs().amax((1, 2)).min() > 1e-3


@pytest.mark.parametrize("scale", [1, 2])
def test_every_stage_is_modulated_and_the_head_is_not(scale, tiny_datasets):
    network = built(tiny_datasets, 2, "model=voxelmorph", CONDITIONED, f"model.flow_scale={scale}")
    names = [name for name, m in network.named_modules() if isinstance(m, Modulation)]
    assert len(names) == 6
    assert sum("encoder" in name for name in names) == 3
    assert sum("decoder" in name for name in names) == 3
    assert [m.channels for m in network.modulations] == [4, 6, 8, 8, 6, 4]


def test_both_encodings_and_all_levels_of_the_pyramid_are_modulated(tiny_datasets):
    network = built(tiny_datasets, 2, "model=pyramid", CONDITIONED)
    names = [name for name, m in network.named_modules() if isinstance(m, Modulation)]
    assert sum("encoder" in name for name in names) == 3
    assert sum("stages" in name for name in names) == 3
    assert [m.channels for m in network.modulations] == [4, 6, 8, 8, 6, 4]


def test_copies_are_modulated_by_themselves(tiny_datasets):
    network = trained(built(tiny_datasets, 2, CONDITIONED, "model.flow_std=1"))
    before = network(*images(2), WEIGHT)
    other = copy.deepcopy(network)
    nn.init.zeros_(other.changes.weight)
    assert not torch.equal(other(*images(2), WEIGHT), before)
    assert torch.equal(network(*images(2), WEIGHT), before)


def test_method_registers_under_the_weight_of_its_objective(tiny_datasets):
    network = trained(built(tiny_datasets, 2, CONDITIONED, "model.flow_std=1", "model.integrate=4"))
    moving, fixed = images(2, batch=1)
    method, pair = NetworkMethod(network, torch.float32), Pair(moving, fixed)
    for weight in (0.01, 0.1):
        objective = Objective(None, None, weight)
        u, velocity = displacement_of(network(moving, fixed, torch.tensor([weight])))
        assert torch.equal(method.register(pair, objective), u)
        assert torch.equal(method.inverse(pair, objective), integrate(-velocity, 4))
    low, high = (method.register(pair, Objective(None, None, w)) for w in (0.01, 0.1))
    assert not torch.equal(low, high)


def test_network_without_a_place_for_the_weight_is_refused():
    with pytest.raises(Unsupported) as refused:
        Conditioned(MonaiNetwork(2, 1, "SegResNet"), WeightRange(0.1, 1), "segresnet")
    assert str(refused.value) == (
        "model.conditioned=lambda: model=segresnet cannot take λ, which needs stages of "
        "bench.models.unet. Use model=pyramid or model=voxelmorph, or build yours from "
        "bench.models.unet.stage."
    )


class Unused(nn.Module):
    """Has stages, which only a step that computes them again or nothing passes through."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.again = again
        self.stages = UNet(2, 2, [4, 4], norm=False, dropout=False)
        self.head = nn.Conv2d(self.stages.outputs, 2, 1)

    def forward(self, moving, fixed):
        x = torch.cat([moving, fixed], dim=1)
        if self.again:
            return self.head(checkpoint(self.stages, x, use_reentrant=False))
        return self.head(x.repeat(1, self.head.in_channels // 2, 1, 1))


def test_network_that_leaves_its_stages_out_is_refused():
    network = Conditioned(Unused(again=False), WeightRange(0.01, 1), "mine")
    with pytest.raises(Unsupported) as refused, reached(network, "mine"):
        network(*images(2), WEIGHT)
    assert str(refused.value) == (
        "model.conditioned=lambda: λ has no effect on model=mine, which has stages of "
        "bench.models.unet but does not use them. Use them, or leave model.conditioned out."
    )
    network = Conditioned(Unused(again=True), WeightRange(0.01, 1), "mine")
    with reached(network, "mine"):
        network(*images(2), WEIGHT)
    assert not any(modulation._forward_hooks for modulation in network.modulations)


def test_network_that_computes_its_stages_again_is_refused():
    network = Conditioned(Unused(again=True), WeightRange(0.01, 1), "mine")
    with pytest.raises(ConfigError, match="as gradient checkpointing does"):
        network(*images(2), WEIGHT).sum().backward()


def test_middle_of_the_range_reads_as_zero_and_its_ends_as_one():
    network = Conditioned.__new__(Conditioned)
    nn.Module.__init__(network)
    network.weights = WeightRange(0.25, 4)
    places = network._places(torch.tensor([0.25, 0.5, 1, 4]))
    torch.testing.assert_close(places, torch.tensor([-1, -0.5, 0, 1]))
