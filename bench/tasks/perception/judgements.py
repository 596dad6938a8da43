"""What people said: which of two images is nearer to a third."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from bench.data.cache.prepared import PreparedDataset
from bench.data.files.images import read_raw
from bench.data.preprocessing.ranges import as_text, is_foreign
from bench.data.sources.csv_table import read_table
from bench.data.sources.roles import FIXED
from bench.data.sources.source import Source
from bench.data.sources.subject import TEST, Subject
from bench.errors import DataError, counted
from bench.pair import Pair

IMAGES = ("reference", "a", "b")
SHARE = "preferring_b"
JUDGED = "judged/"  # begins the subjects of images.csv that are such references


@dataclass(frozen=True)
class Triplet:
    """A reference and two images, and how people chose.

    Attributes:
        files: The images, by `IMAGES`.
        names: As the table writes them.
        preferring_b: Share of people to whom b is nearer, from 0 to 1.
        table: Where it stands.
        line: Its line there.
    """

    files: Mapping[str, Path]
    names: Mapping[str, str]
    preferring_b: float
    table: Path
    line: int

    @property
    def place(self) -> str:
        """Table and line."""
        return f"{self.table}: line {self.line}"

    @property
    def subject(self) -> str:
        """The reference relative to the table, as images.csv names it."""
        reference, folder = map(os.path.abspath, (self.files["reference"], self.table.parent))
        return JUDGED + Path(os.path.relpath(reference, folder)).as_posix()


def read_judgements(path: Path) -> list[Triplet]:
    """The rows of a CSV table with the columns reference, a, b and preferring_b.

    Args:
        path: The table; images are files relative to it.

    Raises:
        DataError: If it cannot be read, an image is missing, or a share is not from 0 to 1.
    """
    if not path.is_file():
        columns = f"a CSV with the columns {', '.join(IMAGES)}, {SHARE}"
        if path.is_dir():
            raise DataError(f"task.judgements={path}: is a folder. Name {columns}.")
        raise DataError(f"task.judgements={path}: no such file. Write {columns} there.")
    found = []
    for row in read_table(path, (*IMAGES, SHARE)):
        place = f"{path}: line {row.line}"
        for name in IMAGES:
            if not row[name]:
                raise DataError(f"{place} has no image for {name}. Fill it in.")
            if not os.path.exists(path.parent / row[name]):  # which no name makes fail
                raise DataError(
                    f"{place}: {name} {path.parent / row[name]}: no such file. "
                    "Paths are relative to the table."
                )
        names = {name: row[name] for name in IMAGES}
        files = {name: path.parent / row[name] for name in IMAGES}
        found.append(Triplet(files, names, _share(place, row[SHARE]), path, row.line))
    return found


def _share(place: str, cell: str) -> float:
    try:
        share = float(cell)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise DataError(
            f"{place} has {cell or 'nothing'} for {SHARE}: must be the share of people "
            "to whom b is nearer, from 0 to 1."
        )
    return share


@dataclass
class JudgedImages:
    """Reads judged images as those of a data set.

    Args:
        source: Of the data set.
        dataset: Whose images the metric is built for.
        device: Where pairs are put.
    """

    source: Source
    dataset: PreparedDataset
    device: torch.device
    _known: dict[Path, Tensor] = field(default_factory=dict)

    def pair(self, triplet: Triplet, name: str) -> Pair:
        """Image a or b as moving image, the reference as fixed one.

        Raises:
            DataError: If one cannot be read, is not like those of the data set, or they differ in
                size.
        """
        image, reference = (self._image_of(triplet, which) for which in (name, "reference"))
        if image.shape != reference.shape:
            raise DataError(
                f"{triplet.place}: {triplet.files[name]}: has shape {tuple(image.shape[2:])} and "
                f"its reference {triplet.names['reference']} {tuple(reference.shape[2:])}. Crop or "
                "pad them to one, or set dataset.shape."
            )
        return Pair(image, reference)

    def check(self, triplets: Sequence[Triplet]) -> list[str]:
        """Reads all images once, so that a fault is found before extractors are trained.

        Returns:
            A line if images have other intensities than those of the data set.
        """
        if not triplets:
            return []
        limits = self.dataset.intensities(TEST)
        whose = f"the test images of {self.dataset.name}"
        foreign: dict[Path, str] = {}
        for triplet in triplets:
            for name in ("a", "b"):
                self.pair(triplet, name)
            for name, file in triplet.files.items():
                if limits and is_foreign(self._known[file], limits):
                    said = as_text(self._known[file], limits, whose)
                    said = f"normalized intensities of {triplet.names[name]} {said}"
                    foreign.setdefault(file, f"{triplet.table.name}: line {triplet.line}: {said}")
            self.forget()
        if not foreign:
            return []
        first, *others = foreign.values()
        also = f" ({counted(len(others), 'further image')} alike)" if others else ""
        return [f"{first}{also}; rescale the files, or choose another dataset.intensity.policy"]

    def forget(self) -> None:
        """Frees the images that have been read."""
        self._known.clear()

    def _image_of(self, triplet: Triplet, name: str) -> Tensor:
        try:
            return self._read(triplet.files[name])
        except DataError as error:
            raise DataError(f"{triplet.place}: {error}") from error

    def _read(self, path: Path) -> Tensor:
        """(1, C, *S), preprocessed as the data set's."""
        if path not in self._known:
            dataset, name = self.dataset, self.dataset.name
            ignore = getattr(self.source, "ignore_affine", False)
            raw = read_raw([path], None, dataset.ndim, ignore)
            image = self.source.preprocess(Subject(path.name, "test", path), raw).image
            if dataset.roles is not None and len(image) == dataset.stored_channels:
                image = image[list(dataset.roles[FIXED])]
            if len(image) != dataset.channels:
                raise DataError(
                    f"{path}: has {len(image)} channel(s), and images of {name} show "
                    f"{dataset.channels}. Give files like those of {name}."
                )
            self._known[path] = torch.from_numpy(image)[None].float().to(self.device)
        return self._known[path]
