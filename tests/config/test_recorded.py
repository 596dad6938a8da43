"""From what runs have recorded, only classes of the suite are built, and nothing is resolved."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from conf_options import compose_raw, experiment
from image_files import write_nifti
from typer.testing import CliRunner

from bench.cli.commands import app
from bench.config.experiment import Experiment
from bench.config.recorded import check_recorded
from bench.errors import ConfigError
from bench.runs.trained import load_method, load_setup
from bench.store.folder import Folder

DEMO = ["dataset=demo", "dataset.shape=[32,40]", "tracker=none"]
COMMANDS = ("panel", "landscape", "features", "robustness", "register", "model.trained")


def recorded(results: Path, change=None, data=None) -> Folder:
    """A finished run whose configuration someone has changed, as far as commands look at it."""
    config = experiment([*DEMO, f"results_dir={results}"]).config
    for place, value in (change or {}).items():
        *sections, key = place.split(".")
        section = config
        for name in sections:
            section = section[name]
        section[key] = value
    folder = Folder(results / "runs" / "demo-ncc-0.2-seed0-01234567")
    folder.path.mkdir(parents=True)
    summary = {"schema": 5, "status": "finished", "task": "registration", "dataset": "demo"}
    summary |= {"id": "01234567", "variant": "v", "scores": {}, "data": "x", "steps": 1}
    folder.file("summary.json").write_text(json.dumps(summary))
    folder.file("run.json").write_text("{}")
    folder.file("config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    folder.file("pairs.csv").write_text("moving,fixed,dice\na,b,0.5\n")
    content = {"index": {"shape": [32, 40], "channels": 1}, "reading": {}, "transfers": {}}
    folder.file("data.json").write_text(json.dumps(data or content))
    return folder


def use(command: str, folder: Folder) -> str:
    """The line with which a command refuses a run."""
    results = folder.path.parent.parent
    if command == "model.trained":
        given = [*DEMO, f"results_dir={results}", f"model.trained={folder.path.name}"]
        with pytest.raises(ConfigError) as refused:
            Experiment.from_config(compose_raw(given))
        return str(refused.value)
    name = folder.path.name
    image = write_nifti(results.parent / "a.nii", np.zeros((4, 4, 4), np.uint8))
    pair = ["--moving", str(image), "--fixed", str(image)]
    further = {"register": [*pair, "--out", str(results / "out")]}
    arguments = [command, name, "--results", str(results), *further.get(command, [])]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, ConfigError), error
    return str(error)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "place", ["model.evil", "metric._target_", "dataset.augmentation.flip", "trainer.x"]
)
def test_foreign_class_is_not_built(command, place, tmp_path):
    marker = tmp_path / "marker"
    evil = {"_target_": "builtins.open", "file": str(marker), "mode": "w"}
    folder = recorded(tmp_path / "results", {place: evil["_target_"] if "_t" in place else evil})
    line = use(command, folder)
    assert "'builtins.open' is a class that conf/ does not name," in line
    assert "pass trust=true" in line if command == "model.trained" else "pass --trust" in line
    assert "\n" not in line
    assert not marker.exists()


@pytest.mark.parametrize(
    "target",
    [
        "pandas.read_pickle",
        "torch.hub.load",
        "bench.store.folder.os.system",
        "bench.store.folder.shutil.rmtree",
        ["bench.similarity.NCC"],
        None,
    ],
)
def test_what_is_no_class_of_conf_is_refused(target):
    with pytest.raises(ConfigError, match="is a class that conf/ does not name,"):
        check_recorded({"model": {"_target_": target}}, "config.yaml", False, "pass --trust")
    check_recorded({"model": {"_target_": target}}, "config.yaml", True, "pass --trust")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["dataset.root", "metric.name", "dataset.name"])
def test_interpolation_is_not_resolved(command, place, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hush")
    line = use(command, recorded(tmp_path / "results", {place: "${oc.env:SECRET}"}))
    assert f"{place}='${{oc.env:SECRET}}' is an interpolation" in line
    assert "hush" not in line


def test_interpolation_is_not_trusted_either(tmp_path):
    folder = recorded(tmp_path, {"dataset.root": "${oc.env:SECRET}"})
    with pytest.raises(ConfigError, match="is an interpolation"):
        load_setup(folder, trust=True)


def test_what_an_extractor_learned_on_is_checked(tmp_path):
    evil = {"metric": {"_target_": "os.system"}}
    content = {"index": {}, "reading": {}, "transfers": {"metric": {"config": evil}}}
    with pytest.raises(ConfigError, match=r"data.json: transfers.metric.config.metric._target_="):
        load_method(recorded(tmp_path, data=content))


def test_recorded_run_cannot_trust_another(tmp_path):
    """Its configuration says `trust` for itself, and names a run that would run code."""
    evil = recorded(tmp_path / "evil", {"metric._target_": "os.system"})
    folder = recorded(tmp_path / "results", {"trust": True, "model.trained": str(evil.path)})
    with pytest.raises(ConfigError, match=r"'os.system' is a class that conf/ does not name"):
        load_setup(folder)


def test_every_configuration_of_the_suite_is_built():
    for metric in ("ncc", "sum", "deepsim_ae", "ncc_sup"):
        check_recorded(experiment([f"metric={metric}"]).config, "config.yaml", False, "")
