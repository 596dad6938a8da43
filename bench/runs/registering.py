"""Applies the method of a finished run to new files."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from bench.data.files.fields import LAYOUTS, write_field
from bench.data.landmarks.placing import read_landmarks
from bench.data.landmarks.writing import write_mapped
from bench.data.mapping import Mapping, displacement_on
from bench.errors import ConfigError, DataError
from bench.models.method import inverse_of, reason_against
from bench.models.network import NetworkMethod
from bench.pair import Pair
from bench.runs.file_pairs import PairOfFiles
from bench.runs.new_images import NewImage, Reader, write_warped
from bench.runs.outputs import Origin, claimed, written_aside
from bench.runs.trained import load_method
from bench.scores.overlap import dice_per_class, foreground_dice
from bench.scores.smoothness import folding, sdlogj
from bench.seeding import derive_seed
from bench.similarity.keypoints import reason_without_landmarks
from bench.spatial.displacement import warp
from bench.store.folder import Folder
from bench.tasks.registration.registration import RegistrationJob
from bench.tasks.registration.testing import register


@dataclass(frozen=True)
class Registered:
    """Result of the registration of a pair of files.

    Attributes:
        names: Moving and fixed image.
        before: `similarity` and `dice` of the pair as it is, where they can be computed.
        after: The same of the registered pair, `folding` and `sdlogj`.
        notes: What the scores leave out, one line each.
        weight: λ that was asked for, if it is not the run's own.
        files: What was written.
    """

    names: tuple[str, str]
    before: dict[str, float]
    after: dict[str, float]
    notes: Sequence[str] = ()
    weight: float | None = None
    files: list[Path] = field(default_factory=list)

    @property
    def line(self) -> str:
        """The result in one line."""
        called = {"similarity": "D", "dice": "Dice"}
        changes = []
        for name in filter(self.after.__contains__, called):
            before, after = self.before[name], self.after[name]
            title = "D grew from" if name == "similarity" and after > before else called[name]
            changes.append(f"{title} {before:.4g} to {after:.4g}")
        changes.append(f"{self.after['folding']:.3%} folded")
        changes.append(f"SD log J {self.after['sdlogj']:.4g}")
        moving, fixed = self.names
        written = ", ".join(path.name for path in self.files)
        where = self.files[0].parent
        weight = "" if self.weight is None else f" at λ = {self.weight:g}"
        return f"{moving} to {fixed}{weight}: {', '.join(changes)}; {where}: {written}"


class Registrar:
    """Registers new files in the same way as a finished run registered its test pairs.

    Args:
        folder: The run. Its data are not needed.
        accelerator: Where to compute, as `trainer.accelerator`; None: as the run.
        trust: Whether to build classes outside the suite that the run recorded.
        weight: λ for a network that takes it; None for the run's.

    Raises:
        StoreError: If the run has not finished, or something of it is missing.
        ConfigError: If it names an untrusted class, or its network did not learn λ.
    """

    def __init__(
        self,
        folder: Folder,
        accelerator: str | None = None,
        trust: bool = False,
        weight: float | None = None,
    ) -> None:
        self.job = self._load(folder, accelerator, trust, weight)
        self.name = folder.path.name
        self.weight = None if weight == folder.finished()["weight"] else weight
        self.dataset = self.job.dataset
        self.reader = Reader(self.name, self.job)

    def _load(
        self, folder: Folder, accelerator: str | None, trust: bool, weight: float | None
    ) -> RegistrationJob:
        return load_method(folder, accelerator, trust, weight)

    def register(self, files: PairOfFiles, out: Path, layout: str | None = None) -> Registered:
        """Registers a pair and writes the warped image, labels, displacement and mapped points.

        Args:
            files: The pair.
            out: Folder to write to.
            layout: Of the displacement, one of `LAYOUTS`; None for `ants` where the files lie in
                space, else `voxels`.

        Raises:
            DataError: If a file cannot be read, or is not like those of the run.
            ConfigError: If the displacement cannot be written in this layout, or to this folder,
                or the folder holds files of another run, pair or λ.
        """
        self._check_layout(layout)
        origin = self.origin(files)
        with claimed(out, origin):
            return self._register(files, out, origin, layout)

    def _register(
        self, files: PairOfFiles, out: Path, origin: Origin, layout: str | None
    ) -> Registered:
        moving, fixed = self.reader.read(files)
        placed = moving.raw.lies_in_space and fixed.raw.lies_in_space
        if layout not in (None, "voxels") and not placed:
            raise ConfigError(
                f"--format {layout}: needs volumes with a position in space; {files.fixed} or "
                f"{files.moving} has none. Use --format voxels."
            )
        layout = layout or ("ants" if placed else "voxels")
        notes = self.reader.notes(moving, fixed)
        points = None if files.landmarks is None else read_landmarks(files.landmarks, fixed.raw)
        pair = self.pair(files, moving, fixed)
        torch.manual_seed(derive_seed(self.job.seed, "test", *files.stems))
        u, _ = register(self.job.method, pair, self.job.objective)
        scores = self.scores(pair), self.scores(pair.at(u))
        found = Registered(files.names, *scores, notes, self.weight)
        with written_aside(out, origin) as aside:
            voxels = u[0].cpu().numpy()
            mapping = Mapping(voxels, fixed.affine, moving.affine)
            displacement = displacement_on(fixed.grid, mapping)
            found.files.append(write_warped(aside / "warped", moving, fixed.grid, displacement))
            if moving.raw.labels is not None:
                path = aside / "warped_labels"
                found.files.append(
                    write_warped(path, moving, fixed.grid, displacement, labels=True)
                )
            path = aside / "displacement"
            found.files.append(write_field(path, layout, displacement, fixed.grid, moving.grid))
            if points is not None:
                assert fixed.raw.affine is not None
                path = aside / "landmarks.csv"
                written = write_mapped(path, points, fixed.raw.affine, mapping, moving.grid)
                found.files.append(written)
            inverse = inverse_of(self.job.method, pair, self.job.objective)
            if inverse is not None:
                back = Mapping(inverse[0].cpu().numpy(), moving.affine, fixed.affine)
                displacement = displacement_on(moving.grid, back)
                path = aside / "inverse_displacement"
                found.files.append(write_field(path, layout, displacement, moving.grid, fixed.grid))
        return replace(found, files=[out / path.name for path in found.files])

    def origin(self, files: PairOfFiles) -> Origin:
        """What the files of a pair are made of."""
        moving, fixed = (str(path.absolute()) for path in (files.moving, files.fixed))
        return Origin(self.name, moving, fixed, self.weight)

    def _check_layout(self, layout: str | None) -> None:
        if layout is None:
            return
        if layout not in LAYOUTS:
            raise ConfigError(f"--format {layout}: must be one of {', '.join(LAYOUTS)}.")
        if self.dataset.ndim == 2 and layout != "voxels":
            raise ConfigError(
                f"--format {layout}: needs volumes, but {self.name} registers 2D images. Use "
                "--format voxels."
            )

    def pair(self, files: PairOfFiles, moving: NewImage, fixed: NewImage) -> Pair:
        """The pair as the method takes it.

        Raises:
            DataError: If the method needs labels that are not given.
        """
        first, second = moving.labels, fixed.labels
        reason = self._reason_against_metric(first is not None and second is not None)
        needs_points = reason_without_landmarks(self.job.objective.similarity, False)
        labels = "Give --labels and --fixed-labels."
        advice = "Use a run with another metric." if needs_points else labels
        if reason and not isinstance(self.job.method, NetworkMethod):  # which only predicts
            raise DataError(f"{self.name}: cannot register {files.moving}: {reason}. {advice}")
        images, classes = (moving.image, fixed.image), len(self.reader.classes)
        if first is None or second is None:
            return Pair(*images, None, None, classes, [files.stems])
        maps = (first, second)
        return Pair(*images, None, lambda: maps, classes, [files.stems])

    def _reason_against_metric(self, labels: bool) -> str | None:
        metric = self.job.objective.similarity
        reason = reason_against(metric, self.dataset.ndim, self.dataset.channels, labels)
        return reason or reason_without_landmarks(metric, False)  # files of points are not given

    @torch.no_grad()
    def scores(self, pair: Pair) -> dict[str, float]:
        """`folding`, `sdlogj`, and `similarity` and `dice` where they can be computed."""
        scores = {"folding": folding(pair.u), "sdlogj": sdlogj(pair.u)}
        metric = self.job.objective.similarity
        if metric is not None and self._reason_against_metric(pair.has_labels) is None:
            scores["similarity"] = float(metric(pair))
        if pair.has_labels:
            moving, fixed = pair.segmentations
            warped = warp(moving, pair.u, mode="nearest")
            dice = foreground_dice(dice_per_class(warped, fixed, pair.classes))
            scores |= {"dice": dice} if math.isfinite(dice) else {}
        return scores
