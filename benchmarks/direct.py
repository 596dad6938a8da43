"""Direct registration beside SyN, ConvexAdam and a plain loop: the same test pairs, in turn.

Settings and λ were chosen on validation pairs, of which "hippocampus settings" compares settings.
Needs BENCH_DATA with hippocampus, brain_slab and em_isbi2012. SyN needs antspyx 0.6.3, ConvexAdam
convexadam 0.2.0; what is not installed is left out and named. SyN's number of threads is
ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS.
"""

import os
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
import torch.nn.functional as F
from measure import synchronize
from rich.table import Table
from torch import Tensor

from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.data.batches.loading import read_pairs
from bench.data.setup import Setup
from bench.data.sources.pairs import evenly_spaced
from bench.models.direct import Direct
from bench.models.method import Objective
from bench.pair import Pair
from bench.regularizers import Diffusion
from bench.scores.overlap import dice_per_class, foreground_dice
from bench.scores.smoothness import folding, sdlogj
from bench.similarity import MIND, NCC
from bench.spatial.displacement import warp

METRICS = {
    "ncc": NCC(),
    "ncc of window 3": NCC(window=3),
    "mind": MIND(),
    "mind of radius 1": MIND(radius=1),
}
FINER = {"steps": [40, 40, 20, 20]}  # of direct, with the window of 3: ten more on whole images
CASES = {  # data set, number of pairs, λ of each metric; the plain loop takes the first
    "hippocampus": (
        "hippocampus",
        12,
        {
            "ncc": (2.0, 8.0, 16.0),
            "ncc of window 3": (2.0, 2.5, 6.5),
            "mind": (0.25, 0.5, 2.0),
            "mind of radius 1": (0.5, 0.7, 2.0),
        },
    ),
    "brain_slab": ("brain", 4, {"ncc": (1.0, 4.0, 8.0), "mind": (0.125, 0.25, 0.5)}),
    "em_isbi2012": ("tiff_stack", 4, {"ncc": (2.0, 4.0, 8.0), "mind": (0.2, 0.4, 0.8)}),
}
TOOLS = ("SyN", "ConvexAdam")
SETTINGS = {  # of direct, on hippocampus; each differs from the defaults in one thing
    "defaults": {},
    "whole images on all levels": {"pooling": [1, 1, 1, 1]},
    "pooled by 2 on the last level": {"pooling": [8, 4, 2, 2]},
    "half the spacing": {"spacing": [16, 8, 4, 2]},
    "twice the steps": {"steps": [80, 80, 40, 20]},
    "half the rates": {"rate": [1, 0.5, 0.25, 0.15]},
    "no early stop": {"patience": 0},
    "velocity": {"grid": "velocity"},
    "dense": {"grid": "dense"},
    "convex start": {"start": "convex"},
}
SETTINGS_CASE = "hippocampus settings"
SCORES = {"dice": "Dice", "sdlogj": "SD log J", "folding": "folding"}
LOOP = {"steps": 60, "spacing": 4, "rate": 0.2}  # of the plain loop
Register = Callable[[Pair], Tensor]


def measure(device: str, chosen: str, repeats: int) -> dict:
    """Means over pairs for each case and method; the fastest of `repeats` counts.

    Seconds of the processor stay the same where other processes share it.
    """
    rows, missing = [], [name for name in ("ants", "convexAdam") if not find_spec(name)]
    for name, (dataset, count, weights) in {**CASES, SETTINGS_CASE: CASES["hippocampus"]}.items():
        if chosen and not name.endswith(chosen):
            continue
        folder = f"{os.environ['BENCH_DATA']}/{name.split()[0]}"
        overrides = [f"dataset={dataset}", f"dataset.root={folder}"]
        experiment = Experiment.from_config(compose([*overrides, "metric=mse"]))
        data = Setup.of(experiment).dataset
        split = "val" if name == SETTINGS_CASE else "test"
        pairs = evenly_spaced(data.pairs(split), count)
        if name == SETTINGS_CASE:
            methods = _settings(data.ndim, data.channels, weights)
        else:
            methods = _methods(data.ndim, data.channels, weights, missing)
        found: dict[str, list[list[float]]] = {method: [] for method in methods}
        for numbers in pairs:
            pair = read_pairs(data, [numbers], torch.device(device))
            for method, register in methods.items():
                found[method].append(_score(register, pair, device, repeats))
        for method, scores in found.items():
            *numbers, seconds, work = np.mean(scores, axis=0).tolist()
            rows.append(
                {
                    "case": name,
                    "method": method,
                    "pairs": len(pairs),
                    **dict(zip(SCORES, numbers, strict=True)),
                    "seconds": seconds,
                    "work": work,
                }
            )
    what = "registration of pairs, one by one"
    return {"what": what + (f", without {' and '.join(missing)}" if missing else ""), "rows": rows}


def _methods(
    ndim: int, channels: int, weights: dict[str, tuple], missing: list[str]
) -> dict[str, Register]:
    methods: dict[str, Register] = {"identity": lambda pair: pair.u}
    for name, values in weights.items():
        direct = Direct(ndim, channels, **(FINER if "window" in name else {}))
        objectives = {value: Objective(METRICS[name], Diffusion(), value) for value in values}
        for value, objective in objectives.items():
            methods[f"direct {name}, {value:g}"] = lambda p, d=direct, o=objective: d.register(p, o)
        if " of " in name:
            continue
        first = objectives[values[0]]
        methods[f"plain loop {name}, {values[0]:g}"] = lambda p, o=first: plain_loop(p, o)
    if "ants" not in missing:
        methods["SyN"] = syn
    if "convexAdam" not in missing and ndim == 3:
        methods["ConvexAdam"] = convex_adam
    return methods


