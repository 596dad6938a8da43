"""The trainer, on a linear regression that takes milliseconds."""

import csv
import math
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from torch import nn

from bench.config.settings import TrainerSettings
from bench.errors import Diverged, Interrupted, OutOfMemory, StoreError
from bench.store.checkpoints import load_network, load_state, save_network, save_state
from bench.store.layout import BEST, HISTORY, LAST
from bench.training.loop import fit

SETTINGS = TrainerSettings(
    steps=12,
    batch_size=4,
    lr=0.05,
    validate_every=4,
    precision="float32",
    accelerator="cpu",
    progress=False,
)
TRUE = torch.tensor([[1.0, -2.0, 0.5]])


class Stop(Exception):
    """Ends a training from outside, as a crash would."""


class Regression:
    """Fits y = TRUE x; sample number n is the same in every training."""

    name = "line on numbers"
    advice = "straighter lines"

    def __init__(
        self, dropout=0.0, fails_at=None, validation=None, spoiled_from=None, factor=math.nan
    ):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(3, 8), nn.Dropout(dropout), nn.Linear(8, 1))
        self.description = {"network": {"_target_": "line"}}
        self.fails_at = fails_at
        self.validation = validation
        self.spoiled_from, self.factor = spoiled_from, factor
        self.batches = 0
        self.positions = []

    def prepare(self, device):
        self.device = device

    def samples(self, positions):
        rows = [torch.randn(3, generator=torch.Generator().manual_seed(n)) for n in positions]
        x = torch.stack(rows)
        return x, x @ TRUE.T

    def loss(self, network, positions, device):
        if self.batches == self.fails_at:
            raise Stop
        self.batches += 1
        self.positions += list(positions)
        x, y = self.samples(positions)
        error = (network(x) - y).square().mean()
        if self.spoiled_from is not None and self.batches >= self.spoiled_from:
            error = error * self.factor
        return {"loss": error, "error": error.sqrt()}

    def validate(self, network, settings, device):
        if self.validation is not None:
            return {"loss": self.validation.pop(0)}
        x, y = self.samples(range(1000, 1010))
        return {"loss": float((network(x) - y).square().mean())}


