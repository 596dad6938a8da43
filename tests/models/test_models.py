"""Registration networks: the contract over all of conf/model, and the shared backbone."""

import pytest
import torch
from conf_options import compose, names, setup_of, tiny_experiment
from torch import nn

from bench.config.instantiation import build
from bench.errors import ConfigError, Unsupported
from bench.models import MonaiNetwork, VoxelMorph
from bench.models.building import OF_THE_SUITE
from bench.models.flow import displacement_of, finish_network
from bench.models.unet import FullResolution, Head, UNet, convolution, recompute, stage
from bench.spatial.displacement import integrate
from bench.tasks.registration.assembly import build_parts

SHAPES = [(17, 22), (10, 13, 15), (16, 24)]
SMALLER = {
    "voxelmorph": ["model.channels=[4,6,8]"],
    "pyramid": ["model.channels=[4,6,8]"],
    "segresnet": ["model.options.init_filters=8"],
    "swin_unetr": ["model.options.depths=[1,1,1,1]", "model.options.num_heads=[1,1,1,1]"],
}


def pair(shape, batch=2, channels=1):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(2, batch, channels, *shape, generator=generator).unbind()


def layers(network, *kinds):
    return [layer for layer in network.modules() if isinstance(layer, kinds)]


NETWORKS = [name for name in names("model") if "uses" not in compose([f"model={name}"])["model"]]


def finished(name, shape, channels=1, *overrides):
    """The network of an option, as a run begins with it."""
    options = compose([f"model={name}", *SMALLER.get(name, []), *overrides])["model"]
    arguments = {key: value for key, value in options.items() if key not in OF_THE_SUITE}
    torch.manual_seed(0)
    network = build(arguments, "model", ndim=len(shape), image_channels=channels)
    return finish_network(network, options["integrate"], options["flow_std"])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_every_model_gives_a_displacement_per_axis_for_any_size(name, shape, channels):
    model = finished(name, shape, channels).train()
    moving, fixed = pair(shape, channels=channels)
    u, _ = displacement_of(model(moving, fixed))
    assert u.shape == (2, len(shape), *shape)
    assert u.dtype == torch.float32
    assert u.abs().max() < 0.1
    u.square().sum().backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", SHAPES[:2])
def test_every_model_integrates_its_output_if_asked_to(name, shape):
    model = finished(name, shape, 1, "model.flow_std=3", "model.integrate=5").eval()
    u, velocity = displacement_of(model(*pair(shape)))
    torch.testing.assert_close(u, integrate(velocity, 5))
    assert (u - velocity).abs().max() > 1e-3
    assert torch.equal(displacement_of(model.network(*pair(shape)))[0], velocity)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("integrate=-1", "model.integrate=-1: must be 0, or a number of squarings"),
        ("integrate=1.5", "model.integrate=1.5: must be 0, or a number of squarings"),
        ("flow_std=0", "model.flow_std=0: must be a finite number"),
        ("flow_scale=4", "model.flow_scale=4: must be 1 or 2"),
        ("flow_scale=half", "model.flow_scale=half: must be 1 or 2"),
    ],
)
def test_impossible_settings_around_a_network_are_refused(override, words):
    with pytest.raises(ConfigError, match=words):
        finished("voxelmorph", (16, 16), 1, f"model.{override}")


def test_network_that_monai_lacks_is_refused():
    words = r"model\.network=NoNet: monai\.networks\.nets has no such"
    with pytest.raises(ConfigError, match=words):
        MonaiNetwork(2, 1, network="NoNet")


@pytest.mark.parametrize("shape", SHAPES)
def test_voxelmorph_starts_near_the_identity_and_sees_both_images(shape):
    model = finished("voxelmorph", shape).eval()
    moving, fixed = pair(shape)
    with torch.no_grad():
        u = model(moving, fixed)
        swapped = model(fixed, moving)
    assert 0 < u.abs().max() < 1e-2
    assert not torch.allclose(u, swapped, rtol=1e-3, atol=0)


