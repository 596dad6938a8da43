"""Sweeps on several processes of one machine give the records that one process gives."""

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.store.locks import is_held

from .conftest import DEMO, ROOT, at, numbers, read_rows, read_summary, run_folders, run_process

SWEEP = ("-m", "metric=mse,ncc", *DEMO)


def records(results: Path) -> dict[str, tuple]:
    return {
        folder.name: (numbers(read_summary(folder)), read_rows(folder / "classes.csv"))
        for folder in run_folders(results)
    }


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple]:
    results = tmp_path_factory.mktemp("basic") / "results"
    outcome = run_process(*SWEEP, at(results))
    assert outcome.code == 0, outcome.err
    return records(results)


@pytest.mark.parametrize("launcher", ["local", "slurm_local"])
def test_launcher_gives_the_same_records(
    launcher: str, one_process: dict[str, tuple], tmp_path: Path
) -> None:
    results = tmp_path / "results"
    outcome = run_process(*SWEEP, f"hydra/launcher={launcher}", at(results))
    assert outcome.code == 0, outcome.err
    assert records(results) == one_process
    assert len(one_process) == 2
    assert outcome.out.rstrip().endswith("2 finished")


def test_terminated_sweep_ends_its_workers_and_says_so(tmp_path: Path) -> None:
    results = tmp_path / "results"
    long = ("trainer.steps=100000", "trainer.checkpoint_every=1", "hydra/launcher=local")
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), *SWEEP, *long, "seed=0,1", at(results)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while len(list(results.glob("runs/*/last.pt"))) < 2:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.terminate()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.splitlines()[-1] == (
        "Terminated. The same command continues from the last saved states."
    )
    assert "resumable: metric=mse seed=0" in err
    locks = list(results.glob("runs/.locks/*"))
    assert len(locks) == 2
    assert not any(is_held(lock) for lock in locks)


def test_launcher_without_its_plugin_says_what_to_install(tmp_path: Path) -> None:
    if importlib.util.find_spec("hydra_plugins.hydra_ray_launcher"):
        pytest.skip("the plugin for Ray is installed")
    outcome = run_process(*SWEEP, "hydra/launcher=ray", at(tmp_path / "results"))
    assert outcome.line == (
        "hydra/launcher=ray: its plugin is not installed. To install it, run `pip install "
        '-c constraints.txt -e ".[ray]"`.'
    )
