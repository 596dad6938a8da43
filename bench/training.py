"""The shared trainer: one loop for every network here.

It counts in optimizer steps, validates every so many of them, keeps the checkpoint that is best
on validation loss and the last state, and goes on from the last state when started again. All
that is random in step k is seeded by (seed, k): a resumed training gives the same numbers as one
that never stopped.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from bench.checkpoints import save_network
from bench.devices import make_fabric
from bench.distributed import launch
from bench.errors import Diverged, Interrupted, OutOfMemory
from bench.interrupts import collected_signals
from bench.progress import TrainingProgress
from bench.schedule import Schedule
from bench.seeding import derive_seed
from bench.settings import TrainerSettings
from bench.store import BEST, HISTORY, write_csv
from bench.training_state import TrainingState

FLUSH_EVERY = 20  # steps between two looks at the losses, which cost a synchronization


class Task(Protocol):
    """What the trainer trains.

    Attributes:
        name: How messages call it, such as "ncc on brain".
        network: The network; the trainer moves it to the device.
        description: What a checkpoint says about the network, JSON-serializable.
        advice: What to try when the loss is not finite.
    """

    name: str
    network: nn.Module
    description: dict[str, Any]
    advice: str

    def prepare(self, device: torch.device) -> None:
        """Moves whatever else is needed to the device."""

    def loss(
        self, network: Callable[..., Tensor], positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """Scalars of one batch, `loss` among them, from the training samples at `positions`."""

    def validate(
        self, network: Callable[..., Tensor], settings: TrainerSettings, device: torch.device
    ) -> dict[str, float]:
        """Means over the validation split, `loss` among them."""


@dataclass(frozen=True)
class Fitted:
    """How a training went.

    Attributes:
        steps: Steps trained.
        best_step: Step of the best validation loss, whose weights are kept.
        best: Validation scores at that step.
        seconds: Time in training and validation, over all sessions.
        history: One row per validation.
    """

    steps: int
    best_step: int
    best: dict[str, float]
    seconds: float
    history: list[dict[str, float]] = field(repr=False)


Callback = Callable[[dict[str, float]], None]


def fit(
    task: Task,
    settings: TrainerSettings,
    folder: Path,
    seed: int,
    on_validation: Callback | None = None,
) -> Fitted:
    """Trains a network, or goes on training it from its last state.

    Args:
        task: What is trained.
        settings: How.
        folder: Where `best.safetensors`, `last.pt` and `history.csv` go; must exist.
        seed: Determines dropout; the samples are the task's affair.
        on_validation: Called with each row of the history; with several devices after the end.

    Raises:
        Diverged: If a loss is not finite.
        OutOfMemory: If the device has too little memory.
        Interrupted: If SIGINT or SIGTERM came; the last state has been saved.
    """
    fabric = make_fabric(settings)
    if settings.devices == 1:
        return _fit_in_memory(fabric, task, settings, folder, seed, on_validation)
    fitted = launch(fabric, _fit, task, settings, folder, seed, None)
    for row in fitted.history if on_validation else []:
        assert on_validation is not None
        on_validation(row)
    return fitted


def _fit_in_memory(
    fabric: Fabric,
    task: Task,
    settings: TrainerSettings,
    folder: Path,
    seed: int,
    on_validation: Callback | None,
) -> Fitted:
    """Trains; out of memory, with smaller forward passes if the settings want that."""
    initial = copy.deepcopy(task.network.state_dict())
    while True:
        try:
            return _fit(fabric, task, settings, folder, seed, on_validation)
        except torch.OutOfMemoryError as error:
            smaller = settings.halved() if settings.on_oom == "halve" else None
            batch = f"trainer.batch_size={settings.batch_size}"
            reason = str(error).partition(". ")[0]
            if smaller is None:
                raise OutOfMemory(
                    f"{task.name}: out of memory with {batch} ({reason}). Try "
                    f"{'trainer.on_oom=halve, ' if settings.halved() else ''}narrower "
                    "model.channels or a smaller dataset.shape."
                ) from error
        print(
            f"{task.name}: out of memory with {batch}; going on with {smaller.batch_size} and "
            f"{smaller.accumulate} accumulated"
        )
        settings = smaller
        task.network.load_state_dict(initial)  # which the last state replaces, if there is one
        task.network.zero_grad()
        if fabric.device.type == "cuda":
            torch.cuda.empty_cache()


def _fit(
    fabric: Fabric,
    task: Task,
    settings: TrainerSettings,
    folder: Path,
    seed: int,
    on_validation: Callback | None,
) -> Fitted:
    device = fabric.device
    if fabric.world_size > 1:
        task.network = copy.deepcopy(task.network)  # what is spawned shares memory on CPU
    task.prepare(device)
    task.network.to(memory_format=_memory_format(task.network))  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(task.network.parameters(), lr=settings.lr)
    schedule = Schedule(optimizer, settings)
    network, wrapped_optimizer = fabric.setup(task.network, optimizer)
    state = TrainingState.resume(folder, task.network, optimizer, schedule)
    leads = fabric.is_global_zero
    if state.step and leads:
        print(f"{task.name}: going on from step {state.step} of {settings.steps}")

    def diverged(what: str) -> Diverged:
        return Diverged(
            f"{task.name}: {what}. Try a lower trainer.lr (now {settings.lr:g}), "
            f"trainer.precision=float32, or {task.advice}."
        )

    checkpoint_every = settings.checkpoint_every or settings.validate_every
    pending: list[dict[str, Tensor]] = []
    start = time.perf_counter() - state.seconds
    with (
        collected_signals() as stop,
        TrainingProgress(task.name, settings.steps, settings.progress and leads) as progress,
    ):
        while state.step < settings.steps and not _stops_early(state, settings):
            network.train()
            torch.manual_seed(derive_seed(seed, "dropout", state.step, fabric.global_rank))
            pending.append(_step(fabric, task, network, wrapped_optimizer, settings, state.step))
            schedule.after_step()
            state.step += 1
            validates = state.step % settings.validate_every == 0 or state.step == settings.steps
            saves = validates or state.step % checkpoint_every == 0
            looks = saves or len(pending) >= FLUSH_EVERY
            stopping = _agree(fabric, bool(stop), looks)
            if looks or stopping:
                state.add(pending, diverged, fabric.all_reduce)
                pending.clear()
                progress.update(state.step, state.mean_loss)
            if validates:
                network.eval()
                with torch.no_grad():
                    scores = fabric.broadcast(task.validate(network, settings, device))
                schedule.after_validation(scores["loss"])
                row = state.validated(scores, schedule.lr, time.perf_counter() - start, diverged)
                if leads:
                    if state.is_best:
                        description = {**task.description, "step": state.step}
                        save_network(folder / BEST, task.network, description)
                    write_csv(folder / HISTORY, state.history)
                    progress.validated(row)
                if on_validation is not None:
                    on_validation(row)
            if saves or stopping:
                state.seconds = time.perf_counter() - start
                if leads:
                    state.save(folder, task.network, optimizer, schedule)
            if stopping and state.step < settings.steps:
                raise Interrupted(
                    f"Interrupted at step {state.step} of {settings.steps}; the state is saved. "
                    "The same command goes on from there."
                )
    return Fitted(state.step, state.best_step, state.best, state.seconds, state.history)


def _agree(fabric: Fabric, flag: bool, now: bool) -> bool:
    """Whether any process raised its flag; several of them ask each other only `now`."""
    if fabric.world_size == 1:
        return flag
    return now and bool(fabric.all_reduce(torch.tensor(float(flag)), reduce_op="sum") > 0)


def _stops_early(state: TrainingState, settings: TrainerSettings) -> bool:
    return settings.early_stopping is not None and state.stale >= settings.early_stopping


def _step(
    fabric: Fabric,
    task: Task,
    network: Any,
    optimizer: Any,
    settings: TrainerSettings,
    step: int,
) -> dict[str, Tensor]:
    """One optimizer step over the accumulated batches; returns detached means."""
    share = settings.batch_size // settings.devices
    totals: dict[str, Tensor] = {}
    for part in range(settings.accumulate):
        last = part == settings.accumulate - 1
        first = (step * settings.accumulate + part) * settings.batch_size
        first += fabric.global_rank * share
        with fabric.no_backward_sync(network, enabled=not last and settings.devices > 1):
            losses = task.loss(network, range(first, first + share), fabric.device)
            fabric.backward(losses["loss"] / settings.accumulate)
        for name, value in losses.items():
            value = value.detach() / settings.accumulate
            totals[name] = totals[name] + value if name in totals else value
    if settings.clip_norm is not None:
        norm = fabric.clip_gradients(
            network, optimizer, max_norm=settings.clip_norm, error_if_nonfinite=False
        )
        assert norm is not None
        totals["gradient_norm"] = norm
    optimizer.step()
    optimizer.zero_grad()
    return totals


def _memory_format(network: nn.Module) -> torch.memory_format:
    three = any(isinstance(layer, nn.Conv3d) for layer in network.modules())
    return torch.channels_last_3d if three else torch.channels_last
