"""What `python -m bench doctor` finds."""

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
import torch

from bench import __version__
from bench.cli import doctor
from bench.store.files import write_json
from bench.store.layout import HEADER


def found(results: Path, last: str = "") -> dict[str, str]:
    """What the doctor says, until it has said what is looked at."""
    lines = {}
    for name, line in doctor.findings(results):
        lines[name] = line
        if name == last:
            break
    return lines


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an environment that says nothing of Weights & Biases."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return tmp_path


def test_versions_and_device_are_those_of_this_process(place: Path) -> None:
    lines = found(Path("results"), "device")
    assert lines["suite"].startswith(f"{__version__}, commit ")
    assert lines["python"].startswith(f"{platform.python_version()}, ")
    for name in ("torch", "numpy", "wandb", "hydra-core"):
        assert f"{name} {version(name)}" in lines["packages"].split(", ")
    assert "pytest" not in lines["packages"] + lines["extras"]
    if not torch.cuda.is_available():
        assert f"{os.cpu_count()} core" in lines["device"]
    assert lines["device"].endswith(("networks in float32", "networks in bfloat16"))
    assert not (place / "results").exists()


def test_missing_package_stands_out(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> str:
        if name in ("numpy", "hydra-ray-launcher"):
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(doctor, "version", lacking)
    lines = found(Path("results"), "extras")
    assert "numpy MISSING" in lines["packages"]
    assert "ray (hydra-ray-launcher not installed)" in lines["extras"]


def test_folder_of_results_is_looked_at(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (place / "mine" / "runs" / name).mkdir(parents=True)
        write_json(place / "mine" / "runs" / name / HEADER, {})
    line = found(Path("mine"), "results")["results"]
    assert line.startswith(f"{place / 'mine'}: 2 runs, ")
    assert line.endswith(" GiB free, writable")
    free = float(line.split(", ")[1].removesuffix(" GiB free"))
    assert free == pytest.approx(shutil.disk_usage(place).free / 2**30, rel=0.2)
    (place / "file").touch()
    assert found(Path("file/results"), "results")["results"].endswith("NOT WRITABLE")


def test_data_sets_are_ready_when_their_files_are_there(place: Path) -> None:
    lines = found(Path("results"))
    assert lines["data ready"] == "demo (70 subjects), demo3d (28 subjects)"
    assert "hippocampus (in datasets/hippocampus)" in lines["data missing"].split(", ")
    assert lines["your data"].startswith("nifti, ")
    root = place / "datasets" / "hippocampus"
    training = []
    for number in range(8):
        files = {"image": f"imagesTr/{number}.nii.gz", "label": f"labelsTr/{number}.nii.gz"}
        for file in files.values():
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()
        training.append({kind: f"./{file}" for kind, file in files.items()})
    write_json(root / "dataset.json", {"training": training})
    assert "hippocampus (8 subjects)" in found(Path("results"))["data ready"]


def test_mode_and_key_of_weights_and_biases(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(Path("results"), "W&B")["W&B"] == "mode offline; no key is stored"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_MODE", "online")
    assert found(Path("results"), "W&B")["W&B"] == "mode online; a key is stored"
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    line = found(Path("results"), "W&B")["W&B"]
    assert line.startswith("WANDB_MODE=sometimes: must be one of online, ")
