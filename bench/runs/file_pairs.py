"""Pairs of new files, given one by one or listed in a table, and their names."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.data.files.kinds import stem_of
from bench.data.sources.csv_table import read_table
from bench.errors import ConfigError, DataError


@dataclass(frozen=True)
class PairOfFiles:
    """Two images to be registered.

    Attributes:
        moving: The moving image.
        fixed: The fixed image.
        labels: Label map of the moving image, or None.
        fixed_labels: Label map of the fixed image, or None.
        landmarks: Points of the fixed image, or None.
        depth: Number of parts at the end of their paths that name the images, at least.

    Raises:
        DataError: If only the fixed image has labels, which has no use.
    """

    moving: Path
    fixed: Path
    labels: Path | None = None
    fixed_labels: Path | None = None
    landmarks: Path | None = None
    depth: int = 1

    def __post_init__(self) -> None:
        if self.fixed_labels is not None and self.labels is None:
            raise DataError(
                f"{self.fixed_labels}: labels the fixed image {self.fixed}, but the moving image "
                f"{self.moving} has no labels. Give both label maps, or none."
            )

    def check(self) -> None:
        """Raises ConfigError if there is no such file, by the option that names it."""
        for name in ("moving", "fixed", "labels", "fixed_labels", "landmarks"):
            path = getattr(self, name)
            if path is not None and not os.path.exists(path):
                raise ConfigError(f"--{name.replace('_', '-')} {path}: no such file.")

    @property
    def stems(self) -> tuple[str, str]:
        """The names of moving and fixed file, without endings."""
        return stem_of(self.moving), stem_of(self.fixed)

    @property
    def names(self) -> tuple[str, str]:
        """Names of moving and fixed image, with the folders that distinguish them."""
        first, second = (_parts(path) for path in (self.moving, self.fixed))
        depths = range(self.depth, max(len(first), len(second)) + 1)
        depth = next((n for n in depths if first[-n:] != second[-n:]), self.depth)
        return "/".join(first[-depth:]), "/".join(second[-depth:])

    @property
    def folder(self) -> str:
        """Name of the folder of the pair."""
        return "_to_".join(self.names).replace("/", "_")


def chosen_pairs(
    csv: Path | None,
    moving: Path | None,
    fixed: Path | None,
    labels: Path | None = None,
    fixed_labels: Path | None = None,
    landmarks: Path | None = None,
) -> list[PairOfFiles]:
    """The pairs of a command line: those of a table, or one.

    Raises:
        ConfigError: If neither or both are given, or there is no such table.
        DataError: As of `listed_pairs` and `PairOfFiles`.
    """
    if csv is not None:
        if not csv.is_file():
            raise ConfigError(
                f"--csv {csv}: is not a file. Give a table of pairs, such as pairs.csv."
            )
        pairs = listed_pairs(csv)
        if moving or fixed or labels or fixed_labels or landmarks:
            raise ConfigError(
                "--csv lists the pairs. Leave out --moving, --fixed, labels and landmarks."
            )
        return pairs
    if moving is None or fixed is None:
        raise ConfigError(
            "Name one pair with --moving A --fixed B, or several with --csv pairs.csv."
        )
    return [PairOfFiles(moving, fixed, labels, fixed_labels, landmarks)]


def listed_pairs(path: Path) -> list[PairOfFiles]:
    """The pairs of a CSV table with the columns moving, fixed and, if there are any, labels,
    fixed_labels and landmarks; paths are relative to the table. Their names include as many folders
    as distinguish them.

    Raises:
        DataError: If it cannot be read, a row lacks an image, there is no file that it names, or
            two pairs are the same.
    """
    if not path.exists():
        raise DataError(
            f"{path}: no such file. Write a CSV there with the columns moving and fixed."
        )
    pairs: list[PairOfFiles] = []
    lines: list[int] = []
    for row in read_table(path, ("moving", "fixed"), optional=("labels", "fixed_labels")):
        for role in ("moving", "fixed"):
            if not row.get(role):
                raise DataError(f"{path}: line {row.line} has no {role} image. Fill it in.")
        names = ("moving", "fixed", "labels", "fixed_labels", "landmarks")
        files: dict[str, Any] = {name: path.parent / row[name] for name in names if row.get(name)}
        pairs.append(PairOfFiles(**files))
        lines.append(row.line)
        for name, file in files.items():
            if not os.path.exists(file):  # which no name makes fail
                raise DataError(f"{path}: line {row.line}: {name} {file}: no such file.")
    return _told_apart(path, pairs, lines)


def _told_apart(
    table: Path, pairs: Sequence[PairOfFiles], lines: Sequence[int]
) -> list[PairOfFiles]:
    """The pairs in the lines of a table, called so that each has its folder."""
    deepest = max((len(_parts(path)) for p in pairs for path in (p.moving, p.fixed)), default=1)
    named = list(pairs)
    for depth in range(1, deepest + 1):
        named = [replace(pair, depth=depth) for pair in pairs]
        if len({pair.folder for pair in named}) == len(pairs):
            return named
    first: dict[str, int] = {}
    for pair, line in zip(named, lines, strict=True):
        if first.setdefault(pair.folder, line) != line:
            raise DataError(
                f"{table}: lines {first[pair.folder]} and {line} both register "
                f"{' to '.join(pair.stems)}; the results of one would replace those of the other. "
                "Leave one out, or register it with --moving and --fixed."
            )
    return named


def _parts(path: Path) -> list[str]:
    """The folders of a file, outermost first, and its name without ending."""
    return [*Path(os.path.abspath(path)).parts[1:-1], stem_of(path)]
