"""Suite `checksums`: what the checks of a cache cost of a start, from its index to the first batch.

The caches are like that of the hippocampus set (260 volumes of 64x64x64) and of whole brains (8 of
160x192x224); images in 8 bits, label maps, whatever they show. A start reads the index and checks
it, and checks a batch of subjects: beside the least that a command needs to its first step.
"""

import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import seconds
from rich.markup import escape
from rich.table import Table

from bench.data.cache.collector import IMAGES, LABELS, checksum_of
from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.stored import INDEX
from bench.store.files import sealed, write_json

CASES = {  # subjects, shape, batch
    "hippocampus": (260, (64, 64, 64), 4),
    "brain_whole": (8, (160, 192, 224), 1),
}
STARTUP = Path(__file__).with_name("startup.py")


def measure(device: str, chosen: str, repeats: int) -> dict[str, Any]:
    """Seconds of a start without checks, and of the checks, of each case."""
    said = subprocess.run(
        [sys.executable, str(STARTUP), "--repeats", str(repeats)],
        check=True,
        text=True,
        stdout=subprocess.PIPE,
    ).stdout
    start = float(said.split("first step: ")[1].split()[0])
    rows = []
    for name, (count, shape, batch) in CASES.items():
        if chosen not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            write_cache(Path(folder), count, shape)
            dataset = PreparedDataset.open(Path(folder), {})
            members = range(2 * batch)  # moving and fixed
            actions = {
                "index": partial(PreparedDataset.open, Path(folder), {}),
                "batch": partial(check, Path(folder), dataset, members),
                "all": partial(check, Path(folder), dataset, range(count)),
            }
            times = {k: statistics.median(v) for k, v in seconds(actions, repeats, device).items()}
        rows.append({"case": name, "start": start, **times})
    return {"what": "checksums of caches", "rows": rows}


def write_cache(folder: Path, count: int, shape: tuple[int, ...]) -> None:
    """A cache of random subjects, as far as its checks read it."""
    rng = np.random.default_rng(0)
    checksums: dict[str, list[int]] = {}
    for name in (IMAGES, LABELS):
        array = np.lib.format.open_memmap(
            folder / name, mode="w+", dtype=np.uint8, shape=(count, 1, *shape)
        )
        for block in array:
            block[:] = rng.integers(0, 256, block.shape, np.uint8)
        checksums[name] = [checksum_of(block) for block in array]
    index = {"name": "x", "ids": [str(i) for i in range(count)], "checksums": checksums}
    write_json(folder / INDEX, sealed(index))


def check(folder: Path, dataset: PreparedDataset, members: range) -> None:
    """Checks subjects as a process does that uses them for the first time."""
    for name, known in dataset.index["checksums"].items():
        array = np.load(folder / name, mmap_mode="r")
        assert all(checksum_of(array[i]) == known[i] for i in members)


def table(title: str, result: dict[str, Any]) -> Table:
    """Milliseconds, and shares of the start."""
    names = ("case", "start [s]", "index [ms]", "batch [ms]", "of the start", "all [ms]")
    found = Table(*map(escape, names), title=title)
    for row in result["rows"]:
        share = (row["index"] + row["batch"]) / row["start"]
        times = [f"{1e3 * row[name]:.2f}" for name in ("index", "batch")]
        found.add_row(
            row["case"], f"{row['start']:.2f}", *times, f"{share:.2%}", f"{1e3 * row['all']:.0f}"
        )
    return found
