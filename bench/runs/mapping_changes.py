"""Maps changes between new files with the method of a finished run."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.data.files.images import write_image
from bench.data.mapping import Mapping, displacement_on, warp_file
from bench.errors import DataError
from bench.models.change_networks import ChangeNetwork
from bench.pair import Pair
from bench.runs.file_pairs import PairOfFiles
from bench.runs.new_images import NewImage, write_warped
from bench.runs.outputs import Origin, claimed, written_aside
from bench.runs.registering import Registered, Registrar
from bench.runs.trained import load_method
from bench.scores.of_changes import MAIN
from bench.store.folder import Folder
from bench.store.layout import REGISTRATION
from bench.tasks.changes import ChangesJob, untested_job

TASKS = (REGISTRATION, "changes")  # whose methods can map changes


class ChangeMapper(Registrar):
    """Maps changes between new files as a finished run did between its test pairs.

    Arguments as of `Registrar`; the run may be of `task=registration` or `task=changes`.
    """

    def _load(
        self, folder: Folder, accelerator: str | None, trust: bool, weight: float | None
    ) -> ChangesJob:
        job = load_method(folder, accelerator, trust, weight, untested_job, TASKS)
        assert isinstance(job, ChangesJob)
        return job

    def map(self, files: PairOfFiles, out: Path) -> Registered:
        """Registers a pair and writes its maps and the warped image on the fixed image's grid.

        Maps have their least value where voxels do not count for the run (`task.within`).

        Args:
            files: The pair.
            out: Folder to write to: `change.nii.gz`, the map of the method, if its metric has
                one, `change_NAME.nii.gz` for each other map, and `warped.nii.gz`.

        Raises:
            DataError: If a file cannot be read, or is not like those of the run.
            ConfigError: If the folder cannot be written to, or holds files of another run, pair
                or λ.
        """
        origin = self.origin(files)
        with claimed(out, origin):
            return self._map(files, out, origin)

    def _map(self, files: PairOfFiles, out: Path, origin: Origin) -> Registered:
        assert isinstance(self.job, ChangesJob)
        moving, fixed = self.reader.read(files)
        pair = self.pair(files, moving, fixed)
        counted = self._counted(files, pair)
        u, reverse, _ = self.job.registered(pair)
        moved = pair.at(u)
        maps = self.job.maps(moved, None if reverse is None else pair.reversed().at(reverse))
        found = Registered(
            files.names,
            self.scores(pair),
            self.scores(moved),
            [*self.reader.notes(moving, fixed), *self._notes_on_maps(pair, MAIN in maps)],
            self.weight,
        )
        with written_aside(out, origin) as aside:
            for name, values in maps.items():
                path = aside / ("change" if name == MAIN else f"change_{name}")
                array = values[0].float().cpu().numpy()
                if counted is not None:
                    array = np.where(counted, array, array[counted].min())
                found.files.append(_write(path, array, fixed))
            mapping = Mapping(u[0].cpu().numpy(), fixed.affine, moving.affine)
            displacement = displacement_on(fixed.grid, mapping)
            found.files.append(write_warped(aside / "warped", moving, fixed.grid, displacement))
        return replace(found, files=[out / path.name for path in found.files])

    def _lacks_labels(self, pair: Pair) -> bool:
        """Whether voxels with a label count for the run, and the pair has no labels."""
        assert isinstance(self.job, ChangesJob)
        return self.job.truth.within == "labels" and not pair.has_labels

    def _counted(self, files: PairOfFiles, pair: Pair) -> np.ndarray | None:
        """Where voxels count for the run (*S) bool; None for everywhere, or where nothing tells.

        Raises:
            DataError: If they count nowhere.
        """
        assert isinstance(self.job, ChangesJob)
        truth = self.job.truth
        counted = None if self._lacks_labels(pair) else truth.of(pair)[1]
        if counted is not None and not counted.any():
            classes = ", ".join(self.reader.classes[1:])
            has_none, remedy = "one intensity only", "another image"
            if truth.within == "labels":
                has_none = f"no label of the run's classes ({classes})"
                remedy = "labels of these classes, or none"
            raise DataError(
                f"{files.fixed_labels or files.fixed}: has {has_none}, so no voxel counts "
                f"(task.within={truth.within}). Give {remedy}."
            )
        return counted

    def _notes_on_maps(self, pair: Pair, has_main: bool) -> list[str]:
        """What the maps lack, a line each."""
        notes = []
        if not has_main:
            notes.append(
                "the metric of the run gives no map of its values, so there is no map change"
            )
        if self._lacks_labels(pair):
            notes.append(
                "voxels with a label count for the run (task.within=labels); without --labels and "
                "--fixed-labels the maps cover the whole image, background included"
            )
        if isinstance(self.job.model, ChangeNetwork):
            notes.append("the network of the run registers nothing; warped is the moving image")
        return notes


def _write(path: Path, found: np.ndarray, fixed: NewImage) -> Path:
    """Writes a map (*S) of a preprocessed image on the grid of its file; its least value beyond."""
    still = np.zeros((found.ndim, *fixed.grid.shape))
    return write_image(path, warp_file(found, fixed.affine, fixed.grid, still)[None], fixed.grid)
