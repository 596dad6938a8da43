"""Displacement fields of other programs, read and refused."""

from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from conf_options import experiment
from volumes import HEADERS, SHAPE, SMALL, write_table

from bench.config.contents import folder_digest
from bench.data.batches.loading import read_pairs
from bench.data.files.fields import Field, read_field
from bench.data.files.images import FileGrid
from bench.data.setup import Setup
from bench.errors import ConfigError, DataError
from bench.models.fields import Fields, check_grid, mapping, names
from bench.models.method import Objective
from bench.runs.run import Run

NAME = "image5_to_image4"  # of the test pair whose fields are written
U = np.array([1.0, -2.0, 0.5])  # voxels of the preprocessed images
STORED = U * [-1, 1, 1]  # voxels of the files, whose first axis is flipped
AFFINE = HEADERS["left-handed"]
MM = AFFINE[:3, :3] @ STORED * [-1, -1, 1]  # LPS


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volumes") / "data"
    folder.mkdir()
    write_table(folder, AFFINE)
    return folder


def setup_of(root: Path, fields: Path, *overrides: str) -> Setup:
    data = ["dataset=nifti", f"dataset.root={root}", "dataset.shape=[22,20,16]"]
    results = f"results_dir={root.parent / 'results'}"
    model = ["model=fields", f"model.folder={fields}", results]
    return Setup.of(experiment([*data, *model, *SMALL, *overrides]))


def displacement(root: Path, fields: Path) -> torch.Tensor:
    """That of the pair, by fields of which both test pairs have one."""
    setup = setup_of(root, fields)
    method = Fields(3, 1, str(fields))
    method.connect(setup)
    dataset = setup.dataset
    number = [dataset.ids[moving] for moving, _ in dataset.pairs("test")].index("image5")
    pair = read_pairs(dataset, [dataset.pairs("test")[number]], torch.device("cpu"))
    return method.register(pair, Objective(None, None, 0))


