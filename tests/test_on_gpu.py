"""What only a GPU can show: the same numbers as on the processor, bfloat16, compiled steps."""

from dataclasses import replace

import pytest
import torch
from conf_options import names, setup_of, tiny_experiment
from similarity_pairs import SHAPES, Counted, build_metric, displacement, images

from bench.config.settings import TrainerSettings
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs
from bench.models.network import NetworkMethod
from bench.pair import Pair
from bench.similarity.building import extractors_of
from bench.spatial.displacement import integrate, warp
from bench.spatial.jacobian import jacobian_determinant
from bench.tasks.registration.assembly import build_parts
from bench.tasks.registration.testing import score_pairs
from bench.tasks.registration.training import NetworkTraining
from bench.training.loop import fit

GPU = torch.device("cuda")
CPU = torch.device("cpu")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


@pytest.fixture(autouse=True)
def exact_products():
    """float32 convolutions in float32, so that numbers compare with the processor's."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False):
        yield


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("name", names("metric"))
def test_metric_has_the_value_and_gradient_of_the_processor(name, ndim, tiny_datasets, vgg_weights):
    metric, reason = build_metric(name, ndim, tiny_datasets[ndim], vgg_weights)
    if reason is not None:
        pytest.skip(reason)
    for extractor in extractors_of(metric):
        extractor.precision = torch.float32
    shape = SHAPES[ndim]
    found = []
    for device in (CPU, GPU):
        for extractor in extractors_of(metric):
            extractor.to(device)
        labels = Counted(shape)
        labels.maps = labels.maps.to(device)
        u = displacement(shape).to(device).requires_grad_()
        moving, fixed = (image.to(device) for image in images(shape))
        value = metric(Pair(moving, fixed, u, labels, 4))
        value.backward()
        found.append((value.detach().cpu(), u.grad.cpu()))
    torch.testing.assert_close(found[1][0], found[0][0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1][1], found[0][1], rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES.values())
@pytest.mark.parametrize("function", [jacobian_determinant, integrate])
def test_fields_are_those_of_the_processor(shape, function):
    u = displacement(shape)
    torch.testing.assert_close(function(u.to(GPU)).cpu(), function(u))


@pytest.mark.parametrize("shape", SHAPES.values())
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_warp_is_that_of_the_processor(shape, mode):
    image, _ = images(shape)
    u = displacement(shape)
    torch.testing.assert_close(warp(image.to(GPU), u.to(GPU), mode).cpu(), warp(image, u, mode))


def registration(dataset, *overrides):
    experiment = tiny_experiment(dataset.ndim, *overrides)
    parts = build_parts(setup_of(experiment, dataset))
    objective = replace(parts.objective, weight=0.02)
    training = TrainingPairs(dataset, Augmentation(), seed=0)
    return NetworkTraining("", parts.model, {}, objective, training)


def folders(path, count):
    """Empty folders to train in."""
    found = [path / str(number) for number in range(count)]
    for folder in found:
        folder.mkdir(parents=True)
    return found


def settings(**changes):
    given = {"steps": 6, "batch_size": 2, "lr": 1e-3, "validate_every": 3, "precision": "float32"}
    return TrainerSettings(**{**given, "progress": False, **changes})


def losses(task, folder, device, **changes):
    given = {"accelerator": device.type, "steps": 12, "validate_every": 4, **changes}
    return [row["val_loss"] for row in fit(task, settings(**given), folder, seed=0).history]


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("metric", ["mse", "ncc", "ncc_sup", "deepsim_seg"])
def test_training_follows_that_of_the_processor(metric, ndim, tiny_datasets, tmp_path):
    first, second = folders(tmp_path, 2)
    dataset = tiny_datasets[ndim]
    expected = losses(registration(dataset, f"metric={metric}"), first, CPU)
    found = losses(registration(dataset, f"metric={metric}"), second, GPU)
    assert found == pytest.approx(expected, rel=2e-2)


@pytest.mark.parametrize(
    "changes", [{"precision": "bfloat16"}, {"compile": True}, {"compile": "graphs"}], ids=str
)
def test_faster_training_follows_the_plain_one(changes, tiny_datasets, tmp_path, capsys):
    first, second = folders(tmp_path, 2)
    expected = losses(registration(tiny_datasets[3], "metric=ncc"), first, GPU)
    found = losses(registration(tiny_datasets[3], "metric=ncc"), second, GPU, **changes)
    assert found == pytest.approx(expected, rel=5e-2)
    assert "not possible here" not in capsys.readouterr().out


def test_test_pairs_have_the_scores_of_the_processor(tiny_datasets, tmp_path):
    dataset = tiny_datasets[3]
    task = registration(dataset, "metric=mse")
    fit(task, settings(accelerator="cpu"), folders(tmp_path, 1)[0], seed=0)
    network = task.network.eval()
    expected, found = (
        [
            case.scores
            for case in score_pairs(
                NetworkMethod(network.to(device), torch.float32), task.objective, dataset, device
            )
        ]
        for device in (CPU, GPU)
    )
    for one, other in zip(expected, found, strict=True):
        assert other["dice"] == pytest.approx(one["dice"], abs=5e-3)
        assert other["sdlogj"] == pytest.approx(one["sdlogj"], rel=1e-2)
