"""A finished run's method on new files, and what it writes for other programs."""

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
from conf_options import compose_raw
from image_files import write_nifti

from bench.runs.lookup import run
from bench.runs.registering import PairOfFiles, Registrar
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
    "model.flow_std=0.05",
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


@pytest.fixture(scope="module")
def as_stored(tmp_path_factory) -> tuple[Folder, Path]:
    """A trained run on volumes taken as they are, and their folder."""
    root = tmp_path_factory.mktemp("plain") / "data"
    write_table(root := root, HEADERS["plain"]) if root.mkdir() is None else None
    return finished(root, *TRAINING), root


@pytest.fixture(scope="module")
def resampled(tmp_path_factory) -> Folder:
    """A trained run whose volumes were resampled, cut and padded; its data are gone."""
    root = tmp_path_factory.mktemp("resampled") / "data"
    root.mkdir()
    write_table(root, HEADERS["plain"])
    made = ["dataset.spacing=[1.2,1.1,1.3]", "dataset.border=1", "dataset.shape=[16,12,16]"]
    folder = finished(root, *made, *TRAINING)
    for path in root.iterdir():
        path.unlink()
    root.rmdir()
    return folder


def as_sitk(path: Path, kind: int | None = None):
    sitk = pytest.importorskip("SimpleITK")
    return sitk.ReadImage(str(path)) if kind is None else sitk.ReadImage(str(path), kind)


def warp_by_itk(moving: Path, fixed: Path, field: Path, nearest: bool = False) -> np.ndarray:
    """The moving image under a written displacement, by SimpleITK; axes as nibabel has them."""
    import SimpleITK as sitk

    transform = sitk.DisplacementFieldTransform(sitk.ReadImage(str(field), sitk.sitkVectorFloat64))
    image = as_sitk(moving)
    way = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    outside = 0.0 if nearest else float(sitk.GetArrayFromImage(image).min())
    warped = sitk.Resample(image, as_sitk(fixed), transform, way, outside)
    return sitk.GetArrayFromImage(warped).T


@pytest.mark.parametrize("moving_header", HEADERS)
@pytest.mark.parametrize("fixed_header", HEADERS)
def test_itk_warps_files_of_any_header_as_written(
    resampled: Folder, tmp_path: Path, moving_header: str, fixed_header: str
) -> None:
    files = {}
    for number, (role, name) in enumerate([("moving", moving_header), ("fixed", fixed_header)]):
        shape = (24, 22, 21) if role == "moving" else (21, 25, 20)
        image, labels = head(number, shape)
        files[role] = write_nifti(tmp_path / f"{role}.nii.gz", image, HEADERS[name])
        files[f"{role}_labels"] = write_nifti(tmp_path / f"l{role}.nii.gz", labels, HEADERS[name])
    pair = PairOfFiles(
        files["moving"], files["fixed"], files["moving_labels"], files["fixed_labels"]
    )
    found = Registrar(resampled).register(pair, tmp_path / "out")
    assert [path.name for path in found.files] == [
        "warped.nii.gz",
        "warped_labels.nii.gz",
        "displacement.nii.gz",
    ]
    warped, labels, field = found.files
    written = nibabel.load(warped)
    np.testing.assert_allclose(written.affine, nibabel.load(files["fixed"]).affine, atol=1e-5)
    vectors = np.asarray(nibabel.load(field).dataobj)
    assert vectors.shape == (21, 25, 20, 1, 3)
    assert np.linalg.norm(vectors, axis=-1).max() > 1
    expected = warp_by_itk(files["moving"], files["fixed"], field)
    difference = np.abs(np.asarray(written.dataobj) - expected)
    assert np.mean(difference > 0.01) < 2e-3, difference.max()  # points at half a voxel's distance
    expected = warp_by_itk(files["moving_labels"], files["fixed"], field, nearest=True)
    assert np.mean(np.asarray(nibabel.load(labels).dataobj) != expected) < 2e-3
