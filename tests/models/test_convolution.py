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
    weight_gradient,
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
@pytest.mark.parametrize("outputs", [2, 16, 19, 24, 25])
def test_gradients_are_those_of_torch(shape, kernel, outputs):
    tensors = inputs(shape, 11, outputs, kernel, torch.float64)
    found = convolve(*tensors, padding=kernel // 2)
    expected = PLAIN[len(shape)](*tensors, padding=kernel // 2)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, tensors), gradients(expected, tensors))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("small", [0, 2**22])
def test_weight_gradient_takes_another_way_to_the_same(shape, small, monkeypatch):
    monkeypatch.setattr("bench.models.convolution.SMALL", small)
    x, weight, _ = inputs(shape, 11, 19)
    gradient = torch.randn(2, 19, *shape).contiguous(memory_format=CHANNELS_LAST[x.ndim])
    calls = []
    real = torch.ops.aten.convolution_backward

    def counted(*arguments):
        calls.append(arguments[0].shape)
        return real(*arguments)

    monkeypatch.setattr(torch.ops.aten, "convolution_backward", counted)
    with torch.no_grad():
        found = weight_gradient(x, gradient, weight)
    expected = real(
        gradient, x, weight, None, [1] * len(shape), [1] * len(shape), [1] * len(shape),
        False, [0] * len(shape), 1, [False, True, False],
    )[1]  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
    assert {size[1] for size in calls} == {16, 11}
    assert (len(calls) > 2) == (small == 0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("stride", "padding", "kernel"), [(2, 1, 4), (1, 0, 3), (2, 1, 3)])
def test_other_strides_and_paddings_are_those_of_torch(shape, stride, padding, kernel):
    tensors = inputs(shape, 11, 18, kernel, torch.float64)
    found = convolve(*tensors, stride=stride, padding=padding)
    expected = PLAIN[len(shape)](*tensors, stride=stride, padding=padding)
    torch.testing.assert_close(gradients(found, tensors), gradients(expected, tensors))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("outputs", [3, 16])
def test_doubling_equals_interpolating_first(shape, outputs):
    tensors = inputs(shape, 10, outputs, dtype=torch.float64)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    doubled = F.interpolate(tensors[0], scale_factor=2, mode=mode)
    expected = PLAIN[len(shape)](doubled, *tensors[1:], padding=1)
    found = convolve_doubled(*tensors)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, tensors), gradients(expected, tensors))


@pytest.mark.parametrize("shape", SHAPES)
def test_doubling_keeps_only_the_half(shape):
    x, weight, bias = inputs(shape, 10, 16)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda saved: kept.append(saved.shape) or saved, lambda saved: saved
    ):
        convolve_doubled(x, weight, bias)
    assert sorted(kept) == sorted([x.shape, weight.shape])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("last", [3, 16])
def test_chain_equals_plain_layers(shape, last):
    torch.manual_seed(0)
    layer = LAYERS[len(shape)]
    chain = Chain(
        layer(2, 12, 4, 2, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        layer(12, 18, 3, padding=1),
        nn.LeakyReLU(0.1, inplace=True),
        layer(18, last, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
    ).double()
    image = torch.randn(2, 2, *shape, dtype=torch.float64, requires_grad=True)
    plain, found = image, chain(image)
    for module in chain:
        if isinstance(module, nn.LeakyReLU):
            plain = F.leaky_relu(plain, module.negative_slope)
        else:
            convolution = PLAIN[len(shape)]
            plain = convolution(plain, module.weight, module.bias, module.stride, module.padding)
    torch.testing.assert_close(found, plain)
    tensors = [image, *chain.parameters()]
    torch.testing.assert_close(gradients(found, tensors), gradients(plain, tensors))
    with torch.no_grad():
        torch.testing.assert_close(chain(image), plain)


@pytest.mark.parametrize("shape", SHAPES)
def test_frozen_weights_let_gradients_through(shape):
    torch.manual_seed(0)
    layer = LAYERS[len(shape)]
    chain = Chain(
        layer(1, 12, 3, padding=1), nn.LeakyReLU(0.2, inplace=True), layer(12, 2, 3, padding=1)
    ).double()
    chain.requires_grad_(False)
    image = torch.randn(1, 1, *[4] * len(shape), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(chain, image)


@pytest.mark.parametrize("shape", SHAPES)
def test_bfloat16_is_near_float32(shape):
    tensors = inputs(shape, 34, 34)
    expected = gradients(convolve(*tensors, padding=1), tensors)
    with torch.autocast("cpu", torch.bfloat16):
        output = convolve(*tensors, padding=1)
    assert output.dtype == torch.bfloat16
    for own, exact in zip(gradients(output.float(), tensors), expected, strict=True):
        torch.testing.assert_close(own, exact, rtol=0.05, atol=0.02 * exact.abs().max().item())
