"""Validation Dice and smoothness against seconds of training, ours beside the published code's way.

Same data, pairs, metric, λ and validation pairs, in turn in one process: the way that has trained
for the fewest seconds takes the next step, so that whatever else the machine does hits all alike.
Each way starts from the weights that the seed determines, the same where the networks are the same.
`--way OVERRIDES`, given several times, chooses the ways; `published` is the published code's
(benchmarks/baseline.py), with `trainer=paper`'s batch and learning rate. Validation and starting up
are not in the seconds, nor is the training of DeepSim's extractor, which all ways share: that of
the first way, which `--results DIR` keeps. A way whose last step is done keeps its scores.
`--repeats` is the number of seeds. With `--clock processor` seconds are those of the processor, all
cores together, which stay the same where other processes share it. All sets but the demo need
BENCH_DATA.
"""

import copy
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import nibabel
import numpy as np
import plain
import tifffile
import torch
from baseline import Baseline, Similarity, plain_activations
from measure import synchronize
from rich.table import Table
from torch import Tensor, nn

from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.data.batches.loading import TrainingPairs, read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup
from bench.data.sources.pairs import evenly_spaced
from bench.errors import ConfigError
from bench.models.flow import displacement_of
from bench.runs.extractors import obtain_extractors
from bench.scores.overlap import dice_per_class, foreground_dice
from bench.scores.smoothness import sdlogj
from bench.seeding import derive_seed
from bench.spatial.displacement import warp
from bench.tasks.registration.assembly import Parts, build_parts
from bench.tasks.registration.registration import RegistrationJob
from bench.training.devices import make_fabric
from bench.training.loop import FLUSH_EVERY, optimizer_step
from bench.training.memory import keep_freed_memory
from bench.training.trainee import Trainee

DATASETS = {  # overrides, and the Dice values to which seconds are told
    "demo": (["dataset=demo"], (0.6, 0.65, 0.7)),
    "hippocampus": (["dataset=hippocampus"], (0.55, 0.6, 0.65, 0.7)),
    "brain_slab": (["dataset=brain", "dataset.name=brain_slab"], (0.45, 0.5, 0.55)),
    "em_vnc": (["dataset=em_vnc", "dataset.shape=[512,512]"], (0.6, 0.65, 0.7)),
}
PLAIN = {"mse": nn.functional.mse_loss, "ncc": plain.ncc}
METRICS = (*PLAIN, "deepsim_seg")
SHARES = (0.25, 0.5, 1.0)  # of the budget, at which the table tells Dice
WAYS = ("trainer=short", PUBLISHED := "published")
THEIRS = ("model=voxelmorph", "trainer=paper")
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
VALIDATIONS = (1 / 60, 1 / 30, 1 / 15, *(n / 10 for n in range(1, 11)))  # of each way, in budgets
PAIRS = 16  # that are validated on


class Way(Protocol):
    """A network in training."""

    done: bool

    def step(self) -> None:
        """One step."""

    def look(self) -> None:
        """What is done now and then beside the steps, which is not timed."""

    def scores(self, pairs: Sequence[tuple[int, int]]) -> dict[str, float]:
        """Mean Dice and SD log J over validation pairs."""


