"""Kills sweeps and reports, damages their files again and again, and compares how they end.

    python tests/end_to_end/soak.py [--kills N] [--damages N] [--seed N] [--steps N] [--folder DIR]

Two sweeps on the demo, 12 small trainings and 8 direct registrations, extractors among them, and
a report are made once undisturbed, and once killed by SIGKILL and started again, in random order:
at random moments, and before files are renamed. Between the starts bits of files of every kind are
flipped, and files are cut.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.store.files import CHECKSUM
from bench.store.folder import Folder
from bench.store.layout import RUNS as RUNS_FOLDER
from bench.store.layout import SUMMARY
from bench.store.listing import list_folders
from bench.store.standing import Status

ROOT = Path(__file__).parents[2]
SWEEP = [
    "run.py", "-m", "regularizer.scale=1,2", "seed=0,1", "dataset=demo", "dataset.shape=[32,40]",
    "dataset.resolution=4", "dataset.subjects_per_split={train:6,val:2,test:2}",
    "trainer.precision=float32", "trainer.accelerator=cpu", "trainer.progress=false",
    "tracker=none",
]  # fmt: skip
NETWORKS = [
    *SWEEP, "metric=mse,ncc,deepsim_ae", "model.channels=[4,6,8]", "trainer.validate_every=20",
    "trainer.checkpoint_every=5", "metric.extractor.channels=[4,6,8]",
]  # fmt: skip
DIRECT = [
    *SWEEP, "model=direct", "metric=mse,deepsim_ae", "metric.extractor.channels=[4,6,8]",
]  # fmt: skip
RUNS = 20
KILLED_AT_A_WRITE = """
import os, runpy, signal, sys
left = int(sys.argv[1])
def hook(event, arguments):
    global left
    if event == "os.rename":
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
sys.addaudithook(hook)
sys.argv = sys.argv[2:]
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
"""
MOST_WRITES = 40  # in one start, before the process is killed
OTHERS_OF_A_RUN = {"last.pt", "progress.json"}  # which are checked when the run goes on


@dataclass
class Outcome:
    """What a soak came to.

    Attributes:
        kills: How often the sweep was killed while it ran, at a moment or at a write.
        damages: How many files were damaged between starts, by name.
        finished: Runs that have finished.
        different: Files of runs and extractors that are not those of the undisturbed sweep.
        unnoticed: Damaged files of finished runs that still counted as whole.
        rest: Files that a kill left half-written and nothing cleared away.
    """

    kills: int = 0
    damages: dict[str, int] = field(default_factory=dict)
    finished: int = 0
    different: list[str] = field(default_factory=list)
    unnoticed: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)


def soak(folder: Path, kills: int, damages: int, seed: int, steps: int, longest: float) -> Outcome:
    """Runs both sweeps.

    Args:
        folder: Where results are written.
        kills: How often to kill.
        damages: How many files to damage.
        seed: Determines the moments and the files.
        steps: Training steps of each run and extractor.
        longest: Most seconds that the sweep lives before it is killed.
    """
    undisturbed, disturbed = folder / "undisturbed", folder / "disturbed"
    for command in _commands(undisturbed, steps):
        _run([sys.executable, *command])
    commands = _commands(disturbed, steps)
    moments, outcome = random.Random(seed), Outcome()
    while outcome.kills < kills or sum(outcome.damages.values()) < damages:
        runs = list_folders(disturbed)
        finished = any(run.status() is Status.FINISHED for run in runs)
        possible = commands if finished else commands[:-1]  # a report needs a run
        if _is_killed(moments.choice(possible), moments, longest):
            outcome.kills += 1
        elif runs:
            _remove(disturbed, moments.choice(runs).path.name)
        wanted = damages * outcome.kills / max(kills, 1)
        while sum(outcome.damages.values()) < min(wanted, damages):
            if not _damage_one(disturbed, moments, outcome):
                break
        for run in list_folders(disturbed):
            if run.status() is Status.DAMAGED and run.summary():
                _remove(disturbed, run.path.name)
    for command in commands:
        _run([sys.executable, *command])
    for found in list_folders(disturbed):
        outcome.finished += found.status() is Status.FINISHED
    outcome.different = _differing(undisturbed, disturbed)
    outcome.rest = [str(p.relative_to(disturbed)) for p in disturbed.rglob("*.partial")]
    return outcome


def _commands(results: Path, steps: int) -> list[list[str]]:
    """Of both sweeps and the report, the report last."""
    settings = [f"results_dir={results}", f"dataset.recommended.short.surrogate_steps={steps}"]
    report = ["-m", "bench", "report", "--results", str(results), "--out", str(results / "report")]
    return [[*NETWORKS, f"trainer.steps={steps}", *settings], [*DIRECT, *settings], report]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)


def _is_killed(command: list[str], moments: random.Random, longest: float) -> bool:
    """Starts a command; whether it was killed before it had got through."""
    at_a_write = moments.random() < 0.5
    writes = str(moments.randrange(MOST_WRITES)) if at_a_write else "-1"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_AT_A_WRITE, writes, *command],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _, said = process.communicate(timeout=None if at_a_write else moments.uniform(0.5, longest))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
    else:
        if process.returncode > 0:
            raise RuntimeError(said)
    return process.returncode != 0


def _remove(results: Path, name: str) -> None:
    _run([sys.executable, "-m", "bench", "runs", "rm", name, "--results", str(results)])


def _damage_one(results: Path, moments: random.Random, outcome: Outcome) -> bool:
    """Flips a bit of a file or cuts it, every kind of file as often; whether there was one."""
    places = [results / name for name in ("runs", "extractors", "cache")]
    files = [p for place in places for p in place.glob("[!.]*/*") if p.stat().st_size]
    if not files:
        return False
    name = moments.choice(sorted({path.name for path in files}))
    path = moments.choice(sorted(path for path in files if path.name == name))
    content = bytearray(path.read_bytes())
    if moments.random() < 0.3:
        content = content[: moments.randrange(len(content))]
    else:
        content[moments.randrange(len(content))] ^= 1 << moments.randrange(8)
    finished = (path.parent / SUMMARY).exists() and path.parent.parent.name == RUNS_FOLDER
    before = Folder(path.parent).summary() or {}
    path.write_bytes(content)
    outcome.damages[name] = outcome.damages.get(name, 0) + 1
    if finished and name not in OTHERS_OF_A_RUN:
        found = Folder(path.parent).standing()
        now = found.summary or {}
        same = all(now.get(key) == value for key, value in before.items() if key != CHECKSUM)
        if found.status is Status.FINISHED and (name != SUMMARY or not same):
            outcome.unnoticed.append(str(path.relative_to(results)))
    return True


def _differing(expected: Path, found: Path) -> list[str]:
    """Files of runs, extractors and report that one folder of results lacks or has otherwise."""
    names = {
        path.relative_to(results)
        for results in (expected, found)
        for pattern in ("runs/[!.]*/*", "extractors/[!.]*/*", "report/**/*")
        for path in results.glob(pattern)
        if path.name in (SUMMARY, "best.safetensors", "index.html") or path.suffix == ".csv"
    }
    return [str(n) for n in sorted(names) if _content(expected / n) != _content(found / n)]


def _content(path: Path) -> Any:
    """What the seed determines of a file."""
    if not path.exists():
        return None
    if path.name == SUMMARY:
        summary = json.loads(path.read_text())
        kept = {key: summary.get(key) for key in ("steps", "best_step", "validation")}
        scores = {name: score for name, score in summary["scores"].items() if name != "seconds"}
        return {**kept, "scores": scores}
    if path.suffix == ".csv":
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        return [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
    return path.read_bytes() if path.suffix == ".safetensors" else True


def main() -> None:
    """Prints what the soak came to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--damages", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--longest", type=float, default=12, help="most seconds before a kill")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    options = {k: v for k, v in vars(arguments).items() if k != "folder"}
    if arguments.folder:
        print(soak(arguments.folder, **options))
    else:
        with tempfile.TemporaryDirectory() as folder:
            print(soak(Path(folder), **options))


if __name__ == "__main__":
    main()
