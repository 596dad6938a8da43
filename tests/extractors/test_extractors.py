"""Surrogate networks, the frozen extractor, and VGG-16 with its weights."""

import hashlib
import math
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
import torch
import torch.nn.functional as F
from conf_options import setup_of, tiny_experiment
from torch import nn

from bench.config.contents import file_digest
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import read_images
from bench.errors import BenchError, ConfigError
from bench.extractors.autoencoder import Autoencoder
from bench.extractors.frozen import Extractor
from bench.extractors.pretrained import official_file
from bench.extractors.segmenter import Segmenter
from bench.extractors.vgg import VGG16
from bench.runs.extractors import obtain_extractor
from bench.similarity.building import Learner, build_extractor
from bench.store.layout import BEST, EXTRACTORS
from bench.store.listing import list_folders
from bench.tasks.registration.assembly import build_parts

SHAPES = [(17, 22), (10, 13, 15)]
CHANNELS = [4, 6, 8]


def image(shape, batch=2, channels=1):
    return torch.rand(batch, channels, *shape, generator=torch.Generator().manual_seed(0))


def autoencoder(ndim, channels=1):
    torch.manual_seed(0)
    return Autoencoder(ndim, channels, 0, CHANNELS, norm=False, dropout=False).eval()


def segmenter(ndim, classes=5):
    torch.manual_seed(0)
    return Segmenter(ndim, 1, classes, CHANNELS, norm=False, dropout=False).eval()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", [autoencoder, segmenter])
