"""The shared trainer: one loop for every network here.

It counts in optimizer steps, validates every so many of them, keeps the checkpoint that is best
on validation loss and the last state, and goes on from the last state when started again. All
that is random in step k is seeded by (seed, k): a resumed training gives the same numbers as one
that never stopped.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.config.settings import TrainerSettings
from bench.errors import Interrupted, OutOfMemory
from bench.seeding import derive_seed
from bench.training.devices import make_fabric
from bench.training.distributed import launch
from bench.training.interrupts import collected_signals
from bench.training.memory import keep_freed_memory
from bench.training.progress import TrainingProgress
from bench.training.trainee import Callback, Fitted, Trainable, Trainee

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FLUSH_EVERY = 20  # steps between two looks at the losses, which cost a synchronization


def fit(
    trainable: Trainable,
    settings: TrainerSettings,
    folder: Path,
    seed: int,
    on_validation: Callback | None = None,
) -> Fitted:
    """Trains a network, or goes on training it from its last state.

    Args:
        trainable: What is trained.
        settings: How.
        folder: Where `best.safetensors`, `last.pt` and `history.csv` go; must exist.
        seed: Determines dropout; the trainable draws the samples.
        on_validation: Called with each row of the history; with several devices after the end.

    Raises:
        Diverged: If a loss is not finite.
        OutOfMemory: If the device has too little memory.
        Interrupted: If SIGINT or SIGTERM came; the last state has been saved.
    """
    fabric = make_fabric(settings)
    if settings.devices == 1:
        return _fit_in_memory(fabric, trainable, settings, folder, seed, on_validation)
    fitted = launch(fabric, _fit, trainable, settings, folder, seed, None)
    for row in fitted.history if on_validation else []:
        assert on_validation is not None
        on_validation(row)
    return fitted


def _fit_in_memory(
    fabric: "Fabric",
    trainable: Trainable,
    settings: TrainerSettings,
    folder: Path,
    seed: int,
    on_validation: Callback | None,
) -> Fitted:
    """Trains; out of memory, with smaller forward passes if the settings want that."""
    initial = copy.deepcopy(trainable.network.state_dict())
    while True:
        try:
            return _fit(fabric, trainable, settings, folder, seed, on_validation)
        except torch.OutOfMemoryError as error:
            smaller = settings.halved() if settings.on_oom == "halve" else None
            batch = f"trainer.batch_size={settings.batch_size}"
            reason = str(error).partition(". ")[0]
            if smaller is None:
                raise OutOfMemory(
                    f"{trainable.name}: out of memory with {batch} ({reason}). Try "
                    f"{'trainer.on_oom=halve, ' if settings.halved() else ''}narrower "
                    "model.channels or a smaller dataset.shape."
                ) from error
        print(
            f"{trainable.name}: out of memory with {batch}; continuing with {smaller.batch_size} "
            f"and {smaller.accumulate} accumulated"
        )
        settings = smaller
        trainable.network.load_state_dict(initial)  # which the last state replaces, if there is one
        trainable.network.zero_grad()
        if fabric.device.type == "cuda":
            torch.cuda.empty_cache()


def _fit(
    fabric: "Fabric",
    trainable: Trainable,
    settings: TrainerSettings,
    folder: Path,
    seed: int,
    on_validation: Callback | None,
) -> Fitted:
    if fabric.world_size > 1:
        trainable.network = copy.deepcopy(trainable.network)  # what is spawned shares memory on CPU
    trainee = Trainee(fabric, trainable, settings, folder, on_validation)
    train(trainee, seed)
    return trainee.fitted()


def train(trainee: Trainee, seed: int) -> None:
    """Trains a network step by step, to its end.

    Args:
        trainee: Where it stands, from its last state.
        seed: Determines dropout.

    Raises:
        Diverged: If a loss is not finite.
        Interrupted: If SIGINT or SIGTERM came; the last state has been saved.
    """
    fabric, settings, name = trainee.fabric, trainee.settings, trainee.trainable.name
    if fabric.device.type == "cpu":
        keep_freed_memory()
    leads = fabric.is_global_zero
    if trainee.state.step and leads:
        print(f"{name}: continuing from step {trainee.state.step} of {settings.steps}")
    checkpoint_every = settings.checkpoint_every or settings.validate_every
    with (
        collected_signals() as stop,
        TrainingProgress(name, settings.steps, settings.progress and leads) as progress,
    ):
        trainee.start_watch()
        while not trainee.is_done:
            trainee.network.train()
            torch.manual_seed(derive_seed(seed, "dropout", trainee.state.step, fabric.global_rank))
            trainee.stepped(optimizer_step(trainee))
            done = trainee.state.step
            validates = done % settings.validate_every == 0 or done == settings.steps
            saves = validates or done % checkpoint_every == 0
            looks = saves or len(trainee.pending) >= FLUSH_EVERY
            stopping = _agree(fabric, bool(stop), looks)
            if looks or stopping:
                trainee.look()
                progress.update(done, trainee.state.mean_loss)
            if validates:
                trainee.validate()
                progress.validated(trainee.state.history[-1])
            if saves or stopping:
                trainee.save()
            if stopping and done < settings.steps:
                raise Interrupted(
                    f"Interrupted at step {done} of {settings.steps}; the state is saved. The same "
                    "command continues from there."
                )


def _agree(fabric: "Fabric", flag: bool, now: bool) -> bool:
    """Whether any process raised its flag; several of them ask each other only `now`."""
    if fabric.world_size == 1:
        return flag
    return now and bool(fabric.all_reduce(torch.tensor(float(flag)), reduce_op="sum") > 0)


def optimizer_step(trainee: Trainee) -> dict[str, Tensor]:
    """One optimizer step over the accumulated batches; detached mean losses."""
    fabric, network, settings = trainee.fabric, trainee.network, trainee.settings
    share = settings.batch_size // settings.devices
    totals: dict[str, Tensor] = {}
    for part in range(settings.accumulate):
        last = part == settings.accumulate - 1
        first = (trainee.state.step * settings.accumulate + part) * settings.batch_size
        first += fabric.global_rank * share
        with fabric.no_backward_sync(network, enabled=not last and settings.devices > 1):
            losses = trainee.trainable.loss(network, range(first, first + share), fabric.device)
            fabric.backward(losses["loss"] / settings.accumulate)
        for name, value in losses.items():
            value = value.detach() / settings.accumulate
            totals[name] = totals[name] + value if name in totals else value
    return {**totals, **trainee.descend()}
