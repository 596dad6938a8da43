"""The shared trainer: one loop for every network here.

It counts in optimizer steps, validates every so many of them, keeps the checkpoint that is best
on validation loss and the last state, and goes on from the last state when started again. All
that is random in step k is seeded by (seed, k): a resumed training gives the same numbers as one
that never stopped.
"""

import copy
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor

from bench.devices import make_fabric
from bench.distributed import launch
from bench.errors import Diverged, Interrupted, OutOfMemory
from bench.interrupts import collected_signals
from bench.memory import keep_freed_memory
from bench.progress import TrainingProgress
from bench.seeding import derive_seed
from bench.settings import TrainerSettings
from bench.trainee import Callback, Fitted, Task, Trainee

FLUSH_EVERY = 20  # steps between two looks at the losses, which cost a synchronization

Losses = dict[str, Tensor]
Step = Callable[[Sequence[Trainee], int], Sequence[Losses]]


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
    if fabric.world_size > 1:
        task.network = copy.deepcopy(task.network)  # what is spawned shares memory on CPU
    trainee = Trainee(fabric, task, settings, folder, on_validation)
    train(fabric, [trainee], single_step, seed)
    return trainee.fitted()


def train(fabric: Fabric, trainees: Sequence[Trainee], step: Step, seed: int) -> None:
    """Trains networks side by side, step by step, each to its own end.

    Args:
        fabric: The devices.
        trainees: All at the same step, under the same settings; where one diverges, its `error`
            is set and the others go on.
        step: Makes one optimizer step of the trainees it is given, the step's number being the
            second argument; returns the detached losses of each.
        seed: Determines dropout.

    Raises:
        Interrupted: If SIGINT or SIGTERM came; the last states have been saved.
    """
    if fabric.device.type == "cpu":
        keep_freed_memory()
    settings, name = trainees[0].settings, trainees[0].task.name
    if len(trainees) > 1:
        name += f" and {len(trainees) - 1} more"
    leads = fabric.is_global_zero
    done = trainees[0].state.step
    if done and leads:
        print(f"{name}: going on from step {done} of {settings.steps}")
    checkpoint_every = settings.checkpoint_every or settings.validate_every
    active = [trainee for trainee in trainees if not trainee.is_done]
    watch = _Watch()
    with (
        collected_signals() as stop,
        TrainingProgress(name, settings.steps, settings.progress and leads) as progress,
    ):
        while active:
            for trainee in active:
                trainee.network.train()
            torch.manual_seed(derive_seed(seed, "dropout", done, fabric.global_rank))
            for trainee, losses in zip(active, step(active, done), strict=True):
                trainee.stepped(losses)
            done += 1
            validates = done % settings.validate_every == 0 or done == settings.steps
            saves = validates or done % checkpoint_every == 0
            looks = saves or len(active[0].pending) >= FLUSH_EVERY
            stopping = _agree(fabric, bool(stop), looks)
            if looks or stopping:
                active = _each(active, Trainee.look)
                progress.update(done, [trainee.state.mean_loss for trainee in active])
            if validates:
                for trainee in active:
                    trainee.validate()
                watch.share(active)
                active = _each(active, Trainee.take_in)
                for trainee in active:
                    progress.validated(trainee.task.name, trainee.state.history[-1])
            if saves or stopping:
                watch.share(active)
                for trainee in active:
                    trainee.save()
            if stopping and done < settings.steps:
                raise Interrupted(
                    f"Interrupted at step {done} of {settings.steps}; the state is saved. "
                    "The same command goes on from there."
                )
            active = [trainee for trainee in active if not trainee.is_done]


def _each(trainees: Sequence[Trainee], act: Callable[[Trainee], object]) -> list[Trainee]:
    """Those of the trainees that did not diverge in it."""
    for trainee in trainees:
        try:
            act(trainee)
        except Diverged as error:
            trainee.error = error
    return [trainee for trainee in trainees if trainee.error is None]


class _Watch:
    """Divides the time that goes by among those it was spent on."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def share(self, trainees: Sequence[Trainee]) -> None:
        """Adds the time since the last call to their states, in equal parts."""
        now = time.perf_counter()
        for trainee in trainees:
            trainee.state.seconds += (now - self.last) / len(trainees)
        self.last = now


def _agree(fabric: Fabric, flag: bool, now: bool) -> bool:
    """Whether any process raised its flag; several of them ask each other only `now`."""
    if fabric.world_size == 1:
        return flag
    return now and bool(fabric.all_reduce(torch.tensor(float(flag)), reduce_op="sum") > 0)


def single_step(trainees: Sequence[Trainee], number: int) -> list[Losses]:
    """One optimizer step of a single network over the accumulated batches; detached means."""
    (trainee,) = trainees
    fabric, network, settings = trainee.fabric, trainee.network, trainee.settings
    share = settings.batch_size // settings.devices
    totals: Losses = {}
    for part in range(settings.accumulate):
        last = part == settings.accumulate - 1
        first = (number * settings.accumulate + part) * settings.batch_size
        first += fabric.global_rank * share
        with fabric.no_backward_sync(network, enabled=not last and settings.devices > 1):
            losses = trainee.task.loss(network, range(first, first + share), fabric.device)
            fabric.backward(losses["loss"] / settings.accumulate)
        add_means(totals, losses, settings.accumulate)
    return [{**totals, **trainee.descend()}]


def add_means(totals: Losses, losses: Losses, parts: int) -> None:
    """Adds the losses of one of `parts` accumulated batches to their means."""
    for name, value in losses.items():
        value = value.detach() / parts
        totals[name] = totals[name] + value if name in totals else value