def test_features_are_three_levels_of_halved_size(shape, make):
    features = make(len(shape)).features(image(shape))
    assert [tuple(f.shape) for f in features] == [
        (2, width, *(math.ceil(size / 2**level) for size in shape))
        for level, width in enumerate(CHANNELS, start=1)
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_autoencoder_reconstructs_the_size_within_zero_and_one(shape):
    network = autoencoder(len(shape), channels=2)
    output = network(20 * image(shape, channels=2) - 10)
    assert output.shape == (2, 2, *shape)
    assert output.min() >= 0
    assert output.max() <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_autoencoder_starts_from_the_mean_intensity_of_each_channel(shape):
    network = autoencoder(len(shape), channels=2)
    images = image(shape, batch=5, channels=2)
    images[:, 0] *= 0.1
    images[:, 1] = 1 - images[:, 1] / 2
    network.start_from(images)
    with torch.no_grad():
        output = network(images)
    for channel, mean in enumerate(images.mean(dim=[0, *range(2, images.ndim)])):
        odds = mean / (1 - mean)
        found = output[:, channel] / (1 - output[:, channel])
        assert 0.7 * odds < found.mean() < 1.4 * odds


@pytest.mark.parametrize(("level", "least", "most"), [(0, 1e-3, 0.05), (1, 0.95, 0.999)])
def test_autoencoder_can_start_from_black_and_from_white(level, least, most):
    network = autoencoder(2)
    network.start_from(torch.full((3, 1, 16, 24), float(level)))
    with torch.no_grad():
        assert least < network(torch.full((1, 1, 16, 24), float(level))).mean() < most


@pytest.mark.parametrize("seed", [0, 1])
def test_autoencoder_of_mostly_dark_volumes_still_learns_after_30_steps(seed):
    shape = (16, 16, 16)
    points = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"))
    ball = ((points - 7.5).square().sum(dim=0) < 4**2) * (0.5 + 0.3 * image(shape, batch=4))
    torch.manual_seed(seed)
    network = Autoencoder(3, 1, 0, [16, 32, 64], norm=False, dropout=False)
    network.start_from(ball)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(31):
        optimizer.zero_grad()
        output = network(ball)
        network.loss(output, ball, None).backward()
        optimizer.step()
    assert output.min() > 0
    assert max(p.grad.abs().max() for p in network.parameters()) > 1e-5


@pytest.mark.parametrize("logit", [-300.0, 300.0])
def test_autoencoder_comes_back_from_where_the_sigmoid_is_flat(logit):
    network = autoencoder(2)
    images = image((16, 24), batch=2)
    network.network.head[-1].bias.data.fill_(logit)
    output = network(images)
    assert torch.equal(output, torch.full_like(output, float(logit > 0)))
    network.loss(output, images, None).backward()
    slope = network.network.head[-1].bias.grad.item()
    assert slope * logit > 0
    assert abs(slope) == pytest.approx(0.02 * (output - images).abs().mean().item(), rel=1e-4)


@pytest.mark.parametrize(("logit", "intensity"), [(-20.0, -0.3), (20.0, 1.3)])
def test_intensities_out_of_range_do_not_pull_the_autoencoder_on_for_ever(logit, intensity):
    network = autoencoder(2)
    network.network.head[-1].bias.data.fill_(logit)
    images = torch.full((1, 1, 16, 24), intensity)
    network.loss(network(images), images, None).backward()
    assert abs(network.network.head[-1].bias.grad.item()) < 1e-6


def test_autoencoder_has_no_skips():
    """All that passes from input to output goes through the coarsest stage."""
    network = autoencoder(2)
    for parameter in network.network.backbone.encoder[-1].parameters():
        parameter.data.zero_()
    outputs = network(image((16, 24)))
    assert torch.equal(outputs[0], outputs[1])
    skipping = segmenter(2)
    for parameter in skipping.network.backbone.encoder[-1].parameters():
        parameter.data.zero_()
    outputs = skipping(image((16, 24)))
    assert not torch.equal(outputs[0], outputs[1])


def test_autoencoder_loss_and_score():
    network = autoencoder(2)
    target = image((8, 8))
    assert network.loss(target + 0.1, target, None).item() == pytest.approx(0.01, rel=1e-4)
    assert network.score(target + 0.1, target, None) == {
        "reconstruction_error": pytest.approx(0.1, rel=1e-4)
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_segmenter_scores_every_class_of_every_voxel(shape):
    assert segmenter(len(shape))(image(shape)).shape == (2, 5, *shape)


def test_segmenter_loss_and_dice():
    network = segmenter(2, classes=3)
    labels = torch.randint(3, (2, 1, 8, 8), dtype=torch.uint8)
    perfect = 100 * F.one_hot(labels[:, 0].long(), 3).movedim(-1, 1).float()
    assert network.loss(perfect, image((8, 8)), labels).item() == pytest.approx(0, abs=1e-6)
    assert network.score(perfect, image((8, 8)), labels) == {"dice": 1}
    nothing = torch.zeros_like(perfect)
    assert network.loss(nothing, image((8, 8)), labels).item() == pytest.approx(math.log(3))
    assert network.score(nothing, image((8, 8)), labels) == {"dice": 0}


def test_surrogate_says_why_it_cannot_read_other_images():
    network = autoencoder(2)
    assert network.supports(2, 1) is None
    assert network.supports(3, 1) == (
        "the extractor was trained on 2D images of 1 channel(s), but the data set has 3D images "
        "of 1"
    )


def test_frozen_extractor_has_no_gradients_of_its_own_and_ignores_dropout():
    network = Segmenter(2, 1, 3, CHANNELS, norm=True, dropout=True).train()
    extractor = Extractor(network)
    x = image((17, 22)).requires_grad_()
    first, second = extractor(x), extractor(x)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    sum(f.square().sum() for f in first).backward()
    assert x.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())


def learner_of(experiment, dataset):
    """A network of the experiment's extractor, with where it learns."""
    section = experiment["metric"]["extractor"]
    augmentation = Augmentation.from_config(experiment["dataset"]["augmentation"])
    network = build_extractor(section, dataset)
    return Learner(network, setup_of(experiment, dataset), section, augmentation)


def test_extractor_is_trained_once_and_then_read(tiny_datasets, tmp_path):
    experiment = tiny_experiment(
        2, "metric=deepsim_seg", f"results_dir={tmp_path}", "metric.extractor.steps=2"
    )
    learners = [learner_of(experiment, tiny_datasets[2]) for _ in range(2)]
    networks = [learner.network for learner in learners]
    first_time = obtain_extractor(learners[0])
    (folder,) = list_folders(tmp_path, EXTRACTORS)
    assert folder.status() == "finished"
    assert folder.path.name.startswith("demo-segmenter-seed0-")
    written = folder.file(BEST).stat().st_mtime_ns
    summary = folder.summary()
    assert first_time == {
        **{"task": "segmenter", "steps": 2, "name": folder.path.name},
        "scores": {"dice": summary["scores"]["dice"]["mean"]},
    }
    assert obtain_extractor(learners[1]) == first_time
    assert folder.file(BEST).stat().st_mtime_ns == written
    first, second = (network.state_dict() for network in networks)
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert not any(p.requires_grad for network in networks for p in network.parameters())


def test_training_of_an_autoencoder_starts_from_the_mean_of_its_images(tiny_datasets, tmp_path):
    overrides = ["metric=deepsim_ae", "metric.extractor.steps=1", "trainer.lr=1e-8"]
    torch.manual_seed(0)
    dataset = tiny_datasets[2]
    learner = learner_of(tiny_experiment(2, *overrides, f"results_dir={tmp_path}"), dataset)
    network = learner.network
    images = read_images(dataset, dataset.members("train"), torch.device("cpu"))
    before = network(images).mean()
    obtain_extractor(learner)
    after = network(images).mean()
    assert abs(after - images.mean()) < 0.05 < abs(before - images.mean())


@pytest.mark.parametrize("metric", ["deepsim_ae", "deepsim_csr", "deepsim_seg"])
def test_extractor_of_0_steps_keeps_the_weights_of_its_seed_and_stores_nothing(
    metric, tiny_datasets, tmp_path
):
    def weights(seed):
        overrides = [f"metric={metric}", "metric.extractor.steps=0", f"results_dir={tmp_path}"]
        experiment = tiny_experiment(2, *overrides, f"seed={seed}")
        (learner,) = build_parts(setup_of(experiment, tiny_datasets[2])).learners
        network = learner.network
        assert learner.section["steps"] == 0
        built = {name: value.clone() for name, value in network.state_dict().items()}
        obtain_extractor(learner)
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())
        kept = network.state_dict()
        assert all(torch.equal(value, kept[name]) for name, value in built.items())
        return torch.cat([p.flatten() for p in network.parameters()])

    first = weights(seed=0)
    assert torch.equal(first, weights(seed=0))
    assert not torch.equal(first, weights(seed=1))
    assert list(tmp_path.iterdir()) == []


