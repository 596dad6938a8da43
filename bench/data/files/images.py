"""Reads image files of any supported kind, and writes images in the same form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.files.colors import Color
from bench.data.files.kinds import BY_NIBABEL, PICTURES, TIFF, kind_of
from bench.data.files.pictures import png_edges, read_picture, read_picture_labels
from bench.data.files.tiff import read_channels, read_label_slices, read_labels, read_slices
from bench.data.files.tiff_spacing import pixel_edges
from bench.data.files.volumes import in_plane, read_volume, read_volumes
from bench.data.lengths import PIXELS
from bench.data.sources.subject import Raw
from bench.errors import DataError


@dataclass(frozen=True)
class FileGrid:
    """The position of a file's voxels.

    Attributes:
        shape: Spatial shape, as stored.
        affine: (D + 1, D + 1), from voxels as stored to mm in RAS; to pixels of pictures.
        header: The header of a file that nibabel reads; None for others.
        volume: (4, 4), from voxels as stored to mm in RAS; None for pictures.
        flat: The axis of length 1 that a plane in space has besides its two; None for others.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    header: Any = None
    volume: np.ndarray | None = None
    flat: int | None = None

    @property
    def ndim(self) -> int:
        """2 or 3 spatial axes."""
        return len(self.shape)


def read_raw(
    images: Sequence[Path],
    labels: Path | None,
    ndim: int,
    ignore_affine: bool = False,
    colors: Mapping[Color, int] | None = None,
    spacing: bool = True,
) -> Raw:
    """Reads an image and its labels; the content of the files decides how.

    Args:
        images: The image's file, or several on one grid whose channels follow each other.
        labels: Its label map, or None.
        ndim: Spatial axes of the images.
        ignore_affine: Assumes that labels lie on their image's grid, whatever their header says.
        colors: Label ids by colour, for label maps in colour.
        spacing: Whether to read the pixel size of a TIFF or PNG file.

    Raises:
        DataError: Names the file, the fault, and the remedy.
    """
    for path in (*images[1:], *(() if labels is None else (labels,))):
        if (kind_of(path) in PICTURES) != (kind_of(images[0]) in PICTURES):
            raise DataError(
                f"{path}: is a different kind of file ({kind_of(path)}) than its image {images[0]} "
                f"({kind_of(images[0])}). Convert one of them."
            )
    if kind_of(images[0]) not in PICTURES:
        return read_volumes(images, labels, ndim, ignore_affine)
    if ndim != 2:
        return read_slices_of_tiff(images, labels, colors, spacing)
    return read_page(images, labels, None, colors, spacing)


def read_page(
    images: Sequence[Path],
    labels: Path | None,
    page: int | None,
    colors: Mapping[Color, int] | None = None,
    spacing: bool = True,
) -> Raw:
    """Reads a page of TIFF files, or PNG and JPEG images, and its labels.

    Args:
        images: A file, or several of one shape whose channels follow each other.
        labels: Its label map, or None.
        page: Counted from 0; None for files that must have no further pages.
        colors: Label ids by colour, for label maps in colour.
        spacing: Whether to read the pixel size of a TIFF or PNG file.

    Raises:
        DataError: If they cannot be read, or differ in shape.
    """
    found: list[np.ndarray] = []
    for path in images:
        if kind_of(path) == TIFF:
            found.append(read_channels(path, page))
        else:
            found.append(read_picture(path))
        _check_shape(path, found[-1].shape[1:], images[0], found[0].shape[1:])
    image = np.concatenate(found) if len(found) > 1 else found[0]
    ids = None
    if labels is not None:
        if kind_of(labels) == TIFF:
            ids = read_labels(labels, page, colors)
        else:
            ids = read_picture_labels(labels, colors)
        _check_shape(labels, ids.shape, images[0], image.shape[1:])
    stated = pixel_edges if kind_of(images[0]) == TIFF else png_edges
    edges = stated(images[0]) if spacing else None
    unit = "mm" if edges else PIXELS
    return Raw(image, ids, edges or (1.0, 1.0), affine=np.eye(3), unit=unit)