class Ours:
    """A training of the suite by a trainer's preset, step by step."""

    def __init__(self, setup: Setup, extractors: Sequence[nn.Module], folder: Path) -> None:
        parts = build_parts(setup)
        for learner, extractor in zip(parts.learners, extractors, strict=True):
            learner.network.load_state_dict(extractor.state_dict())
            learner.network.eval().requires_grad_(False)
        job = RegistrationJob(setup, parts)
        assert job.trainable is not None
        self.dataset, self.seed = setup.dataset, job.seed
        settings = setup.experiment.settings
        self.trainee = Trainee(make_fabric(settings), job.trainable, settings, folder)
        self.trainee.start_watch()

    @property
    def done(self) -> bool:
        return self.trainee.is_done

    def step(self) -> None:
        trainee = self.trainee
        trainee.network.train()
        torch.manual_seed(derive_seed(self.seed, "dropout", trainee.state.step, 0))
        trainee.stepped(optimizer_step(trainee))

    def look(self) -> None:
        trainee = self.trainee
        validates = trainee.state.step % trainee.settings.validate_every == 0
        if validates or len(trainee.pending) >= FLUSH_EVERY:
            trainee.look()
        if validates:  # by which a schedule may go
            trainee.validate()

    def scores(self, pairs: Sequence[tuple[int, int]]) -> dict[str, float]:
        network, device = self.trainee.network.eval(), self.trainee.fabric.device
        return mean_scores(network, self.dataset, pairs, device)


class Published:
    """A training in the way of the published code, on files of the same images."""

    done = False

    def __init__(self, setup: Setup, similarity: Similarity, folder: Path, device: str) -> None:
        experiment, dataset = setup.experiment, setup.dataset
        training = RegistrationJob(setup, parts := build_parts(setup)).trainable.training
        settings = experiment.settings
        self.dataset, self.device = dataset, torch.device(device)
        self.baseline = Baseline(
            parts.model,
            similarity,
            experiment.weight,
            write_files(dataset, folder),
            order(training),
            settings.batch_size * settings.accumulate,
            len(dataset.class_names),
            device,
        )

    def step(self) -> None:
        self.baseline()

    def look(self) -> None:
        pass

    def scores(self, pairs: Sequence[tuple[int, int]]) -> dict[str, float]:
        return mean_scores(self.baseline.network.eval(), self.dataset, pairs, self.device)


def straightforward(metric: str, parts: Parts, device: str) -> Similarity:
    """The metric in the way of the published code, with the extractor of ours."""
    if metric in PLAIN:
        return PLAIN[metric]
    (learner,) = parts.learners
    levels = parts.objective.similarity.levels
    network = copy.deepcopy(learner.network).to(device, memory_format=torch.contiguous_format)
    plain_activations(network.eval().requires_grad_(False))

    def deepsim(warped: Tensor, fixed: Tensor) -> Tensor:
        both = network.features(warped), network.features(fixed)
        return plain.deepsim(*([features[level] for level in levels] for features in both))

    return deepsim


def order(training: TrainingPairs) -> list[tuple[int, int]]:
    """The pairs of a round through the training split, in the order in which ours has them."""
    return [training.pairs[training.sampler[n]] for n in range(len(training.pairs))]


def write_files(dataset: PreparedDataset, folder: Path) -> list[tuple[Path, Path]]:
    """Image and labels of each subject, as files with the content of the cache."""
    files = []
    for subject in range(len(dataset.ids)):
        pair = read_pairs(dataset, [(subject, subject)], torch.device("cpu"))
        arrays = {"image": pair.moving[0, 0].numpy(), "labels": pair.segmentations[0][0, 0].numpy()}
        paths = []
        for name, array in arrays.items():
            if array.ndim == 2:
                paths.append(folder / f"{name}{subject}.tif")
                tifffile.imwrite(paths[-1], array)
            else:
                paths.append(folder / f"{name}{subject}.nii.gz")
                nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), paths[-1])
        files.append((paths[0], paths[1]))
    return files


@torch.no_grad()
def mean_scores(
    network: nn.Module,
    dataset: PreparedDataset,
    pairs: Sequence[tuple[int, int]],
    device: torch.device,
) -> dict[str, float]:
    """Mean Dice of the foreground and SD log J over pairs, registered one by one."""
    rows = []
    for numbers in pairs:
        pair = read_pairs(dataset, [numbers], device)
        u, _ = displacement_of(network(pair.moving, pair.fixed))
        moving, fixed = pair.segmentations
        dice = dice_per_class(warp(moving, u, "nearest"), fixed, pair.classes)
        rows.append([foreground_dice(dice), sdlogj(u)])
    dice, roughness = np.mean(rows, axis=0).tolist()
    return {"dice": dice, "sdlogj": roughness}


