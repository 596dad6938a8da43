"""Measures the costly parts beside the straightforward way to compute them.

    python benchmarks/run.py [--filter NAME] [--repeats N]

Each case runs both ways in turn, forward and backward; the table gives medians and their ratio.
Compare times within one table only.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor

from bench.models import VoxelMorph
from bench.similarity import NCC, Pair
from bench.spatial import warp

SHAPES = {"64x64x64": (64, 64, 64), "160x192x16": (160, 192, 16), "512x688": (512, 688)}
Action = Callable[[], object]


def dense_ncc(image: Tensor, other: Tensor, window: int = 9) -> Tensor:
    """Local NCC by dense window convolutions and automatic differentiation."""
    ndim = image.ndim - 2
    convolve = {2: F.conv2d, 3: F.conv3d}[ndim]
    box = torch.ones(1, 1, *[window] * ndim)
    voxels = window**ndim

    def total(x: Tensor) -> Tensor:
        return convolve(x, box, padding=window // 2)

    sums, others = total(image), total(other)
    cross = total(image * other) - sums * others / voxels
    variance = total(image * image) - sums * sums / voxels
    other_variance = total(other * other) - others * others / voxels
    return 1 - (cross * cross / (variance * other_variance + 1e-5)).mean()


def meshgrid_warp(image: Tensor, u: Tensor) -> Tensor:
    """Warp by an identity grid built anew and kept for the backward pass."""
    shape = image.shape[2:]
    identity = torch.stack(torch.meshgrid(*[torch.arange(s) for s in shape], indexing="ij"))
    points = identity[None] + u
    grid = torch.stack([2 * points[:, i] / (s - 1) - 1 for i, s in enumerate(shape)], dim=-1)
    return F.grid_sample(image, grid.flip(-1), padding_mode="border", align_corners=True)


def cases() -> dict[str, tuple[Action, Action]]:
    """Name of each case with our way and the straightforward one."""
    found: dict[str, tuple[Action, Action]] = {}
    for name, shape in SHAPES.items():
        image = torch.rand(1, 1, *shape, requires_grad=True)
        other = torch.rand(1, 1, *shape)
        u = torch.randn(1, len(shape), *shape, requires_grad=True)
        found[f"ncc {name}"] = (
            lambda i=image, j=other: NCC()(_AsPair(i, j)).backward(),
            lambda i=image, j=other: dense_ncc(i, j).backward(),
        )
        found[f"warp {name}"] = (
            lambda j=other, v=u: warp(j, v).sum().backward(),
            lambda j=other, v=u: meshgrid_warp(j, v).sum().backward(),
        )
        found[f"network step {name}"] = (
            _network_step(shape, torch.bfloat16, channels_last=True),
            _network_step(shape, torch.float32, channels_last=False),
        )
    return found


class _AsPair(Pair):
    """A pair whose warped image is given."""

    def __init__(self, warped: Tensor, fixed: Tensor) -> None:
        super().__init__(warped, fixed, fixed)
        self.__dict__["warped"] = warped


def _network_step(shape: tuple[int, ...], dtype: torch.dtype, channels_last: bool) -> Action:
    network = VoxelMorph(len(shape), 1, channels=(16, 32, 64), norm=False, dropout=False)
    if channels_last:
        layout = torch.channels_last if len(shape) == 2 else torch.channels_last_3d
        network.to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters())
    moving, fixed = torch.rand(2, 1, 1, *shape)

    def step() -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            u = network(moving, fixed)
        u.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measure(ours: Action, plain: Action, repeats: int) -> tuple[float, float]:
    """Median seconds of both, run in turn after one warm-up."""
    times: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats + 1):
        for action, seconds in zip((ours, plain), times, strict=True):
            start = time.perf_counter()
            action()
            if repeat:
                seconds.append(time.perf_counter() - start)
    return statistics.median(times[0]), statistics.median(times[1])


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--filter", default="", help="only cases whose name contains this")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    table = Table(title=f"forward and backward, {torch.get_num_threads()} threads")
    for heading in ("case", "ours [ms]", "straightforward [ms]", "ratio"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for name, (ours, plain) in cases().items():
        if arguments.filter in name:
            fast, slow = measure(ours, plain, arguments.repeats)
            table.add_row(name, f"{fast * 1e3:.1f}", f"{slow * 1e3:.1f}", f"{slow / fast:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
