"""Registrations trained together give the numbers that each gives alone."""

import copy
import csv

import pytest
import torch
from conf_options import tiny_experiment

from bench.assembly import build_parts
from bench.checkpoints import load_network
from bench.data.augmentation import Augmentation
from bench.data.loading import TrainingPairs
from bench.errors import ConfigError, Diverged
from bench.models import VoxelMorph
from bench.models.layout import to_channels_last
from bench.packing import Packed, fit_pack, try_packing
from bench.registration import Registration
from bench.settings import TrainerSettings
from bench.store import BEST, HISTORY
from bench.training import fit

WEIGHTS = (0.01, 0.1, 1.0)
AUGMENTATION = {"rotation": 10, "translation": 2, "flip": True}


def settings(**changes):
    given = {
        "steps": 6,
        "batch_size": 2,
        "lr": 1e-3,
        "validate_every": 3,
        "clip_norm": 1.0,
        "precision": "float32",
        "accelerator": "cpu",
        "progress": False,
    }
    return TrainerSettings(**(given | changes))


def tasks(dataset, *overrides, weights=WEIGHTS, augmentation=AUGMENTATION):
    """A registration for each λ, as they start in runs of their own."""
    found = []
    for weight in weights:
        experiment = tiny_experiment(dataset.ndim, *overrides)
        parts = build_parts(experiment, dataset)
        training = TrainingPairs(dataset, Augmentation.from_config(augmentation), seed=0)
        name = f"λ = {weight}"
        found.append(
            Registration(
                name, parts.model, {}, parts.similarity, parts.regularizer, weight, training
            )
        )
    return found


def folders(base, count=3):
    found = [base / str(number) for number in range(count)]
    for folder in found:
        folder.mkdir(parents=True, exist_ok=True)
    return found


def histories(where):
    found = []
    for folder in where:
        with open(folder / HISTORY, newline="") as file:
            rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
        found.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    return found


@pytest.mark.parametrize(
    ("ndim", "overrides"),
    [
        (2, ["metric=mse", "model.norm=false"]),
        (3, ["metric=ncc", "model.norm=true", "model.dropout=true"]),
        (2, ["metric=ncc_sup", "model.integrate=3"]),
        (2, ["metric=deepsim_ae"]),
    ],
)
def test_each_network_of_a_pack_learns_what_it_learns_alone(
    tiny_datasets, tmp_path, ndim, overrides
):
    dataset, own = tiny_datasets[ndim], settings(accumulate=2 if ndim == 2 else 1)
    together, alone = tasks(dataset, *overrides), tasks(dataset, *overrides)
    packed, single = folders(tmp_path / "packed"), folders(tmp_path / "single")
    rows = [[], [], []]
    trainees = fit_pack(together, own, packed, 7, [r.append for r in rows])
    for task, folder in zip(alone, single, strict=True):
        fit(task, own, folder, 7)
    ours, theirs = histories(packed), histories(single)
    for mine, other in zip(ours, theirs, strict=True):
        for row, expected in zip(mine, other, strict=True):
            assert row == pytest.approx(expected, rel=2e-3, abs=2e-6)
    assert ours[0] != ours[2]
    assert [len(r) for r in rows] == [2, 2, 2]
    for task, other, folder in zip(together, alone, packed, strict=True):
        for name, value in other.network.state_dict().items():
            torch.testing.assert_close(
                task.network.state_dict()[name], value, rtol=1e-2, atol=2e-4, msg=name
            )
        load_network(folder / BEST, task.network)
    assert [trainee.fitted().steps for trainee in trainees] == [6, 6, 6]


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_networks_of_usual_widths_are_called_as_alone(ndim, precision):
    torch.manual_seed(0)
    networks = [
        VoxelMorph(ndim, 1, (16, 32), norm=False, dropout=False, flow_std=0.1) for _ in "ab"
    ]
    for network in networks:
        to_channels_last(network)
    pair = torch.rand(2, 1, 1, *(16, 24, 8)[:ndim])
    layout = {2: torch.channels_last, 3: torch.channels_last_3d}[ndim]
    pair = [image.contiguous(memory_format=layout) for image in pair]
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        together = Packed(networks)(*pair)
        alone = torch.stack([network(*pair) for network in networks])
    assert together.dtype == alone.dtype
    largest = alone.abs().max().item()
    tolerance = 0.03 if precision == "bfloat16" else 1e-4
    torch.testing.assert_close(together, alone, rtol=tolerance, atol=tolerance * largest)
    found = [
        torch.autograd.grad(u.float().square().mean(), list(networks[1].parameters()))
        for u in (together[1], alone[1])
    ]
    for own, exact in zip(*found, strict=True):
        largest = exact.abs().max().item()
        torch.testing.assert_close(own, exact, rtol=tolerance, atol=5 * tolerance * largest)


