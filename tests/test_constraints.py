"""constraints.txt and docs/dependencies.md know what pyproject.toml requires."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
EXTRAS = ("local", "slurm", "ants", "tensorboard", "docs", "test")


def canonical(name: str) -> str:
    """The name of a package, however it is spelled."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_constraints_pin_what_is_required() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()[1:]
    assert lines == sorted(lines, key=str.lower)
    pins = {canonical(line.split("==")[0]): line.split("==")[1] for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"]]
    for extra in EXTRAS:
        wanted += project["optional-dependencies"][extra]
    for requirement in map(Requirement, wanted):
        if requirement.name != project["name"]:
            assert requirement.specifier.contains(pins[canonical(requirement.name)]), requirement


def test_dependencies_are_all_described() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    packages, _, extras = page.partition("| extra |")
    rows = [re.findall(r"^\| `?([\w-]+)`? \|", part, re.MULTILINE) for part in (packages, extras)]
    assert set(rows[0]) - {"package"} == {Requirement(it).name for it in project["dependencies"]}
    assert set(rows[1]) == set(project["optional-dependencies"])
