"""Measures how long `python -m bench report` takes on many runs.

    python benchmarks/report.py [--pairs N] [--seeds N]

The runs never happened: 3 data sets, with noise of 0, 0.1 and 0.2, 8 metrics, 5 λ and 3 seeds are
1080 of them, each with its rows of 40 test pairs and 3 classes. Time is that of the processor.
"""

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "analysis"))

from synthetic_store import config, write_run

from bench.analysis.numbers.findings import Request, find
from bench.analysis.report.writing import write_report

DATASETS = ("hippocampus", "brain_slab", "em_vnc")
NOISES = (None, 0.1, 0.2)
METRICS = ("mse", "ncc", "ncc_sup", "nmi", "mind", "deepsim_ae", "deepsim_csr", "deepsim_seg")
WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0)


def main() -> None:
    """Prints the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = write_runs(Path(folder), arguments.pairs, arguments.seeds)
        numbers, report = measure(Path(folder))
    print(f"report of {runs} runs: {report:.1f} s, of which {numbers:.1f} s are its numbers")


def write_runs(results: Path, pairs: int, seeds: int) -> int:
    """Writes runs; returns how many."""
    random = np.random.default_rng(0)
    count = 0
    for dataset, noise, metric in itertools.product(DATASETS, NOISES, METRICS):
        best = 0.6 + 0.2 * random.random()
        for weight, seed in itertools.product(WEIGHTS, range(seeds)):
            settings = config(dataset, metric, weight, seed)
            settings["dataset"]["added_noise"] = noise
            dice = best - 0.02 * abs(np.log2(weight)) + 0.05 * random.standard_normal(pairs)
            write_run(
                results,
                settings,
                dice,
                val_dice=float(dice.mean()),
                hd95=3 + random.random(pairs),
                sdlogj=0.1 / weight * (1 + 0.1 * random.random(pairs)),
                variant=f"{metric}-{noise}",
            )
            count += 1
    return count


def measure(results: Path) -> tuple[float, float]:
    """Seconds of the processor that the numbers of a report take, and the whole report."""
    start = time.process_time()
    find(Request(results))
    numbers = time.process_time() - start
    start = time.process_time()
    write_report(Request(results), results / "report")
    return numbers, time.process_time() - start


if __name__ == "__main__":
    main()
