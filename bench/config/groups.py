"""The groups of the configuration and what each offers."""

from pathlib import Path

CONF = Path(__file__).parents[2] / "conf"
GROUPS = ("task", "dataset", "metric", "regularizer", "model", "trainer", "tracker")


def option_files(group: str) -> list[Path]:
    """The files of a group, one for each option; those that begin with `_` are parts of others."""
    return sorted(path for path in (CONF / group).glob("*.yaml") if path.stem[0] != "_")


def options(group: str) -> dict[str, str]:
    """Each option of a group with the one-line comment that heads its file."""
    return {path.stem: headline(path) for path in option_files(group)}


def headline(path: Path) -> str:
    """The comment that heads a configuration file."""
    with open(path, encoding="utf-8") as file:
        lines = (line for line in file if not line.startswith("# @package"))
        return next(lines, "").lstrip("#").strip()
