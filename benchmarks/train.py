"""Training steps of the suite beside those of the published code.

Same network, pairs and batch, in turn in one process. The table gives our seconds per step and peak
memory, how many times as much the baseline (benchmarks/baseline.py) takes, the share of our step
that goes into getting the batch, and the floating-point operations of our step as a share of what a
large matrix product reaches on the same device.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import plain
import tifffile
import torch
from baseline import Baseline, plain_activations
from measure import give_memory_back, in_fresh_process, peak_bytes, seconds, synchronize
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from bench.data.arrays import IMAGES, LABELS
from bench.data.augmentation import Augmentation
from bench.data.loading import TrainingPairs
from bench.data.prepared import PreparedDataset
from bench.devices import make_fabric, network_precision
from bench.extractors.frozen import Extractor
from bench.extractors.segmenter import Segmenter
from bench.memory import keep_freed_memory
from bench.models import VoxelMorph
from bench.registration import Registration
from bench.regularizers import Diffusion
from bench.settings import TrainerSettings
from bench.similarity import MSE, NCC, DeepSim
from bench.trainee import Trainee
from bench.training import single_step

SIZES = {
    "64x64x64": (4, (64, 64, 64)),
    "160x192x16": (1, (160, 192, 16)),
    "2x512x688": (2, (512, 688)),
}
RECOMPUTED = "recomputed"  # ours by `trainer.recompute=true`
LARGE_SIZES = {  # on a processor only if asked for
    "160x192x224": (1, (160, 192, 224)),
    f"160x192x224 {RECOMPUTED}": (1, (160, 192, 224)),
}
METRICS = ("mse", "ncc", "deepsim_seg")
WAYS = ("ours", "baseline")
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


def make_data(folder: Path, shape: tuple[int, ...]) -> Data:
    """Writes images and labels both ways."""
    generator = torch.Generator().manual_seed(0)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    coarse = torch.rand(len(SPLITS), 1, *[max(2, s // 8) for s in shape], generator=generator)
    images = torch.nn.functional.interpolate(coarse, size=shape, mode=mode)
    labels = (images * CLASSES).long().clamp(max=CLASSES - 1).to(torch.uint8).numpy()
    images = images.half().numpy()
    np.save(folder / IMAGES, images)
    np.save(folder / LABELS, labels)
    index = {
        "name": "random",
        "fingerprint": "",
        "ids": [str(i) for i in range(len(SPLITS))],
        "class_names": [str(i) for i in range(CLASSES)],
        "spacing": [1.0] * len(shape),
        "shape": list(shape),
        "channels": 1,
        "step": None,
        "splits": SPLITS,
        "places": [["random", None]] * len(SPLITS),
        "given": {},
    }
    files = []
    for i in range(len(SPLITS)):
        paths = []
        for name, array in (("image", images), ("labels", labels)):
            if len(shape) == 2:
                paths.append(folder / f"{name}{i}.tif")
                tifffile.imwrite(paths[-1], array[i, 0])
            else:
                paths.append(folder / f"{name}{i}.nii.gz")
                content = array[i, 0] if name == "labels" else array[i, 0].astype(np.float32)
                nibabel.save(nibabel.Nifti1Image(content, np.eye(4)), paths[-1])
        files.append((paths[0], paths[1]))
    return Data(PreparedDataset(folder, index, {"train": "cross", "val": "mirrored"}), files)


def make_steps(
    metric: str, batch: int, data: Data, device: str, folder: Path, recompute: bool = False
) -> tuple[dict[str, Callable[[], object]], Callable[[], object]]:
    """A step our way and one the baseline's way, and what gets our batch."""
    dataset = data.dataset
    settings = TrainerSettings(
        steps=1 << 30,
        batch_size=batch,
        lr=1e-4,
        validate_every=1 << 30,
        accelerator=device,
        recompute=recompute,
    )
    extractor = Segmenter(dataset.ndim, 1, CLASSES, CHANNELS, norm=False, dropout=False)
    ours = {
        "mse": MSE,
        "ncc": NCC,
        "deepsim_seg": lambda: DeepSim(Extractor(extractor, network_precision(settings))),
    }[metric]()
    training = TrainingPairs(dataset, Augmentation(), seed=0)
    task = Registration("", make_network(dataset.ndim), {}, ours, Diffusion(), WEIGHT, training)
    trainee = Trainee(make_fabric(settings), task, settings, folder)

    def our_step() -> None:
        trainee.network.train()
        trainee.stepped(single_step([trainee], trainee.state.step)[0])

    their_extractor = Segmenter(dataset.ndim, 1, CLASSES, CHANNELS, norm=False, dropout=False)
    plain_activations(their_extractor.to(device).eval().requires_grad_(False))

    def deepsim(warped: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        both = their_extractor.features(warped), their_extractor.features(fixed)
        levels = zip(*both, strict=True)
        return 1 - torch.stack([plain.cosine(*both) for both in levels]).mean()

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
        {"ours": our_step, "baseline": baseline},
        lambda: training.batch(range(batch), torch.device(device)),
    )


