"""Measures how long a command takes to its first step, and one whose run is finished to its answer.

    python benchmarks/startup.py [--repeats N] [OVERRIDE...]

The overrides are those of run.py, by default those of the demo. The first repeat fills the caches
of data and interpreter and does not count.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST_STEP = """
import runpy, sys, time
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])
from bench.training import loop
step = loop.optimizer_step
def timed(*arguments):
    print("step at", time.time(), flush=True)
    return step(*arguments)
loop.optimizer_step = timed
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def main() -> None:
    """Prints both times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_intermixed_args()
    overrides = ["trainer.steps=1", "tracker.mode=disabled", *arguments.overrides]
    training, answering = [], []
    with tempfile.TemporaryDirectory() as folder:
        command = [str(ROOT / "run.py"), f"results_dir={folder}", *overrides]
        for repeat in range(arguments.repeats + 1):
            start = time.time()
            said = run([sys.executable, "-c", FIRST_STEP, *command, "force=true"])
            moment = next(line.split()[-1] for line in said if line.startswith("step at"))
            answered = time.time()
            run([sys.executable, *command])
            if repeat:
                training.append(float(moment) - start)
                answering.append(time.time() - answered)
    print(f"to the first step: {statistics.median(training):.2f} s")
    print(f"a finished run's answer: {statistics.median(answering):.2f} s")


def run(command: list[str]) -> list[str]:
    """The lines that a command prints."""
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.split("\n")


if __name__ == "__main__":
    main()