def measure(
    device: str,
    chosen: str,
    repeats: int,
    seconds: float = 600,
    ways: Sequence[str] = WAYS,
    clock: str = "wall",
    results: Path | None = None,
) -> dict[str, Any]:
    """Curves of all ways, for the cases whose names ("ncc hippocampus") contain `chosen`.

    Args:
        device: Where it trains.
        chosen: Part of the names.
        repeats: Number of seeds.
        seconds: Of training, for each way.
        ways: Overrides of each way of ours, separated by spaces, and `published`.
        clock: Of `CLOCKS`.
        results: Where extractors are found and kept; None keeps none.

    Raises:
        BenchError: If a way cannot be raced, or there is no such case.
        HydraException: If a way has other overrides than the suite knows.
    """
    for way in ways:
        if list(ways).count(way) > 1:
            raise ConfigError(f"--way {way!r}: is given twice. Name each way once.")
    rows = []
    for metric, name in cases(chosen):
        overrides, _ = DATASETS[name]
        root = [] if name == "demo" else [f"dataset.root={os.environ['BENCH_DATA']}/{name}"]
        for seed in range(repeats):
            common = [*overrides, *root, f"metric={metric}", f"seed={seed}"]
            curves = race(metric, common, ways, device, seconds, clock, results)
            rows += [
                {"case": f"{metric} {name}", "way": way, "seed": seed, "curve": curve}
                for way, curve in curves.items()
            ]
    of = " of the processor" if clock == "processor" else ""
    what = f"validation Dice against seconds{of} of training, {seconds:g} for each way"
    return {"what": what, "seconds": seconds, "rows": rows}


def cases(chosen: str) -> list[tuple[str, str]]:
    """Metric and data set of each case whose name contains `chosen`, of the sets that are there.

    Raises:
        ConfigError: If there is none.
    """
    there = DATASETS if "BENCH_DATA" in os.environ else ["demo"]
    known = [(metric, name) for name in there for metric in METRICS]
    found = [(metric, name) for metric, name in known if chosen in f"{metric} {name}"]
    if not found:
        names = ", ".join(f'"{metric} {name}"' for metric, name in known)
        others = "" if there is DATASETS else " BENCH_DATA=DIR adds those of real data."
        raise ConfigError(f"--filter {chosen}: is no part of any case. Cases: {names}.{others}")
    return found


def race(
    metric: str,
    common: Sequence[str],
    ways: Sequence[str],
    device: str,
    seconds: float,
    clock: str,
    results: Path | None,
) -> dict[str, list[dict[str, float]]]:
    """The curve of each way, all under the same overrides besides."""
    with tempfile.TemporaryDirectory() as place:
        shared = [*common, f"trainer.accelerator={device}", f"results_dir={results or place}"]
        shared += ["tracker=none", "trainer.progress=false"]
        setups = {way: make_setup([*shared, *overrides_of(way)]) for way in ways}
        for way, setup in setups.items():
            check_way(way, setup.experiment)
        learning = build_parts(setups[ways[0]])
        obtain_extractors(learning.learners)
        extractors = [learner.network for learner in learning.learners]
        made: dict[str, Way] = {}
        for number, (way, setup) in enumerate(setups.items()):
            folder = Path(place) / str(number)
            folder.mkdir()
            if way == PUBLISHED:
                similarity = straightforward(metric, learning, device)
                made[way] = Published(setup, similarity, folder, device)
            else:
                made[way] = Ours(setup, extractors, folder)
        if device == "cpu":
            keep_freed_memory()
        pairs = evenly_spaced(setup.dataset.pairs("val"), PAIRS)
        return trained_in_turn(made, pairs, device, seconds, CLOCKS[clock])


