"""Displacement fields in files of other programs.

Fields in mm lie on a grid of their header, in LPS, as ITK, ANTs and Slicer write them; fields
in voxels count along the array axes of the image files, as Learn2Reg has them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.files.images import FileGrid
from bench.data.files.itk import affine_of
from bench.data.files.nifti import check_affine
from bench.data.mapping import in_voxels
from bench.errors import DataError

LAYOUTS = ("ants", "learn2reg", "voxels")
ENDINGS = (".nii.gz", ".nii", ".npz", ".npy", ".nrrd", ".mha")


@dataclass(frozen=True)
class Field:
    """A displacement field in the form of its file.

    Attributes:
        path: The file.
        vectors: (D, *S), in mm, RAS, or in voxels of the image files.
        affine: (D + 1, D + 1), from its voxels to mm, RAS; None for fields in voxels.
    """

    path: Path
    vectors: np.ndarray
    affine: np.ndarray | None = None


def write_field(
    path: Path, layout: str, displacement: np.ndarray, grid: FileGrid, moving: FileGrid
) -> Path:
    """Writes a displacement.

    Args:
        path: Output path, without ending.
        layout: One of `LAYOUTS`: `ants`, a vector NIfTI in mm, LPS; `learn2reg`, a NIfTI (*S, D) in
            voxels; `voxels`, a .npy (D, *S) in voxels.
        displacement: (D, *S) in mm, RAS.
        grid: Where it lies.
        moving: The grid of the image that it leads to.

    Returns:
        The file.
    """
    import nibabel

    if layout == "ants":
        vectors = np.moveaxis(_turned(displacement), 0, -1)[..., None, :]
        image = nibabel.Nifti1Image(vectors, grid.affine)
        image.header.set_intent("vector")
    else:
        voxels = in_voxels(displacement, grid, moving)
        if layout == "voxels":
            written = path.with_name(f"{path.name}.npy")
            np.save(written, voxels)
            return written
        image = nibabel.Nifti1Image(np.moveaxis(voxels, 0, -1), grid.affine)
    written = path.with_name(f"{path.name}.nii.gz")
    nibabel.save(image, written)
    return written


def read_field(path: Path, ndim: int) -> Field:
    """Reads a displacement field by the type of its file.

    Args:
        path: NIfTI of five axes, .nrrd or .mha: mm, LPS. NIfTI of four axes, .npz or .npy: voxels.
        ndim: Spatial axes of the images.

    Raises:
        DataError: If it cannot be read, has another number of axes, holds NaN, or has no position
            in space.
    """
    try:
        field = _read(path, ndim)
    except DataError:
        raise
    except Exception as error:  # each format has errors of its kind
        raise DataError(
            f"{path}: cannot be read as a displacement field ({type(error).__name__}). Copy or "
            "write it again."
        ) from error
    broken = int((~np.isfinite(field.vectors)).any(axis=0).sum())
    if broken:
        raise DataError(
            f"{path}: {broken} displacements are not finite (NaN or Inf). Correct them."
        )
    if field.affine is not None:
        check_affine(path, field.affine)
    return field


def _read(path: Path, ndim: int) -> Field:
    if path.name.endswith((".npz", ".npy")):
        loaded: Any = np.load(path)
        if path.suffix == ".npz" and len(loaded.files) != 1:
            raise DataError(
                f"{path}: holds {len(loaded.files)} arrays, but a field is one array. Write the "
                "file again with one."
            )
        array = loaded if path.suffix == ".npy" else loaded[loaded.files[0]]
        first = len(array.shape) > 0 and array.shape[0] == ndim
        return Field(path, _components(path, array if first else np.moveaxis(array, -1, 0), ndim))
    if ndim != 3:
        raise DataError(
            f"{path}: holds a 3D field. For 2D images give a .npy or .npz of shape (2, *S)."
        )
    if path.name.endswith((".nrrd", ".mha")):
        return _read_by_itk(path)
    import nibabel

    file: Any = nibabel.load(path)
    array = np.asarray(file.dataobj, np.float64)
    in_mm = array.ndim == 5 and array.shape[3] == 1
    vectors = _components(path, np.moveaxis(array[:, :, :, 0] if in_mm else array, -1, 0), ndim)
    return Field(path, _turned(vectors), file.affine) if in_mm else Field(path, vectors)


def _read_by_itk(path: Path) -> Field:
    """A vector image; SimpleITK gives its axes reversed, components last."""
    import SimpleITK as sitk

    image = sitk.ReadImage(str(path))
    vectors = _components(path, sitk.GetArrayFromImage(image).T, 3)
    return Field(path, _turned(vectors), affine_of(image))


def _components(path: Path, array: np.ndarray, ndim: int) -> np.ndarray:
    """The array (D, *S) as float64.

    Raises:
        DataError: If it is of another shape.
    """
    if array.ndim != ndim + 1 or len(array) != ndim or array.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: has {array.dtype} numbers of shape {array.shape}, components first; {ndim} "
            f"components on {ndim} axes are needed. Write the field again in that shape."
        )
    return array.astype(np.float64)


def _turned(vectors: np.ndarray) -> np.ndarray:
    """Vectors (3, *S) from LPS to RAS, or back."""
    return vectors * np.array([-1, -1, 1], vectors.dtype).reshape(3, 1, 1, 1)
