"""Displacement fields that other tools wrote, as a method: they are scored, not computed."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.data.files.fields import ENDINGS, Field, read_field
from bench.data.files.images import FileGrid, read_grid
from bench.data.mapping import displacement_between, sampled, transformed
from bench.data.preprocessing.steps import shift, window
from bench.data.setup import Setup, make_source
from bench.data.sources.csv_table import read_table
from bench.data.sources.source import Source
from bench.data.sources.subject import Subject
from bench.errors import DataError, Unsupported
from bench.models.method import Objective
from bench.pair import Pair

SECONDS = "seconds.csv"
LARGEST_SHIFT = 1.0  # voxels of the field between its corners and those of the image


@dataclass(frozen=True)
class _Place:
    """Where a subject lies.

    Attributes:
        grid: Of its file.
        affine: (D + 1, D + 1), from its preprocessed voxels to mm.
        shape: Its preprocessed shape.
    """

    grid: FileGrid
    affine: np.ndarray
    shape: Sequence[int]

    def padded(self, shape: Sequence[int]) -> np.ndarray:
        """The affine from voxels of the subject padded to a shape."""
        return self.affine @ shift([-part.start for part in window(self.shape, shape)])


class Fields:
    """Reads the displacement of each test pair from a folder.

    Files are named `disp_FIXED_MOVING` as by Learn2Reg, with the subjects' names or their last
    number in four digits, or `MOVING_to_FIXED`; or they are `displacement` in a folder
    `MOVING_to_FIXED`. A `seconds.csv` (moving, fixed, seconds) says how long the tool took.

    Args:
        ndim: 2 or 3.
        image_channels: Channels of the images.
        folder: Where the files are.
        version: Of the tool, for the record.
    """

    def __init__(
        self, ndim: int, image_channels: int, folder: str | None, version: str | None = None
    ) -> None:
        self.ndim = ndim
        self.folder = Path(folder or "")
        self.source: Source
        self.subjects: dict[str, Subject] = {}
        self._times: dict[tuple[str, str], float] = {}
        self._place = lru_cache(maxsize=64)(self._find_place)

    def connect(self, setup: Setup) -> None:
        """Learns where the subjects lie, and looks for the field of each test pair.

        Raises:
            Unsupported: If the run is to be used without its data.
            DataError: If fields are missing, a pair has several, or several pairs have the same.
        """
        dataset = setup.dataset
        if not dataset.ids:
            raise Unsupported(
                f"model={setup.experiment['model']['name']} reads what another tool registered; it "
                "cannot be applied to new files. Use a run with another model."
            )
        self.source = make_source(setup.experiment)
        self.subjects = {subject.id: subject for subject in self.source.subjects()}
        self._times = self._read_times()
        pairs = [(dataset.ids[m], dataset.ids[f]) for m, f in dataset.pairs("test")]
        lacking = [pair for pair in pairs if self._find(*pair) is None]
        if lacking:
            moving, fixed = lacking[0]
            found, called = len(pairs) - len(lacking), names(moving, fixed)
            pairing = setup.experiment["dataset"]["pairs"]["test"]
            fewer = f"; or score fewer pairs, evenly spaced: {_at_most(found, pairing)}"
            raise DataError(
                f"{self.folder}: has fields of {found} of the {len(pairs)} test pairs; that of "
                f"{moving} to {fixed} is missing. Name it {called[0]} or {called[-1]}, with one of "
                f"{', '.join(ENDINGS)}, or {called[0]}/displacement with one of them"
                f"{fewer if found else ''}."
            )
        self.check_one_each(pairs)

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32, voxels, from the files.

        Raises:
            DataError: If one cannot be read, or does not fit the fixed image.
        """
        assert pair.ids is not None
        shape = pair.fixed.shape[2:]
        found = [self._displacement(moving, fixed, shape) for moving, fixed in pair.ids]
        return torch.from_numpy(np.stack(found)).to(pair.fixed.device)

    def seconds(self, pair: Pair) -> float:
        """How long the tool took for a batch, by its `seconds.csv`; NaN where that has no row."""
        assert pair.ids is not None
        return sum(self._times.get(ids, float("nan")) for ids in pair.ids)

    def _displacement(self, moving: str, fixed: str, shape: Sequence[int]) -> np.ndarray:
        path = self._find(moving, fixed)
        assert path is not None
        field = read_field(path, self.ndim)
        ours, theirs = self._place(fixed), self._place(moving)
        check_grid(field, ours.grid, fixed)
        mapped = mapping(field, ours.grid, theirs.grid)
        return displacement_between(mapped, ours.padded(shape), theirs.padded(shape), shape)

    def check_one_each(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Raises DataError if a pair (moving, fixed) has several fields, or two have the same."""
        pair_of: dict[Path, tuple[str, str]] = {}
        for pair in pairs:
            path, *others = self._candidates(*pair)
            if others:
                raise DataError(
                    f"{self.folder}: has {path.name} and {others[0].name} for {pair[0]} to "
                    f"{pair[1]}. Keep one of them."
                )
            other = pair_of.setdefault(path, pair)
            if other != pair:
                raise DataError(
                    f"{path}: is the field of {' to '.join(other)} and of {' to '.join(pair)}, "
                    f"whose names end in the same numbers. Name it {names(*pair)[0]}."
                )

    def _find(self, moving: str, fixed: str) -> Path | None:
        return next(self._candidates(moving, fixed), None)

    def _candidates(self, moving: str, fixed: str) -> Iterator[Path]:
        for name in names(moving, fixed):
            for ending in ENDINGS:
                for path in (f"{name}{ending}", f"{name}/displacement{ending}"):
                    if (self.folder / path).is_file():
                        yield self.folder / path

    def _find_place(self, subject: str) -> "_Place":
        described = self.subjects[subject]
        raw = self.source.read(described)
        if raw is None or described.image is None:  # generated: a file would be as it is trained on
            shape = self.source.load(described).image.shape[1:]
            return _Place(FileGrid(shape, np.eye(self.ndim + 1)), np.eye(self.ndim + 1), shape)
        grid = read_grid(described.image, raw)
        sample = self.source.preprocess(described, raw)
        assert sample.grid is not None
        affine = np.eye(self.ndim + 1) if raw.affine is None else raw.affine
        return _Place(grid, affine @ sample.grid, sample.image.shape[1:])

    def _read_times(self) -> dict[tuple[str, str], float]:
        path = self.folder / SECONDS
        if not path.exists():
            return {}
        columns = ("moving", "fixed", "seconds")
        try:
            times = {
                (row["moving"], row["fixed"]): float(row["seconds"])
                for row in read_table(path, columns)
            }
        except (KeyError, ValueError) as error:
            raise DataError(f"{path}: a row lacks a number of seconds. Fill it in.") from error
        if not all(0 <= seconds < math.inf for seconds in times.values()):
            raise DataError(f"{path}: seconds must be at least 0 and finite. Correct them.")
        return times


def names(moving: str, fixed: str) -> list[str]:
    """How the file of a pair may be called, without ending."""
    called = [
        name.replace("/", "_").removesuffix(".gz").removesuffix(".nii") for name in (moving, fixed)
    ]
    found = [f"{called[0]}_to_{called[1]}", f"disp_{called[1]}_{called[0]}"]
    numbers = [re.findall(r"\d+", name) for name in called]
    if all(numbers):
        found.append(f"disp_{int(numbers[1][-1]):04d}_{int(numbers[0][-1]):04d}")
    return list(dict.fromkeys(found))


def _at_most(most: int, pairing: str | Mapping[str, Any]) -> str:
    """The setting of fewer test pairs, quoted for a shell."""
    options = dict(pairing) if isinstance(pairing, Mapping) else {"policy": pairing}
    listed = ", ".join(f"{name}: {value}" for name, value in {**options, "most": most}.items())
    return f"'dataset.pairs.test={{{listed}}}'"


def check_grid(field: Field, grid: FileGrid, subject: str) -> None:
    """Raises DataError unless a field has the fixed file's grid, or that at half resolution.

    Halves of odd sizes are rounded up or down, each axis alike or not: scipy rounds to even.
    Whatever the size, the corners of a field in voxels are those of the image.
    """
    shape = field.vectors.shape[1:]
    half = tuple(-(-n // 2) for n in grid.shape)
    is_half = all(
        n in (whole // 2, up) for n, whole, up in zip(shape, grid.shape, half, strict=True)
    )
    if shape != grid.shape and not is_half:
        raise DataError(
            f"{field.path}: has the shape {shape}, but its fixed image {subject} has {grid.shape}. "
            f"Write the field on the fixed image's grid, or at half of it, {half}."
        )
    if field.affine is None:
        return
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * len(shape), indexing="ij"))
    last = np.array(shape).reshape(-1, *[1] * len(shape)) - 1.0
    whole = np.array(grid.shape).reshape(last.shape) - 1.0
    there = transformed(np.linalg.inv(field.affine), transformed(grid.affine, corners * whole))
    shift = float(np.abs(there - corners * last).max())
    if shift > LARGEST_SHIFT:
        apart = f"{shift:.3g} voxels" if shift >= 1.005 else "just over 1 voxel"
        raise DataError(
            f"{field.path}: its header disagrees with that of its fixed image {subject}: their "
            f"corners are up to {apart} apart. Write it with that image's header."
        )


def mapping(field: Field, grid: FileGrid, moving: FileGrid) -> Callable[[np.ndarray], np.ndarray]:
    """Points (D, *S) of the fixed image in mm to those of the moving one, as a field says it."""
    if field.affine is not None:
        to_field = np.linalg.inv(field.affine)
        return lambda x: x + sampled(field.vectors, transformed(to_field, x))
    to_file = np.linalg.inv(grid.affine)
    shapes: Any = (field.vectors.shape[1:], grid.shape)
    scale = [(n - 1) / max(whole - 1, 1) for n, whole in zip(*shapes, strict=True)]

    def mapped(x: np.ndarray) -> np.ndarray:
        voxels = transformed(to_file, x)
        places = voxels * np.reshape(scale, (-1, *[1] * (x.ndim - 1)))
        return transformed(moving.affine, voxels + sampled(field.vectors, places))

    return mapped