def flip(path, place):
    """Flips a bit at a place, given as a share of the file."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)


def weights(task):
    return torch.cat([p.detach().flatten() for p in task.network.parameters()])


def stored_weights(folder):
    task = Regression()
    load_network(folder / BEST, task.network)
    return weights(task)


def rows(folder):
    with open(folder / HISTORY, newline="") as file:
        return list(csv.DictReader(file))


def test_training_lowers_the_loss_and_counts(tmp_path):
    task = Regression()
    fitted = fit(task, SETTINGS, tmp_path, seed=0)
    assert fitted.steps == 12
    assert [row["step"] for row in fitted.history] == [4, 8, 12]
    losses = [row["val_loss"] for row in fitted.history]
    assert losses == sorted(losses, reverse=True)
    assert fitted.best == {"loss": losses[-1]}
    assert fitted.best_step == 12
    assert task.positions == list(range(48))
    assert fitted.seconds > 0


def test_history_is_written_with_means_since_the_last_validation(tmp_path):
    fitted = fit(Regression(), SETTINGS, tmp_path, seed=0)
    stored = rows(tmp_path)
    assert list(stored[0]) == ["step", "train_loss", "train_error", "val_loss", "lr", "seconds"]
    assert [{k: float(v) for k, v in row.items()} for row in stored] == fitted.history
    (tmp_path / "each").mkdir()
    whole = fit(Regression(), replace(SETTINGS, validate_every=1), tmp_path / "each", seed=0)
    single = [row["train_loss"] for row in whole.history]
    assert fitted.history[1]["train_loss"] == pytest.approx(sum(single[4:8]) / 4)


def test_callback_gets_every_row(tmp_path):
    seen = []
    fitted = fit(Regression(), SETTINGS, tmp_path, 0, seen.append)
    assert seen == fitted.history


def test_last_step_validates_even_if_it_is_no_multiple(tmp_path):
    fitted = fit(Regression(), replace(SETTINGS, steps=10), tmp_path, seed=0)
    assert [row["step"] for row in fitted.history] == [4, 8, 10]


@pytest.mark.parametrize("fails_at", [1, 5, 6, 9, 11])
@pytest.mark.parametrize("checkpoint_every", [None, 1, 3])
@pytest.mark.parametrize("schedule", [{"plateau_patience": 0}, {"schedule": "cosine", "warmup": 2}])
def test_resumed_training_gives_the_same_weights_bit_for_bit(
    tmp_path, fails_at, checkpoint_every, schedule
):
    settings = replace(SETTINGS, checkpoint_every=checkpoint_every, **schedule)
    folders = [tmp_path / name for name in ("undisturbed", "resumed")]
    for folder in folders:
        folder.mkdir()
    undisturbed = Regression(dropout=0.5)
    expected = fit(undisturbed, settings, folders[0], seed=3)
    with pytest.raises(Stop):
        fit(Regression(dropout=0.5, fails_at=fails_at), settings, folders[1], seed=3)
    resumed = Regression(dropout=0.5)
    fitted = fit(resumed, settings, folders[1], seed=3)
    assert torch.equal(weights(resumed), weights(undisturbed))
    assert torch.equal(stored_weights(folders[1]), stored_weights(folders[0]))
    kept = max(fails_at // every * every for every in (4, checkpoint_every or 4))
    assert resumed.positions == list(range(4 * kept, 48))
    for row, other in zip(fitted.history, expected.history, strict=True):
        assert {k: v for k, v in row.items() if k != "seconds"} == {
            k: v for k, v in other.items() if k != "seconds"
        }
    assert (fitted.best_step, fitted.best) == (expected.best_step, expected.best)


def test_seed_determines_dropout(tmp_path):
    tasks = []
    for i, seed in enumerate((0, 0, 1)):
        (tmp_path / str(i)).mkdir()
        tasks.append(Regression(dropout=0.5))
        fit(tasks[-1], SETTINGS, tmp_path / str(i), seed)
    assert torch.equal(weights(tasks[0]), weights(tasks[1]))
    assert not torch.equal(weights(tasks[0]), weights(tasks[2]))


def test_finished_training_is_not_trained_further(tmp_path):
    first = fit(Regression(), SETTINGS, tmp_path, seed=0)
    again = Regression()
    assert fit(again, SETTINGS, tmp_path, seed=0) == first
    assert again.positions == []


@pytest.mark.parametrize("name", [LAST, BEST])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.99])
def test_flipped_bit_starts_training_from_the_beginning_and_says_so(tmp_path, name, place, capsys):
    task = Regression(fails_at=9)
    with pytest.raises(Stop):
        fit(task, SETTINGS, tmp_path, seed=0)
    flip(tmp_path / name, place)
    again = Regression()
    fitted = fit(again, SETTINGS, tmp_path, seed=0)
    assert len(again.positions) == 48
    assert len(fitted.history) == 3
    assert f"{tmp_path / name}: " in (said := capsys.readouterr().out)
    assert "training starts from the beginning" in said


def test_state_of_another_network_starts_from_the_beginning_and_says_so(tmp_path, capsys):
    fit(Regression(), replace(SETTINGS, steps=8), tmp_path, seed=0)
    wider = Regression()
    wider.network = nn.Linear(3, 1)
    assert len(fit(wider, SETTINGS, tmp_path, seed=0).history) == 3
    assert f"{tmp_path / LAST}: is of another network" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["network", "optimizer", "schedule", "state"])
@pytest.mark.parametrize("content", [{"x": 1}, None])
def test_state_of_another_program_starts_from_the_beginning(tmp_path, part, content, capsys):
    """Its checksum is right, so somebody has written it as it is."""
    (tmp_path / "plain").mkdir()
    plain = fit(Regression(), SETTINGS, tmp_path / "plain", seed=0)
    with pytest.raises(Stop):
        fit(Regression(fails_at=9), SETTINGS, tmp_path, seed=0)
    save_state(tmp_path / LAST, {**(load_state(tmp_path / LAST) or {}), part: content})
    fitted = fit(Regression(), SETTINGS, tmp_path, seed=0)
    line = f"{tmp_path / LAST}: is of another network or training; training starts from the beg"
    assert line in capsys.readouterr().out
    losses = [[row["val_loss"] for row in one.history] for one in (fitted, plain)]
    assert losses[0] == losses[1]


class Interrupting(Regression):
    """Sends its own process a signal in the sixth step."""

    def loss(self, network, positions, device):
        if self.batches == 5:
            os.kill(os.getpid(), self.number)
        return super().loss(network, positions, device)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_the_state_and_the_same_command_goes_on(tmp_path, number):
    for name in "ab":
        (tmp_path / name).mkdir()
    before = signal.getsignal(number)
    task = Interrupting()
    task.number = number
    words = "Interrupted at step 6 of 12; the state is saved. The same command continues from there"
    with pytest.raises(Interrupted, match=words):
        fit(task, SETTINGS, tmp_path / "a", seed=0)
    assert signal.getsignal(number) == before
    resumed, undisturbed = Regression(), Regression()
    fit(resumed, SETTINGS, tmp_path / "a", seed=0)
    fit(undisturbed, SETTINGS, tmp_path / "b", seed=0)
    assert resumed.positions == list(range(24, 48))
    assert torch.equal(weights(resumed), weights(undisturbed))


@pytest.mark.parametrize("validate_every", [4, 12])
def test_loss_that_is_not_finite_stops_with_step_name_and_advice(tmp_path, validate_every):
    settings = replace(SETTINGS, validate_every=validate_every)
    with pytest.raises(Diverged) as raised:
        fit(Regression(spoiled_from=7), settings, tmp_path, seed=0)
    assert str(raised.value) == (
        "line on numbers: loss is nan at step 7. Try a lower trainer.lr (now 0.05), "
        "trainer.precision=float32, or straighter lines."
    )


def test_network_that_gets_no_gradient_stops(tmp_path):
    task = Regression(spoiled_from=6, factor=0.0)
    words = "line on numbers: the gradient is 0 in all 4 steps up to 12. Try a lower trainer.lr"
    with pytest.raises(Diverged, match=words):
        fit(task, replace(SETTINGS, clip_norm=1.0, steps=16), tmp_path, seed=0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_validation_loss_that_is_not_finite_stops(tmp_path, value):
    words = f"line on numbers: the validation loss is {value} at step 8. Try a lower trainer.lr"
    with pytest.raises(Diverged, match=words):
        fit(Regression(validation=[1.0, value, 1.0]), SETTINGS, tmp_path, seed=0)


def test_best_checkpoint_is_that_of_the_least_validation_loss(tmp_path):
    settings = replace(SETTINGS, steps=16)
    fitted = fit(Regression(validation=[3.0, 1.0, 2.0, 1.0]), settings, tmp_path, seed=0)
    assert (fitted.best_step, fitted.best) == (8, {"loss": 1.0})
    (tmp_path / "until_8").mkdir()
    until_8 = Regression()
    fit(until_8, replace(SETTINGS, steps=8), tmp_path / "until_8", seed=0)
    assert torch.equal(stored_weights(tmp_path), weights(until_8))


def test_best_checkpoint_describes_its_network(tmp_path):
    fit(Regression(), SETTINGS, tmp_path, seed=0)
    description = load_network(tmp_path / BEST, Regression().network)
    assert description == {"network": {"_target_": "line"}, "step": 12}


def test_early_stopping_ends_after_so_many_validations_without_a_better_loss(tmp_path):
    settings = replace(SETTINGS, steps=40, early_stopping=2)
    task = Regression(validation=[3.0, 1.0, 2.0, 1.5, 0.1])
    fitted = fit(task, settings, tmp_path, seed=0)
    assert (fitted.steps, fitted.best_step) == (16, 8)
    again = Regression(validation=[0.1] * 9)
    assert fit(again, settings, tmp_path, seed=0).steps == 16
    assert again.positions == []


def test_learning_rate_falls_on_a_plateau(tmp_path):
    settings = replace(SETTINGS, steps=16, plateau_factor=0.5, plateau_patience=1)
    fitted = fit(Regression(validation=[1.0, 2.0, 2.0, 2.0]), settings, tmp_path, seed=0)
    assert [row["lr"] for row in fitted.history] == pytest.approx([0.05, 0.05, 0.025, 0.025])


def test_learning_rate_rises_and_falls_along_a_cosine(tmp_path):
    settings = replace(SETTINGS, steps=8, validate_every=1, schedule="cosine", warmup=4)
    fitted = fit(Regression(), settings, tmp_path, seed=0)
    rates = [0.05 * rate for rate in (0.5, 0.75, 1, 1, 0.853553, 0.5, 0.146447, 0)]
    assert [row["lr"] for row in fitted.history] == pytest.approx(rates, abs=1e-7)


def test_two_accumulated_batches_of_two_equal_one_of_four(tmp_path):
    trained = []
    for batch_size, accumulate in ((4, 1), (2, 2), (1, 4)):
        folder = tmp_path / str(batch_size)
        folder.mkdir()
        settings = replace(SETTINGS, batch_size=batch_size, accumulate=accumulate)
        task = Regression()
        fitted = fit(task, settings, folder, seed=0)
        trained.append((weights(task), fitted.history[-1]["train_loss"], task.positions))
    for other in trained[1:]:
        torch.testing.assert_close(other[0], trained[0][0], rtol=0, atol=1e-5)
        assert other[1] == pytest.approx(trained[0][1], rel=1e-4)
        assert other[2] == trained[0][2]


def test_two_devices_train_as_one_and_write_one_history(tmp_path):
    """Each takes half of every batch, so that together they see what one would."""
    histories, stored = [], []
    for devices in (1, 2):
        folder = tmp_path / str(devices)
        folder.mkdir()
        seen = []
        fitted = fit(Regression(), replace(SETTINGS, devices=devices), folder, 0, seen.append)
        assert seen == fitted.history
        assert [int(row["step"]) for row in rows(folder)] == [4, 8, 12]
        histories.append(fitted.history)
        stored.append(stored_weights(folder))
    torch.testing.assert_close(stored[1], stored[0], rtol=0, atol=1e-5)
    for column in ("val_loss", "train_loss"):
        one, two = ([row[column] for row in history] for history in histories)
        assert two == pytest.approx(one, rel=1e-4), column


def test_divergence_on_two_devices_is_reported_as_on_one(tmp_path):
    words = r"line on numbers: loss is nan at step 7. Try a lower trainer.lr \(now 0.05\)"
    with pytest.raises(Diverged, match=words):
        fit(Regression(spoiled_from=7), replace(SETTINGS, devices=2), tmp_path, seed=0)


def test_network_survives_writing_and_reading(tmp_path):
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)).to(
        memory_format=torch.channels_last
    )
    save_network(tmp_path / BEST, network, {"network": {"channels": [1, 3]}})
    other = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3))
    assert load_network(tmp_path / BEST, other) == {"network": {"channels": [1, 3]}}
    for name, value in network.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    with safe_open(tmp_path / BEST, framework="pt") as file:
        assert "0.weight" in set(file.keys())


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 0.999])
def test_checkpoint_with_a_flipped_bit_is_refused(tmp_path, place):
    save_network(tmp_path / BEST, nn.Linear(30, 10), {"network": {"channels": [1, 3]}})
    flip(tmp_path / BEST, place)
    other = nn.Linear(30, 10)
    before = other.weight.clone()
    with pytest.raises(StoreError, match=r"best\.safetensors: is not a readable checkpoint"):
        load_network(tmp_path / BEST, other)
    assert torch.equal(other.weight, before)


@pytest.mark.parametrize("content", [None, b"", b"noise" * 100])
def test_damaged_checkpoint_is_named(tmp_path, content):
    if content is not None:
        (tmp_path / BEST).write_bytes(content)
    words = r"best.safetensors: is not a readable checkpoint of this network \(.*\). Delete its fo"
    with pytest.raises(StoreError, match=words):
        load_network(tmp_path / BEST, nn.Linear(1, 1))


def test_checkpoint_of_another_network_is_refused(tmp_path):
    save_network(tmp_path / BEST, nn.Linear(3, 1), {})
    with pytest.raises(StoreError, match="is not a readable checkpoint of this network"):
        load_network(tmp_path / BEST, nn.Linear(4, 1))


class Hungry(Regression):
    """Has memory for `room` samples at a time, from its batch number `later` on."""

    def __init__(self, room, later=0):
        super().__init__()
        self.room = room
        self.later = later

    def loss(self, network, positions, device):
        losses = super().loss(network, positions, device)
        if self.batches > self.later and len(positions) > self.room:
            losses["loss"].backward()  # what a step that fails leaves behind must not count
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB.")
        return losses


@pytest.mark.parametrize(("room", "later"), [(2, 0), (1, 0), (2, 2), (1, 7)])
def test_halved_batches_give_the_numbers_of_whole_ones(room, later, tmp_path, capsys):
    trained = []
    for name, task in (("whole", Regression()), ("halved", Hungry(room, later))):
        (tmp_path / name).mkdir()
        fitted = fit(task, replace(SETTINGS, on_oom="halve"), tmp_path / name, seed=0)
        trained.append((weights(task), fitted.best["loss"]))
    torch.testing.assert_close(trained[1][0], trained[0][0])
    assert trained[1][1] == pytest.approx(trained[0][1], rel=1e-4)
    told = "out of memory with trainer.batch_size=4; continuing with 2 and 2 accumulated"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("on_oom", "room", "words"),
    [
        (
            "fail",
            2,
            r"with trainer.batch_size=4 \(CUDA out of memory\). Try trainer.on_oom=halve, ",
        ),
        ("halve", 0, r"with trainer.batch_size=1 \(CUDA out of memory\). Try narrower model.chan"),
    ],
)
def test_out_of_memory_says_what_to_do(on_oom, room, words, tmp_path):
    with pytest.raises(OutOfMemory, match=words):
        fit(Hungry(room), replace(SETTINGS, on_oom=on_oom), tmp_path, seed=0)
