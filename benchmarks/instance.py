"""Registers pairs one by one, without a network: what a metric does by itself.

    python benchmarks/instance.py --weights 0.25,1 [--split val] [--pairs N] [--steps N]
        [--noise SD] [--csv FILE] OVERRIDE...

The overrides choose data set and metric as for run.py, such as `dataset=demo3d metric=mse`. A
displacement on a grid of every fourth voxel is optimized by Adam for each pair; extractors are
those of run.py, trained first where they are missing.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.data import prepare
from bench.data.batches.loading import PairBatch, evenly_spaced, read_pairs
from bench.data.setup import make_source
from bench.pair import Pair
from bench.runs.trained import ready_parts
from bench.scores.scoring import score_case
from bench.store.folder import write_csv
from bench.tasks.registration.testing import case_of

CPU = torch.device("cpu")
SPACING = 4  # voxels between two points of the grid
STEP = 0.2  # Adam's, in voxels
SCORES = ("dice", "folding", "sdlogj")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="+")
    parser.add_argument("--weights", required=True, help="λ, separated by commas")
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--noise", type=float, default=0.0, help="is added to both images")
    parser.add_argument("--csv", type=Path, help="writes a row per pair and weight into this file")
    arguments = parser.parse_intermixed_args()
    experiment = Experiment.from_config(compose(arguments.overrides))
    source = make_source(experiment)
    dataset = prepare(source, experiment.cache)
    data = {"fingerprint": dataset.fingerprint, "settings": source.settings()}
    parts = ready_parts(experiment, dataset, data, CPU)
    pairs = evenly_spaced(dataset.pairs(arguments.split), arguments.pairs)
    classes = len(dataset.class_names)
    where = f"{len(pairs)} {arguments.split} pairs of {dataset.name}"
    table = Table(title=f"{experiment['metric']['name']}, {where}")
    for heading in ("λ", "D before", "D after", *SCORES):
        table.add_column(heading, justify="right")
    recorded = []
    for weight in [float(text) for text in arguments.weights.split(",")]:
        rows = []
        for pair in pairs:
            batch = read_pairs(dataset, [pair], CPU)
            _disturb(batch, arguments.noise)
            u, before, after = _register(
                batch, parts.similarity, parts.regularizer, weight, arguments.steps, classes
            )
            assert batch.has_labels
            scores = score_case(case_of(batch.at(u), dataset))
            rows.append([before, after, *(scores[name] for name in SCORES)])
            names = {"moving": dataset.ids[pair[0]], "fixed": dataset.ids[pair[1]]}
            recorded.append({"weight": weight, **names, **{n: scores[n] for n in SCORES}})
        means = torch.tensor(rows).mean(0).tolist()
        table.add_row(f"{weight:g}", *(f"{mean:.4f}" for mean in means))
    Console().print(table)
    if arguments.csv:
        write_csv(arguments.csv, recorded)


def _disturb(batch: PairBatch, noise: float) -> None:
    """Adds Gaussian noise to both images, the same to a pair in every call."""
    generator = torch.Generator().manual_seed(0)
    for image in (batch.moving, batch.fixed) if noise else ():
        image += noise * torch.randn(image.shape, generator=generator)


def _register(
    batch: PairBatch, metric, regularizer, weight: float, steps: int, classes: int
) -> tuple[Tensor, float, float]:
    """Displacement of one pair, and D before and after."""
    shape = batch.fixed.shape[2:]
    grid = torch.zeros(1, len(shape), *[max(2, -(-s // SPACING)) for s in shape])
    grid.requires_grad_()
    optimizer = torch.optim.Adam([grid], lr=STEP)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    values = []
    for _ in range(steps):
        u = F.interpolate(grid, size=shape, mode=mode, align_corners=True)
        pair = Pair(
            batch.moving, batch.fixed, u, batch.read_segmentations, classes, batch.fixed_ids
        )
        value = metric(pair)
        values.append(float(value.detach()))
        optimizer.zero_grad()
        (value + weight * regularizer(u)).backward()
        optimizer.step()
    u = F.interpolate(grid.detach(), size=shape, mode=mode, align_corners=True)
    return u, values[0], values[-1]


if __name__ == "__main__":
    main()
