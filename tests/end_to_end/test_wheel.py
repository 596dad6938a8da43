"""The wheel alone runs an experiment and reports on it, in a folder without the repository."""

import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from bench import __version__

from .conftest import DEMO, ROOT, Outcome, only_run, read_summary

CONSOLE_SCRIPT = """
import sys
from importlib.metadata import entry_points
[command] = entry_points(group="console_scripts", name=sys.argv[1])
sys.argv = sys.argv[1:]
import bench
assert bench.__file__.startswith(sys.path[1]), (bench.__file__, sys.path)
sys.exit(command.load()())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the wheel holds, unpacked."""
    pytest.importorskip("hatchling", reason="builds wheels; the extra test has it")
    place = tmp_path_factory.mktemp("wheel")
    build = f"from hatchling.build import build_wheel; print(build_wheel({str(place)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    [packed] = place.glob("*.whl")
    assert packed.name == f"registration_bench-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(place / "site")
    return place / "site"


def call(
    wheel: Path, folder: Path, *words: str, environment: Mapping[str, str] = MappingProxyType({})
) -> Outcome:
    """A console script of the wheel; installed packages are found, but not the repository."""
    packages = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    packages |= dict.fromkeys(path for path in sys.path if path.endswith("site"))
    done = subprocess.run(
        [sys.executable, "-S", "-c", CONSOLE_SCRIPT, *words],  # -S: no editable install is found
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, [wheel, *packages])),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=250,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def contents(paths: list[Path], folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_wheel_holds_the_configuration_the_readmes_and_nothing_of_the_tests(wheel: Path) -> None:
    for folder, files in (("conf", "**/*.yaml"), ("datasets", "*/README.md")):
        held = [path for path in (wheel / "bench" / folder).rglob("*") if path.is_file()]
        here = list((ROOT / folder).glob(files))
        assert len(here) > 10
        assert contents(held, wheel / "bench") == contents(here, ROOT)
    assert (wheel / "bench" / "py.typed").is_file()
    info = f"registration_bench-{__version__}.dist-info"
    assert {path.name for path in wheel.iterdir()} == {"bench", "hydra_plugins", info}


@pytest.mark.timeout(600)
def test_wheel_runs_and_reports_where_it_is_called(wheel: Path, tmp_path: Path) -> None:
    done = call(wheel, tmp_path, "registration-bench-run", *DEMO, "trainer.steps=20")
    assert (done.code, done.err) == (0, "")
    proposed = re.findall(r"^next: (\S+) (\S+)", done.out, re.MULTILINE)
    assert proposed == [
        ("registration-bench-run", "-m"),
        ("registration-bench", "report"),
        ("registration-bench", "data"),
    ]
    summary = read_summary(only_run(tmp_path / "results"))
    assert (summary["status"], summary["steps"]) == ("finished", 20)
    environment = json.loads((only_run(tmp_path / "results") / "environment.json").read_text())
    assert environment["commit"] is None

    done = call(wheel, tmp_path, "registration-bench", "report")
    assert (done.code, done.err) == (0, "")
    page = (tmp_path / "results" / "report" / "index.html").read_text()
    assert "<pre>registration-bench-run dataset=demo metric=ncc " in page

    (tmp_path / "datasets" / "hippocampus").mkdir(parents=True)
    listed = call(wheel, tmp_path, "registration-bench", "data", "list").out
    assert "in datasets/hippocampus; " in listed
    readmes = [Path(path) for path in re.findall(r"see (\S+README\.md)", listed)]
    assert wheel / "bench" / "datasets" / "hippocampus" / "README.md" in readmes
    assert all(path.is_file() for path in readmes)


@pytest.mark.parametrize("command", ["registration-bench", "registration-bench-run"])
def test_command_tells_the_version(command: str, wheel: Path, tmp_path: Path) -> None:
    assert call(wheel, tmp_path, command, "--version").out == f"registration-bench {__version__}\n"


def test_commands_complete_words_in_bash(wheel: Path, tmp_path: Path) -> None:
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # else the shell that runs tests
    show = ("registration-bench", "--show-completion", "bash")
    shown = call(wheel, tmp_path, *show, environment=named).out
    assert "_REGISTRATION_BENCH_COMPLETE=complete_bash" in shown
    words = {"COMP_WORDS": "registration-bench data check hipp", "COMP_CWORD": "3"}
    asked = {"_REGISTRATION_BENCH_COMPLETE": "complete_bash", **words}
    assert call(wheel, tmp_path, "registration-bench", environment=asked).out == "hippocampus\n"
    installed = call(wheel, tmp_path, "registration-bench-run", "-sc", "install=bash").out
    assert "registration-bench-run" in installed
    line = {"COMP_LINE": "registration-bench-run metric=dee", "COMP_POINT": "33"}
    done = call(wheel, tmp_path, "registration-bench-run", "-sc", "query=bash", environment=line)
    assert done.out.split() == [f"metric=deepsim_{name}" for name in ("ae", "csr", "seg")]