def read_slices_of_tiff(
    images: Sequence[Path],
    labels: Path | None,
    colors: Mapping[Color, int] | None = None,
    spacing: bool = True,
) -> Raw:
    """Reads TIFF files whose pages are the slices of a volume, and its labels.

    Args:
        images: A file, or several of one shape whose channels follow each other.
        labels: Its label map, or None.
        colors: Label ids by colour, for label maps in colour.
        spacing: Whether to read the voxel size of the first file.

    Returns:
        Arrays in the order column, row, slice, as volumes of other formats have it.

    Raises:
        DataError: If they cannot be read, are not volumes, or differ in shape.
    """
    for path in (*images, *(() if labels is None else (labels,))):
        if kind_of(path) != TIFF:
            raise DataError(
                f"{path}: is a 2D image ({kind_of(path)}), but the data set needs volumes. Set "
                "dataset.ndim=2, or convert the volume to NIfTI or to a TIFF with a page for each "
                "slice."
            )
    found: list[np.ndarray] = []
    for path in images:
        found.append(read_slices(path).transpose(1, 3, 2, 0))
        _check_shape(path, found[-1].shape[1:], images[0], found[0].shape[1:])
    image = np.concatenate(found) if len(found) > 1 else found[0]
    ids = None
    if labels is not None:
        ids = read_label_slices(labels, colors).transpose(2, 1, 0)
        _check_shape(labels, ids.shape, images[0], image.shape[1:])
    edges = pixel_edges(images[0], "XYZ") if spacing else None
    unit = "mm" if edges else PIXELS
    return Raw(image, ids, edges or (1.0,) * 3, affine=np.eye(4), unit=unit)


def read_grid(path: Path, raw: Raw) -> FileGrid:
    """The grid of a file that `read_raw` has read.

    Args:
        path: The file.
        raw: What it holds.
    """
    kind = kind_of(path)
    if kind in PICTURES:
        return FileGrid(raw.shape, np.eye(len(raw.shape) + 1))
    from nibabel.orientations import io_orientation

    channels, affine = read_volume(path)
    shape, header = channels.shape[1:], _header(path) if kind in BY_NIBABEL else None
    if len(raw.shape) == 3:
        return FileGrid(shape, affine, header, affine)
    flat = shape.index(1)
    normal = int(io_orientation(affine)[flat, 0])
    axes, world = ([axis for axis in range(3) if axis != other] for other in (flat, normal))
    plane = in_plane(affine, world, axes)
    return FileGrid(tuple(shape[axis] for axis in axes), plane, header, affine, flat)


def write_image(path: Path, channels: np.ndarray, grid: FileGrid) -> Path:
    """Writes an image on the grid of a file, with that file's header if it has one.

    Args:
        path: Output path, without ending.
        channels: (C, *S).
        grid: Of the same spatial shape.

    Returns:
        The file: NIfTI, several channels along the fourth axis; TIFF where the grid's file is a
        picture, in colour if there are three channels, or TIFF, with a page for each slice.
    """
    if grid.volume is None:
        return _write_tiff(path.with_name(f"{path.name}.tif"), channels)
    import nibabel

    written = path.with_name(f"{path.name}.nii.gz")
    if grid.flat is not None:
        channels = np.expand_dims(channels, grid.flat + 1)
    array = channels[0] if len(channels) == 1 else np.moveaxis(channels, 0, -1)
    image = nibabel.Nifti1Image(array, grid.volume, grid.header, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    image.header["cal_min"] = image.header["cal_max"] = 0  # a display range of other values
    nibabel.save(image, written)
    return written


def _write_tiff(path: Path, channels: np.ndarray) -> Path:
    """Writes a picture (C, Y, X), or a volume (C, X, Y, Z) with a page for each slice."""
    import tifffile

    volume = channels.ndim == 4
    if len(channels) == 3 and not volume:
        tifffile.imwrite(path, np.moveaxis(channels, 0, -1), photometric="rgb")
        return path
    array, axes = (channels.transpose(0, 3, 2, 1), "CZYX") if volume else (channels, "CYX")
    if len(channels) == 1:
        array, axes = array[0], axes[1:]
    options: dict[str, Any] = {"ome": True, "metadata": {"axes": axes}} if len(axes) > 2 else {}
    tifffile.imwrite(path, array, photometric="minisblack", **options)
    return path


def _header(path: Path) -> Any:
    import nibabel

    file: Any = nibabel.load(path)
    return file.header


def _check_shape(path: Path, shape: tuple[int, ...], first: Path, wanted: tuple[int, ...]) -> None:
    if shape != wanted:
        raise DataError(
            f"{path}: has {shape} pixels, but its image {first.name} has {wanted}. Resample it "
            "onto the image's grid."
        )
