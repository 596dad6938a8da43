"""Draws how metrics see an image that is shifted or turned: value, and gradient along the way.

    python benchmarks/landscape.py [--results DIR] [--output FILE]

The image is a slice of the demo, the moving one with other noise. Extractors are those of
`python run.py metric=M`, trained first where they are missing.
"""

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.data.batches.loading import read_pairs
from bench.data.setup import Setup
from bench.pair import Pair
from bench.runs.trained import ready_parts

METRICS = ("mse", "ncc", "nmi", "mind", "deepsim_ae", "deepsim_csr", "deepsim_seg", "dice")
CPU = torch.device("cpu")
NOISE = 0.05
Motion = Callable[[Tensor, tuple[int, ...]], Tensor]


def shift(amount: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Displacement by `amount` voxels along the first axis."""
    u = torch.zeros(1, 2, *shape)
    return torch.cat([u[:, :1] + amount, u[:, 1:]], dim=1)


def turn(amount: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Displacement of a rotation by `amount` degrees about the centre."""
    lines = [torch.arange(s) - (s - 1) / 2 for s in shape]
    y, x = torch.meshgrid(*lines, indexing="ij")
    c, s = torch.cos(amount * math.pi / 180), torch.sin(amount * math.pi / 180)
    return torch.stack([(c - 1) * y - s * x, s * y + (c - 1) * x])[None]


MOTIONS: dict[str, tuple[Motion, float]] = {
    "shift [voxels]": (shift, 8.0),
    "rotation [degrees]": (turn, 20.0),
}


def metrics(results: str) -> Iterator[tuple[str, Callable[[Pair], Tensor], Pair]]:
    """Each metric with the pair it is shown on, not yet displaced."""
    for name in METRICS:
        overrides = ["dataset=demo", f"metric={name}", f"results_dir={results}", "tracker=none"]
        experiment = Experiment.from_config(compose(overrides))
        setup = Setup.of(experiment)
        dataset = setup.dataset
        parts = ready_parts(setup, CPU)
        batch = read_pairs(dataset, dataset.pairs("test")[:1], CPU)
        assert batch.has_labels
        labels = batch.segmentations[1]
        generator = torch.Generator().manual_seed(0)
        moving = batch.fixed + NOISE * torch.randn(batch.fixed.shape, generator=generator)
        pair = Pair(
            moving,
            batch.fixed,
            None,
            lambda labels=labels: (labels, labels),
            len(dataset.class_names),
        )
        yield name, parts.objective.similarity, pair


def profile(
    metric: Callable[[Pair], Tensor], pair: Pair, motion: Motion, amounts: Tensor
) -> tuple[list[float], list[float]]:
    """Value of a metric and its derivative, for each amount of motion."""
    values, slopes = [], []
    for amount in amounts:
        amount = amount.clone().requires_grad_()
        u = motion(amount, tuple(pair.fixed.shape[2:]))
        value = metric(pair.at(u))
        (slope,) = torch.autograd.grad(value, amount)
        values.append(float(value.detach()))
        slopes.append(float(slope))
    return values, slopes


def main() -> None:
    """Draws the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", default="results")
    parser.add_argument("--output", type=Path, default=Path("docs/images/metrics.png"))
    arguments = parser.parse_args()
    figure, axes = plt.subplots(
        len(METRICS), 4, figsize=(10, 1.3 * len(METRICS)), sharex="col", layout="constrained"
    )
    for row, (name, metric, pair) in zip(axes, metrics(arguments.results), strict=True):
        for i, (label, (motion, most)) in enumerate(MOTIONS.items()):
            amounts = torch.linspace(-most, most, 81)
            for axis, curve in zip(
                row[2 * i : 2 * i + 2], profile(metric, pair, motion, amounts), strict=True
            ):
                axis.axvline(0, color="0.8", linewidth=0.8)
                axis.plot(amounts, curve, linewidth=1.2)
                axis.tick_params(labelsize=6)
            axes[0, 2 * i].set_title("D", fontsize=9)
            axes[0, 2 * i + 1].set_title("its derivative", fontsize=9)
            for axis in axes[-1, 2 * i : 2 * i + 2]:
                axis.set_xlabel(label, fontsize=8)
        row[0].set_ylabel(name, fontsize=8)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
