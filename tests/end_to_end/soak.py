"""Kills a sweep at random moments, again and again, and compares what it ends with.

    python tests/end_to_end/soak.py [--kills N] [--seed N] [--steps N] [--folder DIR]

A sweep of 12 small runs on the demo, extractors among them, is run once undisturbed, and once
killed by SIGKILL and started again until it has been killed often enough.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SWEEP = [
    "-m", "metric=mse,ncc,deepsim_ae", "regularizer.scale=1,2", "seed=0,1", "dataset=demo",
    "dataset.shape=[32,40]", "dataset.resolution=4",
    "dataset.subjects_per_split={train:6,val:2,test:2}", "model.channels=[4,6,8]",
    "trainer.validate_every=20", "trainer.checkpoint_every=5", "trainer.precision=float32",
    "trainer.accelerator=cpu", "trainer.progress=false", "tracker=none",
]  # fmt: skip
RUNS = 12


@dataclass(frozen=True)
class Outcome:
    """What a soak came to.

    Attributes:
        kills: How often the sweep was killed while it ran.
        finished: Runs that have finished.
        different: Names of runs whose numbers are not those of the undisturbed sweep.
        rest: Files that a kill left half-written and nothing cleared away.
    """

    kills: int
    finished: int
    different: list[str]
    rest: list[str]


def soak(folder: Path, kills: int, seed: int, steps: int, longest: float) -> Outcome:
    """Runs both sweeps.

    Args:
        folder: Where results are written.
        kills: How often to kill.
        seed: Determines the moments.
        steps: Training steps of each run and extractor.
        longest: Most seconds that the sweep lives before it is killed.
    """
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    command = [sys.executable, str(ROOT / "run.py"), *SWEEP, f"trainer.steps={steps}"]
    command.append(f"dataset.recommended.short.surrogate_steps={steps}")
    _run([*command, f"results_dir={undisturbed}"])
    moments = random.Random(seed)
    killed = 0
    while killed < kills:
        process = subprocess.Popen(
            [*command, f"results_dir={disturbed}"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(moments.uniform(0.5, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
        else:
            _forget_one(disturbed, moments)
    _run([*command, f"results_dir={disturbed}"])
    expected, found = _numbers(undisturbed), _numbers(disturbed)
    different = [name for name in expected if found.get(name) != expected[name]]
    rest = [str(p.relative_to(disturbed)) for p in disturbed.rglob("*.partial")]
    return Outcome(killed, len(found), different + sorted(set(found) - set(expected)), rest)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)


def _forget_one(results: Path, moments: random.Random) -> None:
    """Deletes a run, so that a sweep that got through has something left to do."""
    name = moments.choice(sorted(_numbers(results)))
    _run([sys.executable, "-m", "bench", "runs", "rm", name, "--results", str(results)])


def _numbers(results: Path) -> dict[str, Any]:
    """What the seed determines of each finished run, by its folder's name."""
    found = {}
    for path in sorted(results.glob("runs/*/summary.json")):
        summary = json.loads(path.read_text())
        kept = {key: summary[key] for key in ("steps", "best_step", "validation")}
        kept["scores"] = {k: v for k, v in summary["scores"].items() if k != "seconds"}
        found[path.parent.name] = kept
    return found


def main() -> None:
    """Prints what the soak came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--longest", type=float, default=12, help="most seconds before a kill")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    options = (arguments.kills, arguments.seed, arguments.steps, arguments.longest)
    if arguments.folder:
        print(soak(arguments.folder, *options))
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(soak(Path(folder), *options))


if __name__ == "__main__":
    main()
