"""Measures the suite beside the straightforward way to do the same, side by side in one process.

    python benchmarks/run.py [--suite metrics|train|breakdown|ablation|direct|convergence|checksums]
                             [--device cpu|cuda] [--filter NAME] [--repeats N] [--json FILE]
                             [--seconds S] [--way OVERRIDES]... [--clock wall|processor]
                             [--results DIR]

`metrics`: each costly part, forward and backward, beside the straightforward formula and MONAI's.
`train`: whole training steps beside those of the published code. `breakdown`: where their time
goes. `ablation`: whole steps with and without each hand-made piece.
`direct`: direct registration beside SyN, ConvexAdam and a plain loop, on real pairs.
`convergence`: validation Dice against seconds of training; the last lines' options are for it.
`checksums`: what the checks of a cache cost of a start. Compare times within one table only.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import ablation
import breakdown
import checksums
import convergence
import direct
import metrics
import torch
import train
from hydra.errors import HydraException
from measure import parse_arguments
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from bench.cli.messages import explain
from bench.errors import BenchError

SUITES = {
    "metrics": metrics,
    "train": train,
    "breakdown": breakdown,
    "ablation": ablation,
    "direct": direct,
    "convergence": convergence,
    "checksums": checksums,
}


def main() -> None:
    """Prints the table."""
    arguments = parse_arguments(__doc__, list(SUITES))
    suite, device = SUITES[arguments.suite], arguments.device
    if device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda: PyTorch finds no GPU here. Use --device cpu.")
    where = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} cores"
    race = {}
    if suite is convergence:
        race = {"seconds": arguments.seconds, "clock": arguments.clock}
        race["results"] = arguments.results
        race["ways"] = arguments.way or convergence.WAYS
    try:
        result = suite.measure(device, arguments.filter, arguments.repeats, **race)
    except (BenchError, HydraException, OmegaConfBaseException) as error:
        sys.exit(explain(error))
    except KeyboardInterrupt as interrupt:
        print(
            str(interrupt) or "Interrupted. Run the same command to start again.", file=sys.stderr
        )
        sys.exit(130)
    title = f"{result['what']}, {where}, torch {torch.__version__}"
    Console(width=140).print(suite.table(title, result))
    if arguments.json:
        arguments.json.write_text(json.dumps({"title": title, **result}, indent=1))


if __name__ == "__main__":
    main()
