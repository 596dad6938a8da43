"""Small volumes of several headers, a data set of them, and runs on it."""

import csv
from pathlib import Path

import numpy as np
from conf_options import compose_raw
from image_files import write_nifti

from bench.runs.lookup import run
from bench.store.folder import Folder

SHAPE = (20, 22, 18)  # of the files
SMALL = [
    "tracker=none",
    "trainer.progress=false",
    "trainer.accelerator=cpu",
    "trainer.precision=float32",
]
TRAINING = [
    "model.channels=[4,8]",
    "model.flow_std=0.2",
    "trainer.steps=2",
    "trainer.validate_every=2",
    "trainer.batch_size=1",
    *SMALL,
]


def head(number: int, shape: tuple[int, ...] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """A blurred ball with a core on a gradient, somewhere else for each number; and its labels."""
    random = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    centre = np.array(shape) / 2 + random.uniform(-1.5, 1.5, len(shape))
    distance = np.linalg.norm(grid - centre, axis=-1)
    labels = (distance < 6).astype(np.uint8) + (distance < 3)
    image = 100 / (1 + np.exp(distance - 5)) + grid[..., 0] + 5 * np.cos(grid[..., 1] / 3)
    return image.astype(np.float32), labels


def header(flip: tuple[float, ...], edges: tuple[float, ...], angle: float) -> np.ndarray:
    """An affine that turns about an oblique axis, flips axes, and has voxels of these edges."""
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_rotvec(np.radians(angle) * np.array([0.6, 0.48, 0.64])).as_matrix()
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.array(flip) * edges)
    affine[:3, 3] = [-30, 12, 55]
    return affine


HEADERS = {
    "plain": header((1, 1, 1), (1, 1, 1), 0),
    "oblique": header((1, 1, 1), (1, 1, 1), 20),
    "anisotropic": header((1, 1, 1), (0.8, 1, 1.5), 10),
    "left-handed": header((-1, 1, 1), (1, 1.2, 1), -15),
    "flipped": header((-1, -1, 1), (1.1, 0.9, 1), 5),
}


def write_table(root: Path, affine: np.ndarray) -> None:
    """A data set of six volumes in a table, two for each split."""
    rows = [("image", "labels", "split")]
    for number, split in enumerate(["train"] * 2 + ["val"] * 2 + ["test"] * 2):
        image, labels = head(number)
        write_nifti(root / f"image{number}.nii.gz", image, affine)
        write_nifti(root / f"labels{number}.nii.gz", labels, affine)
        rows.append((f"image{number}.nii.gz", f"labels{number}.nii.gz", split))
    with open(root / "subjects.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)


def finished(root: Path, *overrides: str) -> Folder:
    """A run on the volumes of a folder; the results are in the folder beside it."""
    results = root.parent / f"{root.name}-results"
    arguments = ["dataset=nifti", f"dataset.root={root}", "metric=mse", f"results_dir={results}"]
    return run(compose_raw([*arguments, *overrides])).folder
