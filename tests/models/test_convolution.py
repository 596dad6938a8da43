"""Convolutions against those of torch: values and gradients, with and without doubling."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bench.models.convolution import (
    CHANNELS_LAST,
    Chain,
    Convolution2d,
    Convolution3d,
    convolve,
    convolve_doubled,
)

PLAIN = {2: F.conv2d, 3: F.conv3d}
SHAPES = [(37, 20), (19, 9, 12)]
LAYERS = {2: Convolution2d, 3: Convolution3d}


def inputs(shape, channels, outputs, kernel=3, dtype=torch.float32):
    torch.manual_seed(0)
    x = torch.randn(2, channels, *shape, dtype=dtype)
    weight = torch.randn(outputs, channels, *[kernel] * len(shape), dtype=dtype) / channels
    return (
        x.contiguous(memory_format=CHANNELS_LAST[x.ndim]).requires_grad_(),
        weight.requires_grad_(),
        torch.randn(outputs, dtype=dtype, requires_grad=True),
    )


def gradients(output, tensors):
    return torch.autograd.grad(output.sin().sum(), tensors)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("small", [0, 2**22], ids=["by slabs", "whole"])
@pytest.mark.parametrize("outputs", [3, 16, 19])
def test_gradients_are_those_of_torch(shape, kernel, small, outputs, monkeypatch):
    monkeypatch.setattr("bench.models.convolution.SMALL", small)
    tensors = inputs(shape, 11, outputs, kernel, torch.float64)
    found = convolve(*tensors, padding=kernel // 2)
    expected = PLAIN[len(shape)](*tensors, padding=kernel // 2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, tensors), gradients(expected, tensors))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("small", [0, 2**22], ids=["by slabs", "whole"])
def test_a_chain_is_its_layers_in_a_row(shape, small, monkeypatch):
    monkeypatch.setattr("bench.models.convolution.SMALL", small)
    layer = LAYERS[len(shape)]
    chain = Chain(
        layer(2, 11, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        layer(11, 19, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        layer(19, 3, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    ).double()
    tensors = [torch.randn(2, 2, *shape, dtype=torch.float64), *chain.parameters()]
    tensors[0].requires_grad_()
    found, expected = chain(tensors[0]), nn.Sequential(*chain)(tensors[0])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, tensors), gradients(expected, tensors))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("stride", "padding", "kernel"), [(2, 1, 4), (1, 0, 3), (2, 1, 3)])
def test_other_strides_and_paddings_are_those_of_torch(shape, stride, padding, kernel):
    tensors = inputs(shape, 11, 18, kernel, torch.float64)
    found = convolve(*tensors, stride=stride, padding=padding)
    expected = PLAIN[len(shape)](*tensors, stride=stride, padding=padding)
    torch.testing.assert_close(gradients(found, tensors), gradients(expected, tensors))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("small", [0, 2**22], ids=["by slabs", "whole"])
def test_doubling_equals_interpolating_first(shape, small, monkeypatch):
    monkeypatch.setattr("bench.models.convolution.SMALL", small)
    tensors = inputs(shape, 10, 16, dtype=torch.float64)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    doubled = F.interpolate(tensors[0], scale_factor=2, mode=mode)
    expected = PLAIN[len(shape)](doubled, *tensors[1:], padding=1)
    found = convolve_doubled(*tensors)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, tensors), gradients(expected, tensors))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("small", [0, 2**22], ids=["by slabs", "whole"])
def test_frozen_weights_let_gradients_through(shape, small, monkeypatch):
    monkeypatch.setattr("bench.models.convolution.SMALL", small)
    layer = LAYERS[len(shape)](2, 3, 3, padding=1).double().requires_grad_(False)
    image = torch.randn(1, 2, *[4] * len(shape), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, image)
    assert torch.autograd.gradcheck(lambda x: convolve_doubled(x, layer.weight), image)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("small", [0, 2**22], ids=["by slabs", "whole"])
def test_bfloat16_is_near_float32(shape, small, monkeypatch):
    monkeypatch.setattr("bench.models.convolution.SMALL", small)
    tensors = inputs(shape, 34, 34)
    expected = gradients(convolve(*tensors, padding=1), tensors)
    with torch.autocast("cpu", torch.bfloat16):
        output = convolve(*tensors, padding=1)
    assert output.dtype == torch.bfloat16
    for rough, exact in zip(gradients(output.float(), tensors), expected, strict=True):
        torch.testing.assert_close(rough, exact, rtol=0.05, atol=0.02 * exact.abs().max().item())