class TestVGG:
    def test_reads_the_official_keys(self, vgg_weights):
        network = VGG16().read(vgg_weights)
        state = torch.load(vgg_weights, weights_only=True)
        convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        numbers = (0, 2, 5, 7, 10, 12, 14)
        for number, layer in zip(numbers, convolutions, strict=True):
            assert torch.equal(layer.weight, state[f"features.{number}.weight"])
            assert torch.equal(layer.bias, state[f"features.{number}.bias"])

    @pytest.mark.parametrize("channels", [1, 3])
    def test_normalizes_and_gives_relu_1_2_2_2_and_3_3(self, vgg_weights, channels):
        x = image((18, 22), channels=channels)
        found = VGG16(image_channels=channels).read(vgg_weights).features(x)
        state = torch.load(vgg_weights, weights_only=True)
        y = x.expand(-1, 3, -1, -1)
        y = (y - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
            [0.229, 0.224, 0.225]
        ).view(3, 1, 1)
        expected = []
        for level, numbers in enumerate(((0, 2), (5, 7), (10, 12, 14))):
            y = F.max_pool2d(y, 2) if level else y
            for number in numbers:
                weight, bias = (state[f"features.{number}.{kind}"] for kind in ("weight", "bias"))
                y = F.conv2d(y, weight, bias, padding=1).relu()
            expected.append(y)
        assert [tuple(f.shape) for f in found] == [(2, 64, 18, 22), (2, 128, 9, 11), (2, 256, 4, 5)]
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)

    def test_says_what_it_cannot_read(self):
        assert VGG16.supports(2, 1) is None
        assert VGG16.supports(2, 3) is None
        assert VGG16.supports(3, 1) == "VGG-16 is a 2D network, but the data set has 3D images"
        assert "reads grey or RGB images, but the data set has 2 channels" in VGG16.supports(2, 2)

    def test_weights_are_not_part_of_another_network(self, vgg_weights, tmp_path):
        state = torch.load(vgg_weights, weights_only=True)
        state["features.5.weight"] = torch.zeros(128, 64, 5, 5)
        path = tmp_path / "other.pth"
        torch.save(state, path)
        words = (
            r"other.pth: key 'features.5.weight' holds \(128, 64, 5, 5\), VGG-16 needs "
            r"\(128, 64, 3, 3\). Give the official VGG-16 state "
            r"dict \(https"
        )
        with pytest.raises(ConfigError, match=words):
            VGG16().read(path)

    def test_missing_key_is_named(self, vgg_weights, tmp_path):
        state = torch.load(vgg_weights, weights_only=True)
        del state["features.14.bias"]
        path = tmp_path / "short.pth"
        torch.save(state, path)
        words = r"short.pth: key 'features.14.bias' holds nothing, VGG-16 needs \(256,\)"
        with pytest.raises(ConfigError, match=words):
            VGG16().read(path)

    def test_file_that_holds_no_mapping_is_refused(self, tmp_path):
        path = tmp_path / "tensor.pth"
        torch.save(torch.zeros(3), path)
        with pytest.raises(ConfigError, match=r"key 'features.0.weight' holds nothing"):
            VGG16().read(path)

    def test_unreadable_file_is_refused_in_one_line(self, tmp_path):
        path = tmp_path / "noise.pth"
        path.write_bytes(b"<html>not found</html>")
        with pytest.raises(
            ConfigError, match=r"noise.pth: not a readable PyTorch state d"
        ) as raised:
            VGG16().read(path)
        assert "\n" not in str(raised.value)

    def test_missing_file_is_refused(self, tmp_path):
        words = r"nowhere.pth: no such file. Give the official VGG-16 state dict \(https"
        with pytest.raises(ConfigError, match=words):
            VGG16().read(tmp_path / "nowhere.pth")


