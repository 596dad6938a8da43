"""Images with a position in space: NIfTI, NRRD, MetaImage and DICOM, turned to RAS."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.data.files.itk import read_by_itk
from bench.data.files.kinds import BY_ITK, kind_of
from bench.data.files.nifti import check_affine, check_same_grid, read_by_nibabel, to_ras, whole
from bench.data.sources.subject import Raw
from bench.errors import DataError


def read_volumes(
    images: Sequence[Path], labels_path: Path | None, ndim: int, ignore_affine: bool = False
) -> Raw:
    """Reads an image and its labels and turns them to RAS.

    Args:
        images: A file, or several on one grid whose channels follow each other.
        labels_path: A file of whole numbers on the same grid, or None.
        ndim: Spatial axes of the images. 2D ones are planes: of their three axes one has length 1,
            and is left out once the plane is turned.
        ignore_affine: Assumes that all lie on the first image's grid, whatever their headers say.

    Raises:
        DataError: Names the file, the fault, and the remedy.
    """
    from nibabel.orientations import aff2axcodes, io_orientation

    first = images[0]
    found: list[np.ndarray] = []
    for path in images:
        channels, affine = read_volume(path)
        if channels.dtype.kind == "f":
            channels = channels.astype(np.float32, copy=False)
        if not found:
            _check_axes(path, channels.shape[1:], ndim)
            stored, grid = channels.shape[1:], affine
            check_affine(first, affine)
        else:
            _check_shape(path, channels.shape[1:], first, stored)
        turned, turned_affine = _turned(path, channels, grid if ignore_affine else affine)
        if not found:
            image_affine = turned_affine
        check_same_grid(turned.shape[1:], image_affine, turned_affine, path, first)
        found.append(turned)
    image = np.concatenate(found) if len(found) > 1 else found[0]
    labels = None
    if labels_path is not None:
        ids, affine = read_volume(labels_path)
        if len(ids) != 1:
            raise DataError(
                f"{labels_path}: has {len(ids)} channels; a label map has one. Store one id per "
                "voxel."
            )
        if ignore_affine and ids.shape[1:] == stored:
            affine = grid
        (labels,), affine = _turned(labels_path, whole(ids, labels_path), affine)
        if labels.shape != image.shape[1:]:
            _check_shape(labels_path, ids.shape[1:], first, stored)
        check_same_grid(labels.shape, image_affine, affine, labels_path, first)
    kept = [0, 1, 2]
    if ndim == 2:
        flat = image.shape[1:].index(1)
        kept.remove(flat)
        image = image.squeeze(flat + 1)
        labels = None if labels is None else labels.squeeze(flat)
    edges = np.sqrt((image_affine[:3, :3] ** 2).sum(axis=0))
    stored_axes = zip(aff2axcodes(grid), io_orientation(grid)[:, 0], strict=True)
    return Raw(
        image=image,
        labels=labels,
        spacing=tuple(float(edges[axis]) for axis in kept),
        orientation="".join(str(code) for code, axis in stored_axes if axis in kept),
        affine=in_plane(image_affine, kept, kept),
    )


def read_volume(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Channels (C, X, Y, Z) as stored, and the 4x4 affine to mm in RAS."""
    return read_by_itk(path) if kind_of(path) in BY_ITK else read_by_nibabel(path)


def in_plane(affine: np.ndarray, world: Sequence[int], axes: Sequence[int]) -> np.ndarray:
    """The rows of some directions of the world and the columns of some axes of an affine (4, 4)."""
    return affine[np.ix_([*world, 3], [*axes, 3])]


def _turned(path: Path, channels: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Channels (C, X, Y, Z) and affine in RAS."""
    check_affine(path, affine)
    turned, turned_affine = to_ras(np.moveaxis(channels, 0, -1), affine)
    return np.moveaxis(turned, -1, 0), turned_affine


def _check_axes(path: Path, shape: tuple[int, ...], ndim: int) -> None:
    if ndim == 2 and 1 not in shape:
        raise DataError(
            f"{path}: is a volume of {shape}, but the data set needs 2D images. Set "
            "dataset.ndim=3, or save slices."
        )
    if ndim == 3 and 1 in shape:
        raise DataError(
            f"{path}: is a 2D image of {shape}, but the data set needs volumes. Set "
            "dataset.ndim=2, or name the volume or the folder of all slices."
        )


def _check_shape(path: Path, shape: tuple[int, ...], first: Path, wanted: tuple[int, ...]) -> None:
    if shape != wanted:
        raise DataError(
            f"{path}: has shape {shape}, but its image {first.name} has {wanted}. Resample it onto "
            "the image's grid."
        )