def check_way(way: str, experiment: Experiment) -> None:
    """Raises ConfigError unless a way trains a network whose loss has one λ."""
    if experiment.conditioned:
        raise ConfigError(
            f"--way {way!r}: trains under many λ, and a race has one. Leave model.conditioned out."
        )
    if "trainer" not in experiment.uses:
        raise ConfigError(
            f"--way {way!r}: is a method that trains nothing. Name a network, such as "
            "model=pyramid."
        )


def overrides_of(way: str) -> list[str]:
    """What a way sets."""
    return list(THEIRS) if way == PUBLISHED else way.split()


def make_setup(overrides: list[str]) -> Setup:
    """Experiment and data."""
    return Setup.of(Experiment.from_config(compose(overrides)))


def trained_in_turn(
    ways: dict[str, Way],
    pairs: Sequence[tuple[int, int]],
    device: str,
    seconds: float,
    clock: Callable[[], float],
) -> dict[str, list[dict[str, float]]]:
    """Trains each way for so many seconds; step, seconds, Dice and SD log J of its validations."""
    spent = dict.fromkeys(ways, 0.0)
    steps = dict.fromkeys(ways, 0)
    curves: dict[str, list[dict[str, float]]] = {name: [] for name in ways}

    def validate(name: str) -> None:
        row = {"step": steps[name], "seconds": spent[name]} | ways[name].scores(pairs)
        curves[name].append(row)
        done = f"step {row['step']}, {row['seconds']:.0f} s"
        print(f"{name}: {done}, Dice {row['dice']:.3f}", file=sys.stderr, flush=True)

    for name in ways:
        validate(name)
    while running := [n for n in ways if spent[n] < seconds and not ways[n].done]:
        name = min(running, key=spent.__getitem__)
        start = clock()
        ways[name].step()
        synchronize(device)
        spent[name] += clock() - start
        steps[name] += 1
        ways[name].look()
        due = VALIDATIONS[min(len(curves[name]), len(VALIDATIONS)) - 1] * seconds
        if spent[name] >= due or ways[name].done:
            validate(name)
    return curves


def dice_at(curve: Sequence[dict[str, float]], seconds: float) -> float:
    """Dice at a time, in a line between two validations; after the last one, of that one."""
    times, values = ([row[key] for row in curve] for key in ("seconds", "dice"))
    return float(np.interp(seconds, times, values))


def seconds_to(curve: Sequence[dict[str, float]], dice: float) -> float:
    """When the Dice was reached first, in a line between two validations; infinity if never."""
    if curve[0]["dice"] >= dice:
        return 0.0
    for before, after in pairwise(curve):
        if after["dice"] >= dice:
            share = (dice - before["dice"]) / (after["dice"] - before["dice"])
            return before["seconds"] + share * (after["seconds"] - before["seconds"])
    return math.inf


def table(title: str, result: dict[str, Any]) -> Table:
    """A row for each case, way and seed: steps, Dice at times, seconds to Dice, smoothness."""
    budget = result["seconds"]
    made = Table(title=title)
    made.add_column("case", no_wrap=True)
    made.add_column("way")
    headings = ("seed", "steps", *(f"Dice at {share * budget:g} s" for share in SHARES))
    for heading in (*headings, "SD log J", "seconds to Dice"):
        made.add_column(heading, justify="right")
    for row in result["rows"]:
        curve, last = row["curve"], row["curve"][-1]
        _, targets = DATASETS[row["case"].split()[-1]]
        reached = {dice: seconds_to(curve, dice) for dice in targets}
        made.add_row(
            row["case"],
            row["way"],
            str(row["seed"]),
            f"{last['step']:.0f}",
            *(f"{dice_at(curve, share * budget):.3f}" for share in SHARES),
            f"{last['sdlogj']:.3f}",
            ", ".join(
                f"{dice:g}: {'-' if math.isinf(time) else f'{time:.0f}'}"
                for dice, time in reached.items()
            ),
        )
    return made
