"""The folder of a data set."""

from pathlib import Path

from bench.config.commands import BENCH
from bench.config.groups import is_prepared
from bench.errors import DataError


def existing_root(dataset: str, given: str | Path | None) -> Path:
    """The folder of a data set.

    Args:
        dataset: The data set's name.
        given: Its `dataset.root`.

    Raises:
        DataError: If it is not given, missing or empty.
    """
    remedy = "Pass dataset.root=PATH"
    if is_prepared(dataset):
        prepare = f"`{BENCH} data prepare {dataset}`"
        remedy += f"; {prepare} downloads the data or explains how to get it."
    else:
        remedy += f" (`--root PATH` of `{BENCH} data`), the folder of your files."
    if given is None:
        raise DataError(f"dataset {dataset}: no folder is given. {remedy}")
    root = Path(given)
    if root.is_file():
        table = f" dataset.table_file={root.name}" if root.suffix.lower() == ".csv" else ""
        raise DataError(
            f"dataset {dataset}: dataset.root={root} is a file. Name its folder, "
            f"dataset.root={root.parent}{table}."
        )
    if not root.is_dir():
        raise DataError(f"dataset {dataset}: the folder {root} does not exist. {remedy}")
    if all(entry.name == "README.md" or entry.name[0] == "." for entry in root.iterdir()):
        raise DataError(f"dataset {dataset}: the folder {root} is empty. {remedy}")
    return root
