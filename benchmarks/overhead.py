"""Measures what a training takes beside its steps: the loop, and validation.

    python benchmarks/overhead.py [--steps N] [--repeats N]

Trainings of N steps through the loop, with a history row and a resumable state at their end (and
every 50 steps), in turn with the same steps in a bare loop. Validation is left out there, and timed
by itself.
"""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from train import make_data

from bench.config.settings import TrainerSettings
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs
from bench.models import VoxelMorph
from bench.models.method import Objective
from bench.regularizers import Diffusion
from bench.similarity import NCC
from bench.tasks.registration.training import NetworkTraining
from bench.training.devices import make_fabric
from bench.training.loop import fit, optimizer_step
from bench.training.trainee import Trainee

CASES = {"8 of 80x96": (8, (80, 96)), "1 of 64x64x64": (1, (64, 64, 64))}
PAIRS = 16  # that `trainer=short` validates on, at most
CHANNELS = (16, 32, 64)


class Unvalidated(NetworkTraining):
    """A registration whose validation takes no time."""

    def validate(self, network, settings, device):
        return {"loss": 0.0, "dice": 0.0}


def main() -> None:
    """Prints a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    for name, (batch, shape) in CASES.items():
        loop, bare, validation = measure(batch, shape, arguments.steps, arguments.repeats)
        print(
            f"{name}: {1e3 * bare:.1f} ms a step, the loop adds {loop / bare - 1:.2%}, validating "
            f"{PAIRS} pairs takes as long as {PAIRS * validation / bare:.1f} steps"
        )


def measure(
    batch: int, shape: tuple[int, ...], steps: int, repeats: int
) -> tuple[float, float, float]:
    """Median seconds per step, through the loop and bare, and per validated pair."""
    settings = TrainerSettings(
        steps=steps, batch_size=batch, lr=1e-4, validate_every=50, clip_norm=1.0
    )
    found: dict[str, list[float]] = {"loop": [], "bare": [], "validation": []}
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), shape)

        def task() -> Unvalidated:
            torch.manual_seed(0)
            network = VoxelMorph(len(shape), 1, CHANNELS, norm=False, dropout=False)
            training = TrainingPairs(data.dataset, Augmentation(), seed=0)
            return Unvalidated("", network, {}, Objective(NCC(), Diffusion(), 0.5), training)

        def through_loop(where: Path, steps: int) -> None:
            fit(task(), replace(settings, steps=steps), where, seed=0)

        def bare(where: Path, steps: int) -> None:
            trainee = Trainee(make_fabric(settings), task(), settings, where)
            trainee.network.train()
            for _ in range(steps):
                losses = optimizer_step(trainee)
                trainee.stepped(losses)
            float(losses["loss"])

        numbers = itertools.count()
        for repeat in range(repeats + 1):
            for name, action in (("loop", through_loop), ("bare", bare)):
                where = Path(folder) / str(next(numbers))
                where.mkdir()
                start = time.perf_counter()
                action(where, steps if repeat else 5)
                if repeat:
                    found[name].append((time.perf_counter() - start) / steps)
            where = Path(folder) / f"validation{repeat}"
            where.mkdir()
            seconds = seconds_per_pair(Trainee(make_fabric(settings), task(), settings, where))
            if repeat:
                found["validation"].append(seconds)
    loop, bare_, validation = (statistics.median(times) for times in found.values())
    return loop, bare_, validation


def seconds_per_pair(trainee: Trainee) -> float:
    """Time that validation takes, by pair."""
    task = trainee.trainable
    trainee.network.eval()
    start = time.perf_counter()
    with torch.no_grad():
        NetworkTraining.validate(task, trainee.network, trainee.settings, trainee.fabric.device)
    return (time.perf_counter() - start) / len(task.dataset.pairs("val"))


if __name__ == "__main__":
    main()
