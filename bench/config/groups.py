"""The groups of the configuration and their options."""

from functools import cache
from pathlib import Path

from omegaconf import OmegaConf

PACKAGE = Path(__file__).parents[1]
IN_WHEEL = (PACKAGE / "conf").is_dir()  # a wheel has within the package what a clone has beside it
CONF, READMES = ((PACKAGE if IN_WHEEL else PACKAGE.parent) / name for name in ("conf", "datasets"))
GROUPS = ("task", "dataset", "metric", "regularizer", "model", "trainer", "tracker")


def installing(extra: str, in_wheel: bool = IN_WHEEL) -> str:
    """The command that installs what an extra of the suite needs.

    Args:
        extra: Its name in pyproject.toml.
        in_wheel: Whether the suite was installed from a wheel, not from a clone.
    """
    if in_wheel:
        return f'pip install "registration-bench[{extra}]"'
    return f'pip install -c constraints.txt -e ".[{extra}]"'


def option_files(group: str) -> list[Path]:
    """The files of a group, one for each option; those that begin with `_` are parts of others."""
    return sorted(path for path in (CONF / group).glob("*.yaml") if path.stem[0] != "_")


def options(group: str) -> dict[str, str]:
    """Each option of a group with the one-line comment that heads its file."""
    return {path.stem: headline(path) for path in option_files(group)}


def readme(dataset: str) -> Path:
    """The file that describes how to get a data set, and its layout."""
    path = READMES / dataset / "README.md"
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@cache
def sections() -> frozenset[str]:
    """The top level of a configuration."""
    return frozenset({*GROUPS, *OmegaConf.load(CONF / "config.yaml")} - {"defaults", "hydra"})


@cache
def is_prepared(dataset: str) -> bool:
    """Whether a data set can be prepared: it has a folder of its own in conf/dataset/."""
    path = CONF / "dataset" / f"{dataset}.yaml"
    return path.is_file() and OmegaConf.select(OmegaConf.load(path), "root") is not None


def headline(path: Path) -> str:
    """The comment that heads a configuration file."""
    with open(path, encoding="utf-8") as file:
        lines = (line for line in file if not line.startswith("# @package"))
        return next(lines, "").lstrip("#").strip()