def test_voxelmorph_computes_each_pair_of_a_batch_by_itself():
    model = VoxelMorph(2, 1, [4, 6, 8], norm=True, dropout=True).eval()
    moving, fixed = pair((17, 22))
    with torch.no_grad():
        apart = torch.cat([model(moving[i : i + 1], fixed[i : i + 1]) for i in range(2)])
        torch.testing.assert_close(model(moving, fixed), apart, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_flow_at_half_the_resolution_is_doubled_in_a_line(shape):
    model = finished("voxelmorph", shape, 1, "model.flow_scale=2", "model.flow_std=1").eval()
    halves = []
    model.network.head.register_forward_hook(lambda *passed: halves.append(passed[-1]))
    u = model(*pair(shape))
    [half] = halves
    padded = [-(-size // 8) * 8 for size in shape]
    assert half.shape == (2, len(shape), *(size // 2 for size in padded))
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    doubled = torch.nn.functional.interpolate(half, size=padded, mode=mode)
    assert u.abs().max() > 0.01
    torch.testing.assert_close(u, doubled[(..., *(slice(size) for size in shape))])


@pytest.mark.parametrize("scale", [1, 2])
def test_flow_lies_where_the_images_do(scale):
    """What changes far from a place does not change the displacement there, on either side."""
    options = [f"model.flow_scale={scale}", "model.flow_std=1", "model.channels=[8]"]
    model = finished("voxelmorph", (64, 64), 1, *options).double().eval()
    moving, fixed = (image[:1].double() for image in pair((64, 64)))
    spot = torch.zeros_like(moving)
    spot[:, :, 31:33, 31:33] = 1  # symmetric about the middle
    changed = (model(moving + spot, fixed) - model(moving, fixed)).abs().amax((0, 1)) > 0
    touched = changed.any(1).nonzero().flatten()
    assert touched.min() + touched.max() == 63


def test_networks_of_both_flow_scales_begin_with_the_same_backbone():
    first, second = (finished("voxelmorph", (16, 24), 1, f"model.flow_scale={n}") for n in (1, 2))
    weights = [model.network.backbone.state_dict() for model in (first, second)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize("ndim", [2, 3])
def test_norm_and_dropout_can_be_switched(ndim):
    norm = (nn.BatchNorm2d, nn.BatchNorm3d)[ndim - 2]
    dropout = (nn.Dropout2d, nn.Dropout3d)[ndim - 2]

    def count(**switches):
        model = VoxelMorph(ndim, 1, [4, 6, 8], **switches)
        return len(layers(model, norm)), len(layers(model, dropout))

    assert count(norm=False, dropout=False) == (0, 0)
    assert count(norm=True, dropout=False) == (3, 0)
    assert count(norm=False, dropout=True) == (0, 6)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("skips", [True, False])
def test_decoder_widths_mirror_the_encoder(ndim, skips):
    network = UNet(ndim, 3, [4, 6, 8], norm=True, dropout=True, skips=skips)
    encoder = [layers(stage, nn.Conv2d, nn.Conv3d) for stage in network.encoder]
    decoder = [layers(stage, nn.Conv2d, nn.Conv3d) for stage in network.decoder]
    assert [[c.in_channels for c in stage] for stage in encoder] == [[3, 4], [4, 6], [6, 8]]
    assert [[c.out_channels for c in stage] for stage in encoder] == [[4, 4], [6, 6], [8, 8]]
    assert [[c.out_channels for c in stage] for stage in decoder] == [[8, 8], [6, 6], [4, 4]]
    inputs = [stage[0].in_channels for stage in decoder]
    assert inputs == ([8, 8 + 6, 6 + 4] if skips else [8, 8, 6])
    assert network.outputs == (4 + 3 if skips else 4)
    assert all(c.stride == (2,) * ndim and c.kernel_size == (4,) * ndim for c, _ in encoder)


@pytest.mark.parametrize("ndim", [2, 3])
def test_encoder_halves_and_decoder_restores_the_size(ndim):
    network = UNet(ndim, 1, [4, 6, 8], norm=False, dropout=False)
    image = torch.rand(1, 1, *(16, 24, 8)[:ndim])
    stages = network.encoder(image)
    assert [tuple(s.shape[2:]) for s in stages] == [
        tuple(size // 2**level for size in image.shape[2:]) for level in (1, 2, 3)
    ]
    assert network(image).shape == (1, network.outputs, *image.shape[2:])


def test_last_skip_is_the_input_itself():
    network = UNet(2, 2, [4, 6], norm=False, dropout=False)
    image = torch.rand(1, 2, 8, 12)
    assert torch.equal(network(image)[:, -2:], image)


@pytest.mark.parametrize("shape", [(2, 3, 6), (4, 2, 8), (2, 2, 2), (3, 4, 5)])
@pytest.mark.parametrize(
    ("layers", "inputs"),
    [
        (lambda: convolution(3, 16, 16, 3), 16),
        (lambda: convolution(3, 16, 16, 4, 2), 16),
        (lambda: stage(3, 16, 16, dropout=False), 16),
        (lambda: stage(3, 16, 16, dropout=False, joins=True), 16),
    ],
    ids=["kernel 3", "stride 2", "stage", "doubled"],
)
def test_bfloat16_gradient_is_right_on_small_maps(layers, inputs, shape):
    torch.manual_seed(0)
    network = layers()
    x = torch.randn(2, inputs, *shape).contiguous(memory_format=torch.channels_last_3d)
    found = []
    for enabled in (False, True):
        junk = [torch.full((size,), torch.nan) for size in (1_000, 30_000, 1_000_000)]
        del junk  # so that reading what was not written shows
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            y = network(x)
        found.append(torch.autograd.grad(y.float().square().sum(), list(network.parameters())))
    for own, exact in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(own, exact, rtol=0.05, atol=0.1 * exact.abs().max().item())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("skips", [0, 2])
def test_joining_equals_concatenating(shape, skips):
    head = Head(len(shape), 3 + skips, 2, last_kernel=3).double()
    half = torch.rand(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    size = [2 * edge for edge in shape]
    skip = torch.rand(2, skips, *size, dtype=torch.float64, requires_grad=True)
    inputs = [half, skip, *head.parameters()] if skips else [half, *head.parameters()]
    expected = head.plain(half, skip if skips else None)
    found = head(half, skip if skips else None)
    torch.testing.assert_close(found, expected)
    theirs = torch.autograd.grad(expected.square().sum(), inputs)
    torch.testing.assert_close(torch.autograd.grad(found.square().sum(), inputs), theirs)


@pytest.mark.parametrize("shape", SHAPES)
def test_full_resolution_keeps_any_size(shape):
    backbone = UNet(len(shape), 1, [4, 6], norm=False, dropout=False)
    network = FullResolution(backbone, Head(len(shape), backbone.outputs, 5, last_kernel=1))
    assert network(torch.rand(2, 1, *shape)).shape == (2, 5, *shape)


@pytest.mark.parametrize("shape", [(21, 16), (38, 9, 12)])
@pytest.mark.parametrize("skips", [True, False])
def test_recomputing_changes_neither_output_nor_gradients(shape, skips):
    ndim = len(shape)
    backbone = UNet(ndim, 1, [4, 6], norm=False, dropout=False, skips=skips)
    network = FullResolution(backbone, Head(ndim, backbone.outputs, 2, last_kernel=3)).double()
    image = torch.rand(2, 1, *shape, dtype=torch.float64)
    found = []
    for again in (False, True):
        if again:
            recompute(network)
        output = network(image)
        gradients = torch.autograd.grad(output.square().sum(), list(network.parameters()))
        found.append((output.detach(), *gradients))
    torch.testing.assert_close(found[1], found[0])


def test_recomputing_keeps_no_maps_of_the_head():
    kept = []
    backbone = UNet(2, 1, [4], norm=False, dropout=False)
    network = FullResolution(backbone, Head(2, backbone.outputs, 2, last_kernel=3))
    for again in (False, True):
        if again:
            recompute(network)
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda saved, shapes=shapes: shapes.append(saved.shape) or saved, lambda saved: saved
        ):
            network(torch.rand(1, 1, 32, 32))
        kept.append([s for s in shapes if s[1] == backbone.outputs and s[-1] == 32])
    assert kept[0]
    assert not kept[1]


def test_recomputing_says_what_it_cannot_do(capsys):
    recompute(torch.nn.Conv2d(1, 1, 3))
    said = "trainer.recompute: Conv2d has no head at full resolution, continuing without\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("channels", [[], [0], [4, -1], [4, 2.5], [True], ["4"]])
def test_widths_that_are_not_whole_numbers_above_zero_are_refused(channels):
    with pytest.raises(ConfigError, match="must be a list of whole numbers above 0, one per stag"):
        UNet(2, 1, channels, norm=False, dropout=False)


class FlatFlow(nn.Module):
    """A model that forgets an axis."""

    def __init__(self, ndim, image_channels):
        super().__init__()

    def forward(self, moving, fixed):
        return torch.zeros(len(moving), 1, *moving.shape[2:])


class Picky(FlatFlow):
    """A model that cannot take the image."""

    def forward(self, moving, fixed):
        raise ValueError("sizes must be multiples of 16")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            "FlatFlow",
            r"model=mine returns a displacement of shape \(1, 1, 17, 22\) for 2D images of shape "
            r"\(17, 22\) with 1 channel\(s\), but needs \(1, 2, 17, 22\), one channel per axis.",
        ),
        (
            "Picky",
            r"model=mine cannot take the 2D images of shape \(17, 22\) with 1 channel\(s\) of "
            r"dataset=demo \(sizes must be multiples of 16\). Choose another model",
        ),
    ],
)
def test_model_that_does_not_fit_is_refused_before_training(model, words, tiny_datasets):
    experiment = tiny_experiment(2)
    experiment.config["model"] = {"name": "mine", "_target_": f"{__name__}.{model}"}
    with pytest.raises(Unsupported, match=words):
        build_parts(setup_of(experiment, tiny_datasets[2]))


def test_padding_of_a_network_is_at_least_to_one():
    with pytest.raises(ConfigError, match=r"model.multiple=0: must be a whole number"):
        MonaiNetwork(2, 1, "SegResNet", multiple=0)