def make_network(ndim: int) -> VoxelMorph:
    """The registration network."""
    return VoxelMorph(ndim, 1, channels=CHANNELS, norm=False, dropout=False)


def operations(step: Callable[[], object]) -> int:
    """Floating-point operations of a step's matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def limit(device: str) -> float:
    """Operations per second of a large product of bfloat16 matrices."""
    size = 8192 if device == "cuda" else 2048
    a, b = torch.rand(2, size, size, device=device).bfloat16()
    times = []
    for _ in range(6):
        synchronize(device)
        start = time.perf_counter()
        a @ b
        synchronize(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times[1:])


def measure(device: str, chosen: str, repeats: int) -> dict:
    """Seconds, bytes and operations of the cases whose names contain `chosen`."""
    most = limit(device)
    large = device == "cuda" or any(name in chosen for name in (*LARGE_SIZES, RECOMPUTED))
    rows = [
        {
            "case": f"{metric} {size}",
            **measure_case(metric, batch, shape, device, repeats, RECOMPUTED in size),
        }
        for size, (batch, shape) in (SIZES | (LARGE_SIZES if large else {})).items()
        for metric in METRICS
        if chosen in f"{metric} {size}"
    ]
    return {"what": f"training steps, limit {most / 1e12:.2f} TFLOP/s", "limit": most, "rows": rows}


def measure_case(
    metric: str,
    batch: int,
    shape: tuple[int, ...],
    device: str,
    repeats: int,
    recompute: bool,
) -> dict:
    """Seconds of each way and of getting a batch, bytes of each way, operations of ours.

    On a processor the baseline has the C library's default way with freed memory, and ours its
    own, to which it returns by two steps that are not timed.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), shape)
        steps, get_batch = make_steps(metric, batch, data, device, Path(folder), recompute)
        before = {}
        if device == "cpu":

            def settle() -> None:
                keep_freed_memory()
                for _ in range(2):
                    steps["ours"]()

            before = {"ours": settle, "baseline": give_memory_back}
        times = seconds({"batch": get_batch, **steps}, repeats, device, before)
        flops = operations(steps["ours"])
    case = (metric, batch, shape, device, recompute)
    memory = {
        kind: {way: in_fresh_process(peak_memory, way, kind, *case) for way in WAYS}
        for kind in ("bytes", "bytes in use")
    }
    return {"seconds": times, **memory, "flops": flops}


def peak_memory(
    way: str,
    kind: str,
    metric: str,
    batch: int,
    shape: tuple[int, ...],
    device: str,
    recompute: bool,
) -> int:
    """Most bytes of a step: of the process as it trains, or those in use."""
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), shape)
        steps, _ = make_steps(metric, batch, data, device, Path(folder), recompute)
        exact = kind == "bytes in use"
        if way == "ours" and device == "cpu" and not exact:
            keep_freed_memory()
        return peak_bytes(steps[way], device, exact)


def table(title: str, result: dict) -> Table:
    """Our figures, and the baseline's as multiples."""
    made = Table(title=title)
    made.add_column("case")
    times = "baseline, times"
    headings = ("s/step", times, "MB", times, "MB in use", times, "batch", "of the limit")
    for heading in headings:
        made.add_column(heading, justify="right")
    for row in result["rows"]:
        medians = {name: statistics.median(own) for name, own in row["seconds"].items()}
        ours = medians["ours"]
        memory = [
            text
            for own in (row["bytes"], row["bytes in use"])
            for text in (f"{own['ours'] / 1e6:.0f}", f"{own['baseline'] / own['ours']:.2f}")
        ]
        made.add_row(
            row["case"],
            f"{ours:.3f}",
            f"{medians['baseline'] / ours:.2f}",
            *memory,
            f"{medians['batch'] / ours:.2%}",
            f"{row['flops'] / ours / result['limit']:.0%}",
        )
    return made