def constant(vector: np.ndarray, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """(*S, D) float32."""
    return np.broadcast_to(vector, (*shape, 3)).astype(np.float32)


def write_other(folder: Path) -> None:
    """The field of the other test pair."""
    folder.mkdir(exist_ok=True)
    np.save(folder / "image4_to_image5.npy", np.zeros((3, *SHAPE)))


def as_ants(folder: Path) -> None:
    image = nibabel.Nifti1Image(constant(MM)[:, :, :, None], AFFINE)
    nibabel.save(image, folder / f"{NAME}.nii.gz")


def as_ants_folder(folder: Path) -> None:
    (folder / NAME).mkdir()
    image = nibabel.Nifti1Image(constant(MM)[:, :, :, None], AFFINE)
    nibabel.save(image, folder / NAME / "displacement.nii.gz")


def as_mha(folder: Path) -> None:
    scalar = nibabel.Nifti1Image(np.zeros(SHAPE, np.float32), AFFINE)
    nibabel.save(scalar, folder.parent / "grid.nii.gz")
    image = sitk.GetImageFromArray(constant(MM, SHAPE[::-1]), isVector=True)
    image.CopyInformation(sitk.ReadImage(str(folder.parent / "grid.nii.gz")))
    sitk.WriteImage(image, str(folder / f"{NAME}.mha"))


def as_learn2reg(folder: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(constant(STORED), AFFINE), folder / "disp_0004_0005.nii.gz")


def as_learn2reg_half(folder: Path) -> None:
    half = constant(STORED, tuple(n // 2 for n in SHAPE))
    np.savez_compressed(folder / "disp_0004_0005.npz", np.moveaxis(half, -1, 0))


def as_array(folder: Path) -> None:
    np.save(folder / "disp_image4_image5.npy", constant(STORED))


KINDS = [as_ants, as_ants_folder, as_mha, as_learn2reg, as_learn2reg_half, as_array]


@pytest.mark.parametrize("write", KINDS)
def test_fields_of_every_kind_mean_the_same(root: Path, tmp_path: Path, write) -> None:
    folder = tmp_path / "fields"
    write_other(folder)
    write(folder)
    u = displacement(root, folder)
    assert u.shape == (1, 3, 22, 20, 16)
    expected = torch.from_numpy(U).float().view(1, 3, 1, 1, 1).expand_as(u)
    torch.testing.assert_close(u, expected, atol=1e-4, rtol=0)


def varying(axis: int) -> np.ndarray:
    """(*S, D) whose components rise along one axis."""
    ramp = np.arange(SHAPE[axis], dtype=np.float32).reshape(
        [-1 if i == axis else 1 for i in range(3)]
    )
    return np.stack([np.broadcast_to(ramp * 0.1 * k, SHAPE) for k in (1, 2, 3)], axis=-1)


def test_halves_of_odd_sizes_are_rounded_either_way() -> None:
    """As scipy rounds, and by their corners whatever the size."""
    from scipy.ndimage import zoom

    grid = FileGrid((37, 39, 10), np.eye(4))
    ramp = 0.1 * np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij")).astype(float)
    halves = [np.stack([zoom(one, 0.5, order=1) for one in ramp])]
    assert halves[0].shape[1:] == (18, 20, 5)
    for shape in ((18, 19, 5), (19, 20, 5)):
        lines = [np.linspace(0, n - 1, k) for n, k in zip(grid.shape, shape, strict=True)]
        halves.append(0.1 * np.stack(np.meshgrid(*lines, indexing="ij")))
    points = np.array([[0.0, 5, 36], [38, 7.5, 0], [0, 4, 9]])[:, None, None]
    for half in halves:
        field = Field(Path("half.npy"), half)
        check_grid(field, grid, "a")
        np.testing.assert_allclose(mapping(field, grid, grid)(points), 1.1 * points, atol=1e-6)
    with pytest.raises(DataError, match=r"or at half of it, \(19, 20, 5\)\.$"):
        check_grid(Field(Path("half.npy"), halves[0][:, 1:]), grid, "a")


@pytest.mark.parametrize("axis", range(3))
def test_every_voxel_gets_its_vector(root: Path, tmp_path: Path, axis: int) -> None:
    """Volumes are cropped along axes 1 and 2 and padded along 0, which is flipped in the files."""
    folder = tmp_path / "fields"
    write_other(folder)
    np.save(folder / f"{NAME}.npy", varying(axis))
    u = displacement(root, folder)[0].numpy()
    turned = np.moveaxis(varying(axis)[::-1], -1, 0) * np.array([-1, 1, 1]).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(u[:, 1:-1], turned[:, :, 1:-1, 1:-1], atol=1e-4)
    np.testing.assert_allclose(u[:, 0], turned[:, 0, 1:-1, 1:-1], atol=1e-4)  # beyond the border


@pytest.mark.parametrize(
    ("array", "affine", "words"),
    [
        (
            constant(MM, (20, 22, 17))[:, :, :, None],
            AFFINE,
            r"has the shape \(20, 22, 17\), but its",
        ),
        (
            constant(MM)[:, :, :, None],
            HEADERS["plain"],
            "its header disagrees with that of its fixed image image4",
        ),
        (
            constant(MM)[:, :, :, None],
            AFFINE + 1.002 * np.outer(AFFINE[:, 0], [0, 0, 0, 1]),
            "their corners are up to just over 1 voxel apart. Write",
        ),
        (constant(MM)[..., None, :2], AFFINE, "3 components on 3 axes are needed"),
        (constant(MM)[..., 0], AFFINE, "3 components on 3 axes are needed"),
        (np.full((*SHAPE, 1, 3), np.nan, np.float32), AFFINE, "7920 displacements are not finite"),
    ],
)
def test_what_does_not_fit_is_one_line(
    root: Path, tmp_path: Path, array: np.ndarray, affine: np.ndarray, words: str
) -> None:
    folder = tmp_path / "fields"
    write_other(folder)
    nibabel.save(nibabel.Nifti1Image(array, affine), folder / f"{NAME}.nii.gz")
    with pytest.raises(DataError, match=words) as caught:
        displacement(root, folder)
    assert len(str(caught.value).splitlines()) == 1
    assert str(caught.value).startswith(str(folder / NAME))


def test_missing_fields_and_damaged_ones_are_named(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    write_other(folder)
    words = "has fields of 1 of the 2 test pairs; that of image5 to"
    with pytest.raises(DataError, match=words) as caught:
        displacement(root, folder)
    assert f", or {NAME}/displacement with one of them; or score fewer" in str(caught.value)
    assert str(caught.value).endswith("'dataset.pairs.test={policy: mirrored, most: 1}'.")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"displacement with one of them\.$"):
        displacement(root, tmp_path / "empty")
    fewer = setup_of(root, folder, "dataset.pairs.test={policy: mirrored, most: 1}")
    Fields(3, 1, str(folder)).connect(fewer)  # which has the pair whose field is there
    (folder / f"{NAME}.nii.gz").write_bytes(b"no field")
    with pytest.raises(DataError, match="cannot be read as a displacement field"):
        displacement(root, folder)
    (folder / "seconds.csv").write_text("moving,fixed,seconds\nimage4,image5,fast\n")
    with pytest.raises(DataError, match="a row lacks a number of seconds"):
        displacement(root, folder)
    (folder / "seconds.csv").write_text("moving,fixed,seconds\nimage4,image5,-3\n")
    with pytest.raises(DataError, match="seconds must be at least 0 and finite"):
        displacement(root, folder)
    with pytest.raises(ConfigError, match=f"model.folder={folder}/none: no such folder"):
        Run.of(setup_of(root, folder / "none"))
    with pytest.raises(
        ConfigError, match=r"model.folder=.*seconds\.csv: is a file\. Name the folder"
    ):
        Run.of(setup_of(root, folder / "seconds.csv"))


def test_a_field_that_says_nothing_of_its_place_is_named(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    write_other(folder)
    image = nibabel.Nifti1Image(constant(MM)[:, :, :, None], AFFINE)
    image.header["srow_x"] = image.header["srow_y"] = image.header["srow_z"] = 0
    with open(folder / f"{NAME}.nii", "wb") as file:
        image.header["sform_code"], image.header["magic"], image.header["vox_offset"] = (
            1,
            b"n+1",
            352,
        )
        file.write(image.header.binaryblock + bytes(4) + constant(MM).tobytes("F"))
    with pytest.raises(DataError, match=rf"{NAME}.nii: its affine is not invertible"):
        displacement(root, folder)


def test_each_pair_has_one_field(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    write_other(folder)
    as_array(folder)
    (folder / f"{NAME}.npy").touch()
    (folder / "disp_0004_0005.npz").touch()
    with pytest.raises(DataError, match=r"for image5 to image4\. Keep one of them"):
        displacement(root, folder)
    np.savez(tmp_path / "two.npz", a=constant(MM), b=constant(MM))
    with pytest.raises(DataError, match="holds 2 arrays, but a field is one array"):
        read_field(tmp_path / "two.npz", 3)


def test_pairs_do_not_share_a_field(tmp_path: Path) -> None:
    """Their subjects are called by numbers that are not theirs alone."""
    (tmp_path / "disp_0001_0001.npz").touch()
    method = Fields(3, 1, str(tmp_path))
    with pytest.raises(DataError, match=r"field of a_1 to b_1 and of b_1 to a_1"):
        method.check_one_each([("a_1", "b_1"), ("b_1", "a_1")])


def test_a_run_is_known_by_its_fields_not_by_their_place(root: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "fields", tmp_path / "copy", tmp_path / "other"]
    for number, folder in enumerate(folders):
        write_other(folder)
        np.save(folder / f"{NAME}.npy", constant(STORED * (1 + number // 2)))
    ids = [Run.of(setup_of(root, folder)).header["id"] for folder in folders]
    assert ids[0] == ids[1] != ids[2]
    assert Run.of(setup_of(root, folders[0], "model.version=2")).header["id"] != ids[0]
    assert folder_digest(str(folders[0])) == folder_digest(str(folders[1]))


def test_files_are_called_by_names_or_numbers() -> None:
    assert names("hippocampus_012", "hippocampus_007.nii.gz") == [
        "hippocampus_012_to_hippocampus_007",
        "disp_hippocampus_007_hippocampus_012",
        "disp_0007_0012",
    ]
    assert names("a.tif/000", "atlas") == ["a.tif_000_to_atlas", "disp_atlas_a.tif_000"]
