"""Training steps of the suite beside those of the published code.

Same network, pairs and batch, in turn in one process. The table gives seconds per step and peak
memory of our step, of the baseline (benchmarks/baseline.py), and of ours with the flow predicted at
half the resolution (`model.flow_scale=2`) or by `model=pyramid`, each also as a multiple of ours;
the share of our step that goes into getting the batch; and its floating-point operations as a share
of what a large matrix product reaches on the same device in the same precision. Variants of our
step, such as "ncc 64x64x64 float32", are measured on a GPU, or if the filter names them.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import plain
import tifffile
import torch
from baseline import Baseline, plain_activations
from measure import give_memory_back, in_fresh_process, peak_bytes, seconds, synchronize
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from bench.config.settings import TrainerSettings
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs
from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.preparing import prepare
from bench.data.sources.source import Source
from bench.data.sources.subject import Sample, Subject
from bench.extractors.frozen import Extractor
from bench.extractors.segmenter import Segmenter
from bench.models import Pyramid, VoxelMorph
from bench.models.method import Objective
from bench.regularizers import Diffusion
from bench.similarity import MSE, NCC, DeepSim
from bench.tasks.registration.training import NetworkTraining
from bench.training.devices import make_fabric, network_precision
from bench.training.loop import optimizer_step
from bench.training.memory import keep_freed_memory
from bench.training.trainee import Trainee

LARGE = "160x192x224"  # on a processor only if asked for
SIZES = {
    "64x64x64": (4, (64, 64, 64)),
    "160x192x16": (1, (160, 192, 16)),
    "2x512x688": (2, (512, 688)),
    LARGE: (1, (160, 192, 224)),
}
METRICS = ("mse", "ncc", "deepsim_seg")
VARIANTS: dict[str, dict[str, Any]] = {  # settings of ours; on a processor only if asked for
    "": {},
    "float32": {"precision": "float32"},
    "compiled": {"compile": True},
    "recomputed": {"recompute": True},
}
WAYS = ("ours", "baseline", "half flow", "pyramid")
OURS = ("ours", "half flow", "pyramid")
KINDS = ("bytes", "bytes in use")  # of the process as it trains, and in use; the same on a GPU
CHANNELS = (32, 64, 128)
SPLITS = ["train"] * 4 + ["val"] * 8
CLASSES, WEIGHT = 4, 0.5


@dataclass(frozen=True)
class Data:
    """A data set of smooth random images: in the suite's cache, and as files.

    Attributes:
        dataset: As the suite has it.
        files: Image and labels of each subject.
    """

    dataset: PreparedDataset
    files: list[tuple[Path, Path]]


@dataclass(kw_only=True)
class Smooth(Source):
    """Smooth random images; classes are bands of their grey values."""

    @cached_property
    def images(self) -> np.ndarray:
        """(N, 1, *S) float16."""
        generator = torch.Generator().manual_seed(0)
        mode = "bilinear" if self.ndim == 2 else "trilinear"
        cells = [max(2, size // 8) for size in self.shape]
        coarse = torch.rand(len(SPLITS), 1, *cells, generator=generator)
        fine = torch.nn.functional.interpolate(coarse, size=tuple(self.shape), mode=mode)
        return fine.half().numpy()

    def subjects(self) -> list[Subject]:
        return [Subject(str(i), split) for i, split in enumerate(SPLITS)]

    def fingerprint(self, subjects: Sequence[Subject]) -> str:
        return "smooth"

    def load(self, subject: Subject) -> Sample:
        image = self.images[int(subject.id)].astype(np.float32)
        labels = (image[0] * CLASSES).astype(np.uint8).clip(max=CLASSES - 1)
        return Sample(image, labels, (1.0,) * self.ndim)


def make_data(folder: Path, shape: tuple[int, ...]) -> Data:
    """Writes images and labels both ways."""
    pairs = {"train": "cross", "val": "mirrored", "test": "cross"}
    source = Smooth(name="smooth", ndim=len(shape), shape=shape, classes=CLASSES, pairs=pairs)
    files = []
    for subject in source.subjects():
        sample, paths = source.load(subject), []
        for name, array in (("image", sample.image[0]), ("labels", sample.labels)):
            if len(shape) == 2:
                paths.append(folder / f"{name}{subject.id}.tif")
                tifffile.imwrite(paths[-1], array.astype(np.float16) if name == "image" else array)
            else:
                paths.append(folder / f"{name}{subject.id}.nii.gz")
                nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), paths[-1])
        files.append((paths[0], paths[1]))
    return Data(prepare(source, folder / "cache"), files)


def make_steps(
    metric: str, batch: int, data: Data, device: str, folder: Path, variant: str = ""
) -> tuple[dict[str, Callable[[], object]], Callable[[], object]]:
    """A step our way and one the baseline's way, and what gets our batch."""
    dataset = data.dataset
    settings = make_settings(batch, device, variant)
    extractor = Segmenter(dataset.ndim, 1, CLASSES, CHANNELS, norm=False, dropout=False)
    ours = {
        "mse": MSE,
        "ncc": NCC,
        "deepsim_seg": lambda: DeepSim(Extractor(extractor, network_precision(settings))),
    }[metric]()
    training = TrainingPairs(dataset, Augmentation(), seed=0)
    objective = Objective(ours, Diffusion(), WEIGHT)

    def steps_of(network: torch.nn.Module) -> Callable[[], object]:
        task = NetworkTraining("", network, {}, objective, training)
        trainee = Trainee(make_fabric(settings), task, settings, folder)

        def step() -> None:
            trainee.network.train()
            trainee.stepped(optimizer_step(trainee))

        return step

    their_extractor = Segmenter(dataset.ndim, 1, CLASSES, CHANNELS, norm=False, dropout=False)
    plain_activations(their_extractor.to(device).eval().requires_grad_(False))

    def deepsim(warped: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        return plain.deepsim(their_extractor.features(warped), their_extractor.features(fixed))

    theirs = {
        "mse": torch.nn.functional.mse_loss,
        "ncc": plain.ncc,
        "deepsim_seg": deepsim,
    }[metric]
    baseline = Baseline(
        make_network(dataset.ndim),
        theirs,
        WEIGHT,
        data.files,
        dataset.pairs("train"),
        batch,
        CLASSES,
        device,
    )
    return (
        {
            "ours": steps_of(make_network(dataset.ndim)),
            "baseline": baseline,
            "half flow": steps_of(make_network(dataset.ndim, flow_scale=2)),
            "pyramid": steps_of(Pyramid(dataset.ndim, 1)),
        },
        lambda: training.batch(range(batch), torch.device(device)),
    )


def make_settings(batch: int, device: str, variant: str) -> TrainerSettings:
    """Those of our steps."""
    return TrainerSettings(
        steps=1 << 30,
        batch_size=batch,
        lr=1e-4,
        validate_every=1 << 30,
        accelerator=device,
        **VARIANTS[variant],
    )


def make_network(ndim: int, flow_scale: int = 1) -> VoxelMorph:
    """The registration network."""
    return VoxelMorph(ndim, 1, channels=CHANNELS, norm=False, dropout=False, flow_scale=flow_scale)


def operations(step: Callable[[], object]) -> int:
    """Floating-point operations of a step's matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


@cache
def limit(device: str, precision: torch.dtype) -> float:
    """Operations per second of a large matrix product."""
    size = 8192 if device == "cuda" else 2048
    a, b = torch.rand(2, size, size, device=device).to(precision)
    times = []
    for _ in range(6):
        synchronize(device)
        start = time.perf_counter()
        a @ b
        synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times[1:])


@dataclass(frozen=True)
class Case:
    """What is measured: a metric, at a size of `SIZES`, in one of the `VARIANTS`."""

    metric: str
    size: str
    variant: str

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"{self.metric} {self.size} {self.variant}".strip()


def cases(device: str, chosen: str) -> Iterator[Case]:
    """Those whose names contain `chosen`; the large size and the variants where they are usual."""
    for size in SIZES:
        for metric in METRICS:
            for variant in VARIANTS:
                case = Case(metric, size, variant)
                on_gpu = device == "cuda" and (not variant or metric == "ncc")
                asked = (size != LARGE or LARGE in chosen) and variant in chosen
                if chosen in case.name and (on_gpu or asked):
                    yield case


def measure(device: str, chosen: str, repeats: int) -> dict:
    """Seconds, bytes and operations of the cases whose names contain `chosen`."""
    rows = [
        {"case": case.name, **measure_case(case, device, repeats)} for case in cases(device, chosen)
    ]
    return {"what": "training steps", "rows": rows}


def measure_case(case: Case, device: str, repeats: int) -> dict:
    """Seconds of each way and of getting a batch, bytes of each way, operations of ours, the limit.

    On a processor the baseline has the C library's default way with freed memory, and ours
    another, to which it returns by two steps that are not timed.
    """
    with tempfile.TemporaryDirectory() as folder:
        steps, get_batch = make_case(case, device, Path(folder))
        before = {}
        if device == "cpu":
            before = {way: lambda step=steps[way]: settle(step) for way in OURS}
            before["baseline"] = give_memory_back
        times = seconds({"batch": get_batch, **steps}, repeats, device, before)
        flops = operations(steps["ours"])
        if device == "cuda":
            peak = {way: peak_bytes(steps[way], device) for way in WAYS}
            memory = {kind: peak for kind in KINDS}
    if device == "cpu":
        memory = {
            kind: {way: in_fresh_process(peak_memory, way, kind, case) for way in WAYS}
            for kind in KINDS
        }
    precision = network_precision(make_settings(1, device, case.variant))
    return {
        "seconds": times,
        **memory,
        "flops": flops,
        "precision": str(precision).removeprefix("torch."),
        "limit": limit(device, precision),
    }


def make_case(
    case: Case, device: str, folder: Path
) -> tuple[dict[str, Callable[[], object]], Callable[[], object]]:
    """The steps of a case, and what gets our batch, on data in a folder."""
    batch, shape = SIZES[case.size]
    return make_steps(case.metric, batch, make_data(folder, shape), device, folder, case.variant)


def settle(step: Callable[[], object]) -> None:
    """Sets the suite's way with freed memory, and steps until no new pages are asked for."""
    keep_freed_memory()
    for _ in range(2):
        step()


def peak_memory(way: str, kind: str, case: Case) -> int:
    """Most bytes of a step on a processor."""
    exact = kind == "bytes in use"
    with tempfile.TemporaryDirectory() as folder:
        steps, _ = make_case(case, "cpu", Path(folder))
        if way in OURS and not exact:
            keep_freed_memory()
        return peak_bytes(steps[way], "cpu", exact)


def table(title: str, result: dict) -> Table:
    """A row for each way: figures, and multiples of ours."""
    made = Table(title=title)
    for heading in ("case", "way"):
        made.add_column(heading, no_wrap=True)
    amounts = ("s/step", "times", "MB", "times", "MB in use", "times")
    for heading in (*amounts, "batch", "of the limit"):
        made.add_column(heading, justify="right")
    for row in result["rows"]:
        medians = {name: statistics.median(times) for name, times in row["seconds"].items()}
        ours = medians["ours"]
        for way in WAYS:
            cells = [f"{medians[way]:.3f}", f"{medians[way] / ours:.2f}"]
            for memory in (row[kind] for kind in KINDS):
                cells += [f"{memory[way] / 1e6:.0f}", f"{memory[way] / memory['ours']:.2f}"]
            if way == "ours":
                share = row["flops"] / ours / row["limit"]
                most = f"{row['limit'] / 1e12:.2f} TFLOP/s, {row['precision']}"
                cells += [f"{medians['batch'] / ours:.2%}", f"{share:.0%} of {most}"]
            made.add_row(row["case"] if way == "ours" else "", way, *cells)
        made.add_section()
    return made
