"""Compiled networks, and what happens where nothing can be compiled."""

import copy
from shutil import which

import pytest
import torch
from torch import nn

from bench.training.compilation import compile_network

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(
    not (which("g++") or which("clang++")), reason="there is no C++ compiler"
)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(4, 1, 3))


def outcome(network, image):
    network.zero_grad()
    output = network(image)
    output.square().sum().backward()
    return [output.detach(), *(p.grad.clone() for p in network.parameters())]


class Telling(nn.Module):
    """Ones where it is compiled, zeros otherwise."""

    def forward(self, x):
        return torch.full_like(x, float(torch.compiler.is_compiling()))


@needs_compiler
def test_network_is_compiled():
    telling = Telling()
    assert telling(torch.zeros(3)).sum() == 0
    compile_network(telling, CPU)
    assert telling(torch.zeros(3)).sum() == 3


@needs_compiler
def test_compiled_network_gives_the_same():
    plain = network()
    compiled = copy.deepcopy(plain)
    compile_network(compiled, CPU)
    image = torch.rand(2, 1, 9, 11)
    torch.testing.assert_close(outcome(compiled, image), outcome(plain, image))
    assert list(compiled.state_dict()) == list(plain.state_dict())


def test_goes_on_where_nothing_can_be_compiled(monkeypatch, capsys):
    def fails(*_):
        raise RuntimeError("no compiler\nand much more")

    monkeypatch.setattr(torch, "compile", fails)
    plain = network()
    image = torch.rand(2, 1, 9, 11)
    expected = outcome(plain, image)
    compile_network(plain, CPU)
    torch.testing.assert_close(outcome(plain, image), expected)
    said = capsys.readouterr().out
    assert said == "trainer.compile: not possible here, continuing without (no compiler)\n"
