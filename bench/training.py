"""The shared trainer: one loop for every network here.

It counts in optimizer steps, validates every so many of them, keeps the checkpoint that is best
on validation loss and the last state, and goes on from the last state when started again. All
that is random in step k is seeded by (seed, k): a resumed training gives the same numbers as one
that never stopped.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from bench.checkpoints import load_state, save_network, save_state
from bench.devices import make_fabric
from bench.errors import Diverged, Interrupted
from bench.progress import TrainingProgress
from bench.seeding import derive_seed
from bench.settings import TrainerSettings
from bench.store import BEST, HISTORY, LAST, write_csv

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


@dataclass
class _State:
    """What is saved to resume, besides network, optimizer and scheduler."""

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


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
        Interrupted: If SIGINT or SIGTERM came; the last state has been saved.
    """
    fabric = make_fabric(settings)
    if settings.devices == 1:
        return _fit(fabric, task, settings, folder, seed, on_validation)
    fitted = fabric.launch(_fit, task, settings, folder, seed, None)
    for row in fitted.history if on_validation else []:
        assert on_validation is not None
        on_validation(row)
    return fitted


def _fit(
    fabric: Fabric,
    task: Task,
    settings: TrainerSettings,
    folder: Path,
    seed: int,
    on_validation: Callback | None,
) -> Fitted:
    device = fabric.device
    task.prepare(device)
    task.network.to(memory_format=_memory_format(task.network))  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(task.network.parameters(), lr=settings.lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
    )
    network, wrapped_optimizer = fabric.setup(task.network, optimizer)
    state = _resume(folder, task.network, optimizer, scheduler)
    if state.step and fabric.is_global_zero:
        print(f"{task.name}: going on from step {state.step} of {settings.steps}")

    def save() -> None:
        if fabric.is_global_zero:
            save_state(
                folder / LAST,
                {
                    "network": task.network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scheduler": scheduler.state_dict(),
                    "state": dict(vars(state)),
                },
            )

    pending: list[dict[str, Tensor]] = []
    clock = time.perf_counter()
    checkpoint_every = settings.checkpoint_every or settings.validate_every
    with (
        _signals() as stop,
        TrainingProgress(
            task.name, settings.steps, settings.progress and fabric.is_global_zero
        ) as progress,
    ):
        while state.step < settings.steps and not _stops_early(state, settings):
            network.train()
            torch.manual_seed(derive_seed(seed, "dropout", state.step, fabric.global_rank))
            pending.append(_step(fabric, task, network, wrapped_optimizer, settings, state.step))
            state.step += 1
            validates = state.step % settings.validate_every == 0 or state.step == settings.steps
            saves = validates or state.step % checkpoint_every == 0
            looks = saves or len(pending) >= FLUSH_EVERY
            stopping = _agree(fabric, bool(stop), looks)
            if looks or stopping:
                _flush(pending, state, task, settings)
                progress.update(state.step, state.sums["loss"] / state.summed)
            if validates:
                network.eval()
                with torch.no_grad():
                    scores = fabric.broadcast(task.validate(network, settings, device))
                scheduler.step(scores["loss"])
                row = _history_row(state, scores, optimizer.param_groups[0]["lr"])
                row["seconds"] = state.seconds + time.perf_counter() - clock
                state.history.append(row)
                _keep_best(state, scores, task, folder, fabric.is_global_zero)
                if fabric.is_global_zero:
                    write_csv(folder / HISTORY, state.history)
                    progress.validated(row)
                if on_validation is not None:
                    on_validation(row)
            if saves or stopping:
                now = time.perf_counter()
                state.seconds, clock = state.seconds + now - clock, now
                save()
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


def _stops_early(state: _State, settings: TrainerSettings) -> bool:
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
    optimizer.step()
    optimizer.zero_grad()
    return totals


def _flush(
    pending: list[dict[str, Tensor]], state: _State, task: Task, settings: TrainerSettings
) -> None:
    """Adds the collected losses to the running means; stops at one that is not finite."""
    names = list(pending[0])
    values = torch.stack([row[name] for row in pending for name in names]).tolist()
    rows = [values[i : i + len(names)] for i in range(0, len(values), len(names))]
    first = state.step - len(rows)
    pending.clear()
    for i, row in enumerate(rows):
        if not all(math.isfinite(value) for value in row):
            bad = next(n for n, v in zip(names, row, strict=True) if not math.isfinite(v))
            raise Diverged(
                f"{task.name}: {bad} is {row[names.index(bad)]} at step {first + i + 1}. Try a "
                f"lower trainer.lr (now {settings.lr:g}), trainer.precision=float32, or "
                f"{task.advice}."
            )
        for name, value in zip(names, row, strict=True):
            state.sums[name] = state.sums.get(name, 0.0) + value
        state.summed += 1


def _history_row(state: _State, scores: dict[str, float], lr: float) -> dict[str, float]:
    row: dict[str, float] = {"step": state.step}
    row |= {f"train_{name}": total / state.summed for name, total in state.sums.items()}
    row |= {f"val_{name}": value for name, value in scores.items()}
    row["lr"] = lr
    state.sums, state.summed = {}, 0
    return row


def _keep_best(
    state: _State, scores: dict[str, float], task: Task, folder: Path, writes: bool
) -> None:
    if not math.isfinite(scores["loss"]):
        raise Diverged(
            f"{task.name}: the validation loss is {scores['loss']} at step {state.step}. Try a "
            f"lower trainer.lr, trainer.precision=float32, or {task.advice}."
        )
    if scores["loss"] < state.best_loss:
        state.best_loss, state.best_step = scores["loss"], state.step
        state.best, state.stale = dict(scores), 0
        if writes:
            save_network(folder / BEST, task.network, {**task.description, "step": state.step})
    else:
        state.stale += 1


def _resume(
    folder: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau,
) -> _State:
    saved = load_state(folder / LAST)
    if saved is None:
        return _State()
    network.load_state_dict(saved["network"])
    optimizer.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    return _State(**saved["state"])


def _memory_format(network: nn.Module) -> torch.memory_format:
    three = any(isinstance(layer, nn.Conv3d) for layer in network.modules())
    return torch.channels_last_3d if three else torch.channels_last


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying; a second one of a kind acts at once."""
    received: list[int] = []
    former: dict[int, Any] = {}

    def note(number: int, frame: Any) -> None:
        received.append(number)
        signal.signal(number, former[number])

    if threading.current_thread() is threading.main_thread():
        for caught in (signal.SIGINT, signal.SIGTERM):
            former[caught] = signal.signal(caught, note)
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