def test_features_of_fixed_images_are_computed_once_for_all(tiny_datasets, tmp_path):
    together = tasks(tiny_datasets[2], "metric=deepsim_ae")
    calls = []
    extractor = together[0].similarity.extractor
    features = extractor.network.features

    def counted(image):
        calls.append(torch.is_grad_enabled())
        return features(image)

    extractor.network.features = counted
    fit_pack(together, settings(steps=1, validate_every=1), folders(tmp_path), 0, [None] * 3)
    assert calls[:4] == [False, True, True, True]
    assert True not in calls[4:]


def test_one_that_diverges_leaves_the_others_as_they_are_alone(tiny_datasets, tmp_path):
    weights = (0.1, float("inf"), 1.0)
    together = tasks(tiny_datasets[2], "metric=mse", weights=weights)
    packed = folders(tmp_path / "packed")
    trainees = fit_pack(together, settings(), packed, 0, [None] * 3)
    with pytest.raises(Diverged, match=r"λ = inf: loss is (nan|inf) at step 1"):
        trainees[1].fitted()
    alone = tasks(tiny_datasets[2], "metric=mse", weights=weights)
    for number in (0, 2):
        (folder,) = folders(tmp_path / f"single{number}", 1)
        fit(alone[number], settings(), folder, 0)
        for row, expected in zip(*histories([packed[number], folder]), strict=True):
            assert row == pytest.approx(expected, rel=2e-3, abs=2e-6)


def test_a_pack_goes_on_where_it_was(tiny_datasets, tmp_path):
    whole, halves = folders(tmp_path / "whole"), folders(tmp_path / "halves")
    fit_pack(tasks(tiny_datasets[2], "metric=mse"), settings(), whole, 0, [None] * 3)
    dataset = tiny_datasets[2]
    fit_pack(tasks(dataset, "metric=mse"), settings(steps=3), halves, 0, [None] * 3)
    trainees = fit_pack(tasks(dataset, "metric=mse"), settings(), halves, 0, [None] * 3)
    assert histories(halves) == histories(whole)
    assert len(trainees) == 3


def test_those_at_another_step_are_left_as_they_are(tiny_datasets, tmp_path):
    dataset, where = tiny_datasets[2], folders(tmp_path)
    fit(tasks(dataset, "metric=mse")[1], settings(steps=3), where[1], 0)
    trainees = fit_pack(tasks(dataset, "metric=mse"), settings(), where, 0, [None] * 3)
    assert [trainee.folder for trainee in trainees] == [where[0], where[2]]
    assert len(histories([where[1]])[0]) == 1


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_pack_returns_what_its_networks_return(ndim):
    torch.manual_seed(0)
    networks = [
        VoxelMorph(ndim, 1, channels=(4, 6), norm=True, dropout=False, flow_std=0.1)
        for _ in range(3)
    ]
    alone = copy.deepcopy(networks)
    images = torch.rand(2, 2, 1, *(11, 14, 9)[:ndim])
    outputs = Packed(networks)(*images)
    for network, output in zip(alone, outputs, strict=True):
        torch.testing.assert_close(network(*images), output, rtol=1e-4, atol=1e-5)
    for network, other in zip(networks, alone, strict=True):
        for name, value in other.named_buffers():
            torch.testing.assert_close(dict(network.named_buffers())[name], value)
    assert not torch.allclose(outputs[0], outputs[1])


def test_networks_that_cannot_be_called_together_are_refused():
    class Fickle(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, moving, fixed):
            return moving if float(self.weight) > 0 else fixed

    with pytest.raises(ConfigError, match=r"Fickle networks cannot be called together .*pack=1"):
        try_packing([Fickle(), Fickle()], [torch.rand(1, 1, 4, 4)] * 2)
