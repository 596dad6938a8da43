"""Pairs of images: files of the same name in two folders."""

from pathlib import Path

from bench.config.image_parts import check_name
from bench.data.files.kinds import stem_of
from bench.data.sources.csv_table import Row
from bench.data.sources.roles import FIXED, MOVING
from bench.errors import DataError


def are_paired(root: Path) -> bool:
    """Whether a folder holds the folders of moving and of fixed images."""
    return (root / MOVING).is_dir() and (root / FIXED).is_dir()


def rows_of_folders(root: Path) -> list[Row]:
    """A row for each pair, as a table of pairs has it.

    Every folder that begins with `moving` or `fixed`, such as `moving_labels`, is a column, whose
    files or DICOM folders are called like those of the others but for their endings.

    Raises:
        DataError: If a folder is empty, a file is in one folder and not in another, or its name is
            not UTF-8.
    """
    columns = {
        folder.name: _named(folder)
        for folder in sorted(root.iterdir())
        if folder.is_dir() and folder.name.partition("_")[0] in (MOVING, FIXED)
    }
    for column, files in columns.items():
        for name in sorted({*files} ^ {*columns[MOVING]}):
            there, lacking = (column, MOVING) if name in files else (MOVING, column)
            raise DataError(
                f"{root / there / columns[there][name]}: has no counterpart {name} in "
                f"{root / lacking}. Paired files have the same name; rename the file, or remove it."
            )
    return [
        Row(number, {column: f"{column}/{files[name]}" for column, files in columns.items()})
        for number, name in enumerate(sorted(columns[MOVING]), start=1)
    ]


def _named(folder: Path) -> dict[str, str]:
    """Files by their names without ending."""
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name[0] == ".":
            continue
        check_name(path)
        name = stem_of(path)
        if name == path.name and path.is_file():  # a file of points
            name = path.stem.removesuffix(".mrk")
        if name in found:
            raise DataError(
                f"{path}: has the same name {name} as {found[name]}. Keep one of them in {folder}."
            )
        found[name] = path.name
    if not found:
        raise DataError(f"{folder}: is empty. Add a file for each pair.")
    return found
