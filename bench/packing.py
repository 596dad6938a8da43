"""Several registrations trained together: one batch of pairs, one batched forward pass."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench.data.loading import PairBatch, TrainingPairs
from bench.devices import make_fabric
from bench.errors import ConfigError, OutOfMemory
from bench.models.flow import displacement_of
from bench.models.layout import to_channels_last
from bench.registration import Registration
from bench.settings import TrainerSettings
from bench.trainee import Callback, Trainee
from bench.training import Losses, add_means, train


class Packed(nn.Module):
    """Networks of one architecture as a single one, over their stacked parameters.

    Gradients reach the parameters of each network, and batch statistics its buffers, as if it had
    been called alone; dropout drops the same channels in all of them.

    Args:
        networks: Of one class, with the same arguments.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, *inputs: Tensor) -> Any:
        """What one network returns for the inputs, each tensor with a first axis over networks."""
        parameters = _stacked([dict(network.named_parameters()) for network in self.networks])
        buffers = _stacked([dict(network.named_buffers()) for network in self.networks])

        def call(own: dict[str, Tensor], state: dict[str, Tensor], *inputs: Tensor) -> Any:
            return functional_call(self.networks[0], (own, state), inputs)

        outputs = torch.vmap(call, (0, 0, *[None] * len(inputs)), randomness="same")(
            parameters, buffers, *inputs
        )
        for number, network in enumerate(self.networks):
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name][number])
        return outputs


def _stacked(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([own[name] for own in tensors]) for name in tensors[0]}


def fit_pack(
    tasks: Sequence[Registration],
    settings: TrainerSettings,
    folders: Sequence[Path],
    seed: int,
    callbacks: Sequence[Callback | None],
) -> list[Trainee]:
    """Trains networks that differ in λ only, as `bench.training.fit` trains each.

    They share pairs, augmentation, the fixed images' features and the forward pass; each has its
    own optimizer, schedule, history and checkpoints.

    Args:
        tasks: On the same training pairs.
        settings: How; one device.
        folders: Of each, see `fit`.
        seed: Determines dropout.
        callbacks: Of each, see `fit`.

    Returns:
        Their trainings, in order, some perhaps ended by an error. Those that did not stand at the
        same step as the first are left out, as they were.

    Raises:
        OutOfMemory: If the device has too little memory.
        Interrupted: If SIGINT or SIGTERM came; the last states have been saved.
    """
    fabric = make_fabric(settings)
    for task in tasks[1:]:
        task.similarity = tasks[0].similarity  # which keeps the features of fixed images
    trainees = [
        Trainee(fabric, task, settings, folder, callback)
        for task, folder, callback in zip(tasks, folders, callbacks, strict=True)
    ]
    together = [own for own in trainees if own.state.step == trainees[0].state.step]
    try:
        train(fabric, together, _step, seed)
    except torch.OutOfMemoryError as error:
        raise OutOfMemory(
            f"{tasks[0].name}: out of memory with trainer.pack={len(together)} and "
            f"trainer.batch_size={settings.batch_size} ({str(error).partition('. ')[0]}). Try a "
            "smaller trainer.pack."
        ) from error
    return together


def try_packing(networks: Sequence[nn.Module], inputs: Sequence[Tensor]) -> None:
    """Calls the networks together once, forward and backward, in the layout of training.

    Raises:
        ConfigError: If that does not work.
    """
    packed = Packed(networks).eval()
    to_channels_last(packed)
    try:
        u, _ = displacement_of(packed(*inputs))
        u.sum().backward()
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(
            f"trainer.pack: {type(networks[0]).__name__} networks cannot be called together "
            f"({reason}). Use trainer.pack=1."
        ) from error
    packed.zero_grad()


def shared_batch(
    training: TrainingPairs, positions: Sequence[int], device: torch.device
) -> PairBatch:
    """The samples at these positions: labels are read once, and fixed images can be told apart."""
    batch = training.batch(positions, device)
    if batch.read_segmentations is not None:
        batch.read_segmentations = functools.cache(batch.read_segmentations)
    if batch.fixed_ids is None:
        batch.fixed_ids = tuple(-1 - position for position in positions)  # no number of a subject
    return batch


def _step(trainees: Sequence[Trainee], number: int) -> list[Losses]:
    """One optimizer step of each over the same accumulated batches; detached means."""
    fabric, settings = trainees[0].fabric, trainees[0].settings
    tasks = [cast(Registration, trainee.task) for trainee in trainees]
    packed = Packed([task.network for task in tasks])
    totals: list[Losses] = [{} for _ in trainees]
    for part in range(settings.accumulate):
        first = (number * settings.accumulate + part) * settings.batch_size
        positions = range(first, first + settings.batch_size)
        batch = shared_batch(tasks[0].training, positions, fabric.device)
        with fabric.autocast():
            output = packed(batch.moving, batch.fixed)
        each = zip(*displacement_of(output), strict=True)
        losses = [
            task.losses(batch, u, regularized)
            for task, (u, regularized) in zip(tasks, each, strict=True)
        ]
        fabric.backward(torch.stack([own["loss"] for own in losses]).sum() / settings.accumulate)
        for mean, own in zip(totals, losses, strict=True):
            add_means(mean, own, settings.accumulate)
    return [{**mean, **trainee.descend()} for mean, trainee in zip(totals, trainees, strict=True)]
