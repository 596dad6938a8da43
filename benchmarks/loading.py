"""Measures how fast a data set is there, and how long a training waits for its data.

    python benchmarks/loading.py [--root HIPPOCAMPUS] [--steps N]

Start: from the source files to the first batch, without a cache and with one. Waiting: the share of
a training step that goes into reading a batch from the cache; augmentation is shown beside it, it
runs on the device.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.config.settings import TrainerSettings
from bench.data import prepare
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs, read_pairs
from bench.data.setup import make_source
from bench.data.sources.source import Source
from bench.data.sources.subject import SPLITS, Sample, Subject
from bench.models import VoxelMorph
from bench.models.method import Objective
from bench.regularizers import Diffusion
from bench.similarity import NCC
from bench.tasks.registration.training import NetworkTraining
from bench.training.loop import fit

CPU = torch.device("cpu")
CASES = {
    "64x64x64": ((64, 64, 64), (16, 32, 64), 4),
    "160x192x224": ((160, 192, 224), (32, 64, 128), 1),
}


@dataclass(kw_only=True)
class Noise(Source):
    """Random volumes of 8 bits, four in each split."""

    def subjects(self) -> list[Subject]:
        return [Subject(f"{split}{i}", split) for split in SPLITS for i in range(4)]

    def fingerprint(self, subjects: list[Subject]) -> str:
        return "noise"

    def load(self, subject: Subject) -> Sample:
        random = np.random.default_rng(len(subject.id))
        image = random.integers(256, size=(1, *self.shape), dtype=np.uint8)
        labels = (image[0] > 127).astype(np.uint8)
        return Sample(image.astype(np.float32), labels, (1.0, 1.0, 1.0), 1.0)


class Timed(TrainingPairs):
    """Training pairs that add up the time spent on reading and on augmentation."""

    reading = augmenting = 0.0

    def batch(self, positions, device):  # type: ignore[no-untyped-def]
        pairs = [self.pairs[self.sampler[position]] for position in positions]
        start = time.perf_counter()
        read_pairs(self.dataset, pairs, device)
        middle = time.perf_counter()
        batch = super().batch(positions, device)
        Timed.reading += middle - start
        Timed.augmenting += time.perf_counter() - middle - (middle - start)
        return batch


def time_start(root: str) -> None:
    """Prints the seconds from the hippocampus files to the first batch, first and again."""
    experiment = Experiment.from_config(compose(["dataset=hippocampus", f"dataset.root='{root}'"]))
    table = Table(title="hippocampus, seconds to the first batch")
    for heading in ("", "seconds", "ratio"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for name in ("first start", "second start"):
            begin = time.perf_counter()
            dataset = prepare(make_source(experiment), Path(folder))
            TrainingPairs(dataset, Augmentation(), 0).batch([0], CPU)
            seconds.append(time.perf_counter() - begin)
            table.add_row(name, f"{seconds[-1]:.3f}", f"{seconds[0] / seconds[-1]:.0f}")
    Console().print(table)


def time_waiting(steps: int) -> None:
    """Prints the share of reading and augmentation in NCC trainings of two sizes."""
    table = Table(title=f"share of {steps} training steps, {torch.get_num_threads()} threads")
    for heading in ("volumes", "batch", "step [ms]", "reading", "augmentation"):
        table.add_column(heading, justify="right")
    augmentation = Augmentation.from_config({"rotation": 5, "flip": True})
    for name, (shape, channels, batch_size) in CASES.items():
        source = Noise(
            name="noise", ndim=3, classes=2, shape=shape, pairs=dict.fromkeys(SPLITS, "cross")
        )
        with tempfile.TemporaryDirectory() as folder:
            dataset = prepare(source, Path(folder) / "cache")
            task = NetworkTraining(
                name,
                VoxelMorph(3, 1, channels=channels, norm=False, dropout=False),
                {},
                Objective(NCC(), Diffusion(), 1.0),
                Timed(dataset, augmentation, seed=0),
            )
            settings = TrainerSettings(
                steps=steps,
                batch_size=batch_size,
                lr=1e-4,
                validate_every=steps,
                validation_pairs=1,
                progress=False,
            )
            Timed.reading = Timed.augmenting = 0.0
            task.validate = lambda *_: {"loss": 0.0}  # type: ignore[method-assign]
            fitted = fit(task, settings, Path(folder), seed=0)
        step = fitted.seconds - Timed.reading  # it reads twice, once to be timed
        table.add_row(
            name,
            str(batch_size),
            f"{step / steps * 1e3:.0f}",
            f"{Timed.reading / step:.2%}",
            f"{Timed.augmenting / step:.2%}",
        )
    Console().print(table)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="folder of the hippocampus set, to time its start")
    parser.add_argument("--steps", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.root:
        time_start(arguments.root)
    time_waiting(arguments.steps)


if __name__ == "__main__":
    main()
