"""What end-to-end tests share: the command line in this process or its own, tiny data sets."""

import csv
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel
import numpy as np
import pytest
from image_files import write_sequence

from bench.store.files import sealed, write_json
from bench.store.layout import FILES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SUBJECTS = "dataset.subjects_per_split={train:4,val:2,test:2}"
TRAINING = [
    "model.channels=[4,8]",
    "dataset.recommended.short.channels={autoencoder:[4,8],segmenter:[4,8]}",
    "trainer.steps=6",
    "trainer.validate_every=5",
    "trainer.batch_size=2",
    "trainer.progress=false",
    "tracker=none",
]
DEMO = ["dataset=demo", "dataset.shape=[32,40]", SUBJECTS, *TRAINING]
DEMO3D = ["dataset=demo3d", "dataset.shape=[16,24,16]", SUBJECTS, *TRAINING]
VOLUME = (12, 14, 10)
LOOK_AT_FIGURES = (
    "test_runs",
    "test_channels",
    "test_figures_of_runs",
    "test_tracking",
    "test_tensorboard",
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def line(self) -> str:
        """The one line on stderr of a command that failed."""
        assert self.code not in (0, None), f"succeeded:\n{self.out}"
        assert len(self.err.splitlines()) == 1, f"not one line:\n{self.err}"
        return self.err.strip()


Command = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def _imports_once() -> None:
    import lightning_fabric  # noqa: F401  logs to the stderr that it finds at import


@pytest.fixture(autouse=True)
def _environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, a wide terminal, and importable custom parts, here and in subprocesses."""
    netrc = tmp_path / "netrc"
    netrc.touch(mode=0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), str(ROOT)]))
    monkeypatch.syspath_prepend(str(HERE))


@pytest.fixture(autouse=True)
def _few_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of this process draw figures where tests look at them: a third of a tiny run's time."""
    if request.module.__name__.rpartition(".")[2] in LOOK_AT_FIGURES:
        return

    def draw(path: Path, *_: object) -> None:
        path.write_bytes(b"no figure")

    monkeypatch.setattr("bench.tasks.registration.registration.draw_pair", draw)


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the demo data sets of all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def empty_results(tmp_path: Path) -> Path:
    """A results folder that does not exist yet."""
    return tmp_path / "results"


@pytest.fixture
def results(empty_results: Path, demo_cache: Path) -> Path:
    """A results folder that shares the cache of the demo data sets."""
    return with_cache(empty_results, demo_cache)


def with_cache(results: Path, cache: Path) -> Path:
    """Makes a results folder with a cache that lies elsewhere."""
    results.mkdir(parents=True)
    (results / "cache").symlink_to(cache, target_is_directory=True)
    return results


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`python run.py ...` in this process."""

    def command(*arguments: str) -> Outcome:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # the command sets it for itself
        return _in_process(
            lambda: runpy.run_path(str(ROOT / "run.py"), run_name="__main__"),
            ["run.py", *arguments],
            monkeypatch,
            capsys,
        )

    return command


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`python -m bench ...` in this process."""

    def command(*arguments: str) -> Outcome:
        monkeypatch.setenv("HYDRA_FULL_ERROR", "0")  # run.py sets it for itself
        return _in_process(
            lambda: runpy.run_module("bench", run_name="__main__"),
            ["bench", *arguments],
            monkeypatch,
            capsys,
        )

    return command


@pytest.fixture
def call(
    run: Command,
    bench: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """A command as the documentation writes it; further scripts lie in the working folder."""

    def command(*words: str) -> Outcome:
        programs = {("python", "run.py"): run, ("python", "-m", "bench"): bench}
        for program, function in programs.items():
            if words[: len(program)] == program:
                return function(*words[len(program) :])
        assert words[0] == "python", f"{words}: no command of the suite"
        return _in_process(
            lambda: runpy.run_path(words[1], run_name="__main__"), [*words[1:]], monkeypatch, capsys
        )

    return command


@pytest.fixture
def place(tmp_path: Path, demo_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a new user, whose results are yet to come."""
    monkeypatch.chdir(tmp_path)
    with_cache(tmp_path / "results", demo_cache)
    return tmp_path


def _in_process(
    action: Callable[[], Any],
    argv: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Outcome:
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", argv)
    code = 0
    try:
        action()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    captured = capsys.readouterr()
    return Outcome(code, captured.out, captured.err)


def run_process(
    *arguments: str,
    before: Callable[[], None] | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """`python run.py ...` in a process of its own.

    Args:
        arguments: The command's arguments.
        before: Called in the new process before the command starts.
        environment: Variables to set in it.
    """
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments],
        cwd=ROOT,
        env={**os.environ, "HYDRA_FULL_ERROR": "0", **environment},
        capture_output=True,
        text=True,
        timeout=200,
        preexec_fn=before or _interruptible,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def _interruptible() -> None:
    """Takes SIGINT, which shells let the commands ignore that they start in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def at(results: Path) -> str:
    """The override that names the results folder."""
    return f"results_dir={results}"


def run_folders(results: Path) -> list[Path]:
    """Folders of all runs, finished or not."""
    return sorted(path for path in results.glob("runs/*") if not path.name.startswith("."))


def only_run(results: Path) -> Path:
    """The folder of the only run."""
    (folder,) = run_folders(results)
    return folder


def read_summary(folder: Path) -> dict[str, Any]:
    """A run's summary."""
    return json.loads((folder / "summary.json").read_text())


def write_summary(folder: Path, **changes: Any) -> None:
    """Changes a run's summary, and lets its files have changed: neither is then damage."""
    kept = {name: value for name, value in read_summary(folder).items() if name != FILES}
    write_json(folder / "summary.json", sealed({**kept, **changes}))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def numbers(summary: dict[str, Any]) -> dict[str, Any]:
    """What of a summary the seed determines: all scores but times."""
    kept = {key: summary[key] for key in ("steps", "best_step", "validation")}
    for key in ("scores", "scores_before"):
        kept[key] = {name: value for name, value in summary[key].items() if name != "seconds"}
    return kept


def assert_nothing_written(results: Path) -> None:
    """No run, no extractor, no cache and nothing half-written."""
    written = [
        path
        for path in results.rglob("*")
        if path.is_file() and path.suffix != ".lock" and not path.is_symlink()
    ]
    assert written == []
    assert run_folders(results) == []
    assert [path for path in results.glob("cache/*") if path.is_dir()] == []


def write_volume(path: Path, volume: np.ndarray) -> None:
    """Writes a NIfTI file of 1 mm voxels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), path)


def subject(number: int, shape: Sequence[int] = VOLUME) -> tuple[np.ndarray, np.ndarray]:
    """A ball of class 1 with a core of class 2 on a noisy background: image and labels."""
    random = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid - np.array(shape) / 2 - random.normal(size=3), axis=-1)
    labels = (distance < 4).astype(np.uint8) + (distance < 2)
    image = 40.0 * labels + random.uniform(0, 10, size=shape)
    return image.astype(np.float32), labels.astype(np.uint8)


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Six volumes with labels, and their table."""
    root = tmp_path / "volumes"
    rows = ["image,labels,split"]
    for number, split in enumerate(["train", "train", "val", "val", "test", "test"]):
        for kind, array in zip(("image", "labels"), subject(number), strict=True):
            write_volume(root / f"{kind}{number}.nii.gz", array)
        rows.append(f"image{number}.nii.gz,labels{number}.nii.gz,{split}")
    (root / "subjects.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def decathlon(tmp_path: Path) -> Path:
    """Ten subjects in the Decathlon's layout."""
    root = tmp_path / "decathlon"
    entries = []
    for number in range(10):
        image, labels = subject(number)
        name = f"case_{number:03d}.nii.gz"
        write_volume(root / "imagesTr" / name, image)
        write_volume(root / "labelsTr" / name, labels)
        entries.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
    (root / "dataset.json").write_text(json.dumps({"training": entries}))
    return root


@pytest.fixture
def brain(tmp_path: Path) -> Path:
    """An atlas and nine subjects in the layout of the brain data."""
    root = tmp_path / "brain"
    splits = ["train"] * 5 + ["val"] * 2 + ["test"] * 2
    rows = [f"person{number},{split}" for number, split in enumerate(splits)]
    folders = [root / "data" / f"person{number}" for number in range(len(splits))]
    for number, folder in enumerate([root / "atlas", *folders]):
        image, labels = subject(number)
        write_volume(folder / "brain_aligned.nii.gz", image)
        write_volume(folder / "seg_coalesced_aligned.nii.gz", labels)
    (root / "metadata.csv").write_text("\n".join(["subject_id,SPLIT", *rows]) + "\n")
    return root


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    """Two short sequences in the layout of phc_u373, of 16 x 20 pixels within their border."""
    root = tmp_path / "cells"
    write_sequence(root, "01", 6, (24, 28))
    write_sequence(root, "02", 10, (24, 28))
    return root
