"""New files as a finished run sees images: read, preprocessed, checked, and warped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.data.cache.collector import encode
from bench.data.files.images import FileGrid, read_grid, read_raw, write_image
from bench.data.files.kinds import stem_of
from bench.data.lengths import listed
from bench.data.mapping import transformed, warp_file
from bench.data.preprocessing.label_table import few
from bench.data.preprocessing.ranges import as_text, is_foreign
from bench.data.preprocessing.steps import crop_or_pad, padded, shift, window
from bench.data.preprocessing.world import Grid
from bench.data.setup import make_source
from bench.data.sources.roles import FIXED, MOVING
from bench.data.sources.source import Source
from bench.data.sources.subject import Raw, Subject
from bench.errors import DataError
from bench.runs.file_pairs import PairOfFiles
from bench.tasks.registration.registration import RegistrationJob


@dataclass(frozen=True)
class NewImage:
    """A new file, original and preprocessed.

    Attributes:
        raw: What the file holds.
        grid: Where its voxels lie.
        image: (1, C, *S) float32, preprocessed.
        labels: (1, 1, *S), positions among the run's classes; None without labels.
        affine: (D + 1, D + 1), from preprocessed voxels to mm.
        foreign: Label ids of the file that are no classes of the run.
    """

    raw: Raw
    grid: FileGrid
    image: Tensor
    labels: Tensor | None
    affine: np.ndarray
    foreign: Sequence[int] = ()

    @property
    def seen(self) -> tuple[int, ...]:
        """Over how many voxels of the file, along each axis, the preprocessed image lies."""
        shape, size = self.image.shape[2:], np.array(self.grid.shape)
        to_file = np.linalg.inv(self.grid.affine) @ self.affine
        ends = np.meshgrid(*[(-0.5, n - 0.5) for n in shape], indexing="ij")
        corners = transformed(to_file, np.array(ends)).reshape(len(size), -1)
        within = np.clip(corners, -0.5, size[:, None] - 0.5)
        covered = within.max(axis=1) - within.min(axis=1)
        voxel = np.abs(to_file[:-1, :-1]).sum(axis=1)  # resampling may lose nearly one
        cut = size - covered > 0.999 * voxel
        return tuple(np.where(cut, covered.round(), size).astype(int).tolist())

    def padded(self, shape: Sequence[int]) -> "NewImage":
        """The image padded to a shape."""
        around = [-part.start for part in window(self.image.shape[2:], shape)]
        image, labels = padded(self.image[0].cpu().numpy(), shape), self.labels
        if labels is not None:
            ids = crop_or_pad(labels[0, 0].cpu().numpy(), shape, 0)
            labels = torch.from_numpy(ids)[None, None].to(labels)
        return replace(
            self,
            image=torch.from_numpy(image)[None].to(self.image),
            labels=labels,
            affine=self.affine @ shift(around),
        )


class Reader:
    """Reads new files as a finished run read those of its data set.

    Args:
        name: Of the run's folder.
        job: The run's.

    Attributes:
        classes: Names of the run's classes, background first.
    """

    def __init__(self, name: str, job: RegistrationJob) -> None:
        self.name = name
        self.dataset = job.dataset
        self.device = job.device
        self.source: Source = make_source(job.setup.experiment)
        if "world" in job.setup.reading:  # the grid is known without the run's data
            self.source.grid = Grid.from_settings(job.setup.reading["world"])
        declared = self.source.class_names()
        self.classes = self.dataset.class_names or [declared[i] for i in sorted(declared)]

    def read(self, files: PairOfFiles) -> tuple[NewImage, NewImage]:
        """Moving and fixed image, preprocessed and padded to one size.

        Raises:
            DataError: If a file cannot be read, or is not like those of the run.
        """
        moving = self._read(files.moving, files.labels, MOVING)
        fixed = self._read(files.fixed, files.fixed_labels, FIXED)
        if self.dataset.shapes is None:
            return moving, fixed
        sizes = [image.image.shape[2:] for image in (moving, fixed)]
        shape = np.max(sizes, axis=0).tolist()
        return moving.padded(shape), fixed.padded(shape)

    def notes(self, moving: NewImage, fixed: NewImage) -> list[str]:
        """What the scores of a pair leave out, a line each."""
        notes = []
        cut = [
            f"{_edges(image.seen)} of {_edges(image.grid.shape)} voxels of the {role} image"
            for role, image in ((MOVING, moving), (FIXED, fixed))
            if image.seen != image.grid.shape
        ]
        if cut:
            notes.append(
                f"the run sees {' and '.join(cut)}; beyond them it extends the displacement from "
                "the border, and D and Dice do not count them"
            )
        notes += self._notes_on_intensities({MOVING: moving, FIXED: fixed})
        maps = [image.labels for image in (moving, fixed) if image.labels is not None]
        if len(maps) == 2 and not any(labels.any() for labels in maps):
            notes.append("neither label map has a class of the run, so there is no Dice")
        foreign = sorted({*moving.foreign, *fixed.foreign})
        if foreign and moving.labels is not None and fixed.labels is not None:
            noun = "labels {} are not classes" if len(foreign) > 1 else "label {} is not a class"
            notes.append(
                f"{noun.format(few(foreign))} of the run; Dice covers {few(self.classes[1:])}"
            )
        return notes

    def _notes_on_intensities(self, images: dict[str, NewImage]) -> list[str]:
        """A line for each image whose intensities, normalized, have another range than the run's.

        Older runs recorded no range.
        """
        limits, whose = self.dataset.index.get("intensities"), "the run's test images"
        if limits is None:
            return []
        return [
            f"normalized intensities of the {role} image {as_text(image.image, limits, whose)}; "
            "rescale the file, or use a run whose dataset.intensity fits it"
            for role, image in images.items()
            if is_foreign(image.image, limits)
        ]

    def _read(self, path: Path, labels: Path | None, role: str) -> NewImage:
        """Reads and preprocesses a file as the run's data were.

        Where moving and fixed images show different channels, it may hold all or only those.

        Raises:
            DataError: If it cannot be read, or is not like the run's images.
        """
        dataset = self.dataset
        ignore = getattr(self.source, "ignore_affine", False)
        raw = read_raw([path], labels, dataset.ndim, ignore)
        foreign = [] if raw.labels is None else self._foreign(raw.labels)
        of_run = raw if not foreign else _without(raw, foreign)
        sample = self.source.preprocess(Subject(stem_of(path), "test", path, labels), of_run)
        channels, *shape = sample.image.shape
        if dataset.roles is not None and channels == dataset.stored_channels:
            shown = list(dataset.roles[role])
            sample, channels = replace(sample, image=sample.image[shown]), len(shown)
        if channels != dataset.channels:
            raise DataError(
                f"{path}: has {channels} channel(s), but {self.name} registers images with "
                f"{dataset.channels}. Give files like those of {dataset.name}."
            )
        if dataset.shapes is None and tuple(shape) != dataset.shape:
            raise DataError(
                f"{path}: has shape {tuple(shape)} after preprocessing, but {self.name} registers "
                f"images of shape {dataset.shape}. Crop or pad it, or use a run with dataset.shape "
                "set."
            )
        known = dataset.index["spacing"], dataset.index["unit"]
        same = np.allclose(sample.spacing, known[0], rtol=1e-2, atol=0)
        if sample.unit == known[1] and not same:
            raise DataError(
                f"{path}: has voxels of {listed(sample.spacing, sample.unit)}, but {self.name} "
                f"registers images with voxels of {listed(*known)}. Resample it, or use a run with "
                "dataset.spacing set."
            )
        step = dataset.step if dataset.step == sample.step else None
        kept = encode(sample.image, step).astype(np.float32) * np.float32(step or 1)
        ids = None if sample.labels is None else self._positions(sample.labels)
        assert raw.affine is not None
        assert sample.grid is not None
        return NewImage(
            raw,
            read_grid(path, raw),
            torch.from_numpy(kept)[None].to(self.device),
            None if ids is None else torch.from_numpy(ids)[None, None].to(self.device),
            raw.affine @ sample.grid,
            foreign,
        )

    def _foreign(self, labels: np.ndarray) -> list[int]:
        """The ids of a label map that are no classes of the run."""
        table, known = self.source.table, set(self.classes)
        ids = np.unique(labels[labels != 0]).tolist()
        unknown = set(table.unknown(ids))
        return [
            i
            for i in ids
            if i in unknown or table.names[table.target.get(i, table.rest or 0)] not in known
        ]

    def _positions(self, labels: np.ndarray) -> np.ndarray:
        """Ids of the run's classes as positions among them."""
        names = self.source.class_names()
        order = sorted(i for i in names if names[i] in self.classes)
        table = np.zeros(max(order) + 1, np.int32)
        table[order] = np.arange(len(order))
        return table[labels]


def write_warped(
    path: Path, moving: NewImage, grid: FileGrid, displacement: np.ndarray, labels: bool = False
) -> Path:
    """Writes intensities, or the label map, of a file on a grid, resampled once.

    Args:
        path: Without ending.
        moving: The file.
        grid: Where to.
        displacement: (D, *S), from the grid to the file in mm.
        labels: Whether its label map is written, nearest voxel.
    """
    raw = moving.raw
    assert raw.affine is not None
    channels = raw.image
    if labels:
        assert raw.labels is not None
        channels = raw.labels[None]
    warped = [warp_file(array, raw.affine, grid, displacement, labels) for array in channels]
    return write_image(path, np.stack(warped), grid)


def _without(raw: Raw, foreign: Sequence[int]) -> Raw:
    """A subject whose labels of these ids are background."""
    assert raw.labels is not None
    return replace(raw, labels=np.where(np.isin(raw.labels, foreign), 0, raw.labels))


def _edges(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
