"""Training steps of the suite with a hand-made piece, and with the plain formula in its place.

Same network, pairs and batch, in turn in one process. The table gives our seconds per step (the
least of all repeats) and peak memory in use, and how many times as much a step takes without the
piece. A piece stays where the step is a tenth faster or a fifth smaller for it.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from measure import in_fresh_process, peak_bytes, seconds
from rich.table import Table
from torch import Tensor, nn
from train import LARGE, SIZES, Case, make_case, settle

from bench.models import convolution, unet
from bench.similarity import deepsim


def plain_doubling(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Convolves the doubled map, which is kept."""
    padding = [edge // 2 for edge in weight.shape[2:]]
    return convolution.convolve(convolution.double(x), weight, bias, padding=padding)


def in_a_row(layers: Sequence[nn.Module], x: Tensor) -> Tensor:
    """Layers one after the other: activations and their gradients are computed as torch does."""
    for layer in layers:
        x = layer(x)
    return x


DOUBLING = (unet, "convolve_doubled", plain_doubling)
SLABS = (convolution, "SMALL", 1 << 62)
PLACES = (convolution, "VECTOR", 1)
ACTIVATIONS = [(module, "run", in_a_row) for module in (convolution, unet)]
JOINING = (unet.Joining, "forward", unet.Joining.plain)
COSINE = (deepsim, "mean_cosine", deepsim.plain_mean_cosine)
PIECES = {  # metric of the step, and what is put in the place of what
    "doubling": ("mse", [DOUBLING]),
    "slabs": ("mse", [SLABS]),
    "places": ("mse", [PLACES]),
    "activations": ("mse", ACTIVATIONS),
    "joining": ("mse", [JOINING]),
    "all of them": ("mse", [DOUBLING, SLABS, *ACTIVATIONS, JOINING]),
    "cosine": ("deepsim_seg", [COSINE]),
}


@contextmanager
def without(piece: str) -> Iterator[None]:
    """Computes by the plain formula what the piece computes."""
    with ExitStack() as stack:
        for target, name, formula in PIECES[piece][1]:
            stack.enter_context(patch.object(target, name, formula))
        yield


def measure(device: str, chosen: str, repeats: int) -> dict:
    """Seconds and bytes of steps with and without the pieces, where "PIECE SIZE" has `chosen`."""
    rows = []
    for size in SIZES:
        for piece, (metric, _) in PIECES.items():
            name = f"{piece} {size}"
            if chosen in name and (size != LARGE or LARGE in chosen):
                case = Case(metric, size, "")
                rows.append({"case": name, **measure_piece(piece, case, device, repeats)})
    return {"what": "training steps with and without a piece", "rows": rows}


def measure_piece(piece: str, case: Case, device: str, repeats: int) -> dict:
    """Seconds of each repeat of either way, and their bytes in use."""
    with tempfile.TemporaryDirectory() as folder:
        step = make_case(case, device, Path(folder))[0]["ours"]
        if device == "cpu":
            settle(step)
        times = seconds({"with": step, "without": plainly(piece, step)}, repeats, device)
    arguments = (piece, case, device)
    return {
        "seconds": times,
        "bytes": {way: in_fresh_process(peak_memory, way, *arguments) for way in times},
    }


def plainly(piece: str, step: Callable[[], object]) -> Callable[[], None]:
    """The step without the piece."""

    def plain_step() -> None:
        with without(piece):
            step()

    return plain_step


def peak_memory(way: str, piece: str, case: Case, device: str) -> int:
    """Most bytes in use of a step, either way."""
    with tempfile.TemporaryDirectory() as folder:
        step = make_case(case, device, Path(folder))[0]["ours"]
        return peak_bytes(step if way == "with" else plainly(piece, step), device)


def table(title: str, result: dict) -> Table:
    """Figures with the piece, and those without as multiples."""
    made = Table(title=title)
    made.add_column("without, at size", no_wrap=True)
    for heading in ("s/step", "without, times", "MB in use", "without, times"):
        made.add_column(heading, justify="right")
    for row in result["rows"]:
        least = {way: min(times) for way, times in row["seconds"].items()}
        memory = row["bytes"]
        made.add_row(
            row["case"],
            f"{least['with']:.3f}",
            f"{least['without'] / least['with']:.2f}",
            f"{memory['with'] / 1e6:.0f}",
            f"{memory['without'] / memory['with']:.2f}",
        )
    return made
