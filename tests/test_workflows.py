"""The workflows and issue templates: what they name exists."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TESTS = ROOT / ".github" / "workflows" / "tests.yml"
FORMS = [p for p in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config"]


def load(path: Path) -> dict[str, Any]:
    """A YAML file as GitHub reads it: `on` is no truth value."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)


def commands() -> list[str]:
    """Every command line of every job."""
    steps = [
        step for path in WORKFLOWS for job in load(path)["jobs"].values() for step in job["steps"]
    ]
    return [line for step in steps for line in step.get("run", "").splitlines()]


def test_workflows_install_extras_and_test_folders_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(re.findall(r"\[([\w,]+)\]", " ".join(commands())))
    assert extras
    assert set(",".join(extras).split(",")) <= set(project["optional-dependencies"])
    words = [word for line in commands() for word in shlex.split(line)]
    tested = [word for word in words if word.startswith(("tests/", "scripts/"))]
    assert tested
    assert all((ROOT / path).exists() for path in tested)
    scripts = {word for word in words if word.startswith("registration-bench")}
    assert scripts == set(project["scripts"])


def test_workflows_test_every_python_that_installing_names() -> None:
    named = re.search(r"workflows test (.*?)\.\s", (ROOT / "docs/installing.md").read_text())
    assert named is not None
    tested = set(re.findall(r"python(?:-version)?: \[?([^\]}\n]+)", TESTS.read_text()))
    versions = set(re.findall(r'"(3\.\d+)"', " ".join(tested)))
    assert versions == set(re.findall(r"3\.\d+", named[1])) == {"3.11", "3.12", "3.13"}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_form_is_one(path: Path) -> None:
    form = load(path)
    assert form["name"]
    assert form["description"]
    ids = [field["id"] for field in form["body"]]
    assert len(set(ids)) == len(ids) > 0
    for field in form["body"]:
        assert field["type"] in ("textarea", "input", "dropdown")
        assert field["attributes"]["label"]
        if field["type"] == "dropdown":
            assert len(field["attributes"]["options"]) > 1


def test_actionlint_finds_nothing() -> None:
    program = shutil.which("actionlint")
    if program is None:
        pytest.skip("needs actionlint")
    done = subprocess.run([program, *map(str, WORKFLOWS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