def _settings(ndim: int, channels: int, weights: dict[str, tuple]) -> dict[str, Register]:
    methods: dict[str, Register] = {}
    for change, settings in SETTINGS.items():
        direct = Direct(ndim, channels, **settings)
        for name, values in weights.items():
            metric = METRICS[name]
            if settings.get("start") == "convex" and not hasattr(metric, "descriptors"):
                continue
            for value in values[:2]:
                objective = Objective(metric, Diffusion(), value)
                label = f"{change}, {name}, {value:g}"
                methods[label] = lambda p, d=direct, o=objective: d.register(p, o)
    return methods


def _score(register: Register, pair: Pair, device: str, repeats: int) -> list[float]:
    times, work = [], []
    for _ in range(repeats):
        fresh = Pair(pair.moving, pair.fixed, None, lambda: pair.segmentations, pair.classes)
        synchronize(device)
        start, busy = time.perf_counter(), time.process_time()
        result = register(fresh)
        synchronize(device)
        times.append(time.perf_counter() - start)
        work.append(time.process_time() - busy)
    u = result() if callable(result) else result
    moving, fixed = pair.segmentations
    dice = foreground_dice(dice_per_class(warp(moving, u, "nearest"), fixed, pair.classes))
    return [dice, sdlogj(u), folding(u), min(times), min(work)]


def plain_loop(pair: Pair, objective: Objective) -> Tensor:
    """What one would write: Adam on a linear grid, all steps on the whole image."""
    shape = pair.fixed.shape[2:]
    counts = [max(2, -(-size // LOOP["spacing"])) for size in shape]
    grid = pair.fixed.new_zeros(1, len(shape), *counts).requires_grad_()
    optimizer = torch.optim.Adam([grid], lr=LOOP["rate"])
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    for _ in range(LOOP["steps"]):
        u = F.interpolate(grid, size=shape, mode=mode, align_corners=True)
        optimizer.zero_grad()
        objective.losses(pair.at(u), u)["loss"].backward()
        optimizer.step()
    return F.interpolate(grid.detach(), size=shape, mode=mode, align_corners=True)


def syn(pair: Pair) -> Callable[[], Tensor]:
    """SyN as it comes, affine first, mutual information; the field is read outside the time."""
    import ants
    import pandas as pd

    images = [ants.from_numpy(x[0, 0].cpu().numpy()) for x in (pair.fixed, pair.moving)]
    prefix = tempfile.mkdtemp() + "/"
    found = ants.registration(*images, type_of_transform="SyN", outprefix=prefix)

    def displacement() -> Tensor:
        shape = pair.fixed.shape[2:]
        grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
        points = pd.DataFrame(grid.reshape(-1, len(shape)).astype(float))
        points.columns = list("xyz")[: len(shape)]
        mapped = ants.apply_transforms_to_points(len(shape), points, found["fwdtransforms"])
        u = (mapped.to_numpy() - points.to_numpy()).T.reshape(1, len(shape), *shape)
        return torch.from_numpy(u).to(pair.fixed)

    return displacement


def convex_adam(pair: Pair) -> Tensor:
    """ConvexAdam with MIND; grid spacing 4, or 2 where an axis is short, else as it comes."""
    from convexAdam.convex_adam_MIND import convex_adam_pt

    shape = pair.fixed.shape[2:]
    u = convex_adam_pt(
        img_fixed=pair.fixed[0, 0],
        img_moving=pair.moving[0, 0],
        grid_sp=4 if min(shape) >= 32 else 2,
        device=pair.fixed.device,
        verbose=False,
    )
    return torch.from_numpy(np.asarray(u)).movedim(-1, 0)[None].to(pair.fixed)


def table(title: str, result: dict) -> Table:
    """A row for each case and method; one more for direct registration as smooth as each tool."""
    made = Table(title=title)
    made.add_column("case", no_wrap=True)
    made.add_column("method")
    for heading in (*SCORES.values(), "seconds", "work", "of SyN's"):
        made.add_column(heading, justify="right", no_wrap=True)
    rows = result["rows"]
    of_syn = {row["case"]: row["work"] for row in rows if row["method"] == "SyN"}
    for row in [*rows, *_as_smooth(rows)]:
        numbers = [f"{row[name]:.4f}" for name in SCORES]
        seconds = [f"{row[name]:.2f}" for name in ("seconds", "work")]
        ratio = f"{row['work'] / of_syn[row['case']]:.2f}" if row["case"] in of_syn else "-"
        made.add_row(row["case"], row["method"], *numbers, *seconds, ratio)
    return made


def _as_smooth(rows: list[dict]) -> list[dict]:
    """Of direct registration with each metric, the best Dice at most as rough as each tool."""
    found = []
    for tool in (row for row in rows if row["method"] in TOOLS):
        for metric in METRICS:
            smooth = [
                row
                for row in rows
                if row["case"] == tool["case"]
                and row["method"].startswith(f"direct {metric},")
                and row["sdlogj"] <= tool["sdlogj"]
            ]
            if smooth:
                best = max(smooth, key=lambda row: row["dice"])
                gain = best["dice"] - tool["dice"]
                name = f"as smooth as {tool['method']}: {best['method'][7:]} ({gain:+.3f} Dice)"
                found.append({**best, "method": name})
    return found
