"""Maps changes between new files with the method of a finished run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.data.files.images import write_image
from bench.data.mapping import warp_file
from bench.runs.file_pairs import PairOfFiles
from bench.runs.registering import NewImage, Registrar, written_aside
from bench.runs.trained import load_method
from bench.scores.of_changes import MAIN
from bench.store.folder import REGISTRATION, Folder
from bench.tasks.changes import ChangesJob, untested_job

TASKS = (REGISTRATION, "changes")  # whose methods can map changes


@dataclass(frozen=True)
class Mapped:
    """The output for a pair of files.

    Attributes:
        line: The result in one line.
        notes: What the maps leave out, one line each.
    """

    line: str
    notes: list[str]


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

    def map(self, files: PairOfFiles, out: Path) -> Mapped:
        """Registers a pair both ways and writes its maps on the fixed image's grid.

        Args:
            files: The pair.
            out: Folder to write to: `change.nii.gz`, the map of the method, if its metric has
                one, and `change_NAME.nii.gz` for each other map.

        Raises:
            DataError: If a file cannot be read, or is not like those of the run.
            ConfigError: If the folder cannot be written to.
        """
        assert isinstance(self.job, ChangesJob)
        moving, fixed = self.read(files)
        notes = self.notes(moving, fixed)
        pair = self.pair(files, moving, fixed)
        u, reverse, _ = self.job.registered(pair)
        back = None if reverse is None else pair.reversed().at(reverse)
        maps = self.job.maps(pair.at(u), back)
        written = []
        with written_aside(out) as aside:
            for name, found in maps.items():
                path = aside / ("change" if name == MAIN else f"change_{name}")
                written.append(_write(path, found[0].float().cpu().numpy(), fixed))
        if MAIN not in maps:
            notes.append(
                "the metric of the run gives no map of its values, so there is no map change"
            )
        called, other = files.names
        names = ", ".join(path.name for path in written)
        return Mapped(f"{called} to {other}: {out}: {names}", notes)


def _write(path: Path, found: np.ndarray, fixed: NewImage) -> Path:
    """Writes a map (*S) of a preprocessed image on the grid of its file; its least value beyond."""
    still = np.zeros((found.ndim, *fixed.grid.shape))
    return write_image(path, warp_file(found, fixed.affine, fixed.grid, still)[None], fixed.grid)