def test_weights_are_identified_by_their_content(tmp_path):
    path = tmp_path / "file.pth"
    path.write_bytes(b"content")
    assert file_digest(path) == hashlib.sha256(b"content").hexdigest()
    with pytest.raises(
        ConfigError, match=r"metric.extractor.state_dict=.*nowhere.*: No such file or directory"
    ):
        file_digest(tmp_path / "nowhere.pth")


class Quiet(SimpleHTTPRequestHandler):
    """A file server that keeps its log to itself."""

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """The address of a web server, and the folder that it serves."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}", folder
        httpd.shutdown()
        thread.join()


def test_damaged_download_is_refused_and_leaves_no_file(server, tmp_path):
    address, served = server
    (served / "vgg16.pth").write_bytes(b"not the official weights")
    words = "is damaged: its SHA-256 does not begin with 397923af. Try again. Download http://"
    with pytest.raises(BenchError, match=words):
        official_file(tmp_path / "weights", f"{address}/vgg16.pth", "397923af", "VGG-16")
    assert list((tmp_path / "weights").iterdir()) == []


def test_address_without_a_file_is_one_line(server, tmp_path):
    with pytest.raises(
        BenchError, match=r"cannot be downloaded from .*404.*metric.extractor.state_dict=FILE"
    ):
        official_file(tmp_path / "weights", f"{server[0]}/nothing.pth", "397923af", "VGG-16")


def test_unreachable_address_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with HTTPServer(("127.0.0.1", 0), Quiet) as httpd:
        address = f"http://127.0.0.1:{httpd.server_port}/vgg16.pth"
    with pytest.raises(BenchError) as raised:
        official_file(tmp_path / "weights", address, "397923af", "VGG-16")
    line = str(raised.value)
    assert line.startswith(f"The state dict of VGG-16 cannot be downloaded from {address} (")
    assert line.endswith("elsewhere and pass metric.extractor.state_dict=FILE.")
    assert "\n" not in line
    assert list((tmp_path / "weights").iterdir()) == []


def test_weights_that_are_there_are_downloaded_again_only_if_they_are_damaged(
    server, tmp_path, capsys
):
    address, served = server
    content = b"as it is"
    digest = hashlib.sha256(content).hexdigest()[:8]
    path = tmp_path / "vgg16.pth"
    path.write_bytes(content)
    assert official_file(tmp_path, "http://127.0.0.1:9/vgg16.pth", digest, "VGG-16") == path
    (served / "vgg16.pth").write_bytes(content)
    path.write_bytes(b"as it iz")
    assert official_file(tmp_path, f"{address}/vgg16.pth", digest, "VGG-16") == path
    assert path.read_bytes() == content
    assert f"{path}: is damaged (its SHA-256 is not {digest}…)" in capsys.readouterr().out
