"""Single image files of any type that is read: NIfTI volumes, TIFF and PNG images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.files.nifti import read_nifti, read_volume
from bench.data.files.tiff import count_pages, read_image, read_labels
from bench.data.files.tiff_spacing import pixel_edges
from bench.data.lengths import PIXELS
from bench.data.sources.subject import Raw
from bench.errors import DataError

NIFTI, TIFF, PNG = (".nii.gz", ".nii"), (".tiff", ".tif"), (".png",)


@dataclass(frozen=True)
class FileGrid:
    """Where the voxels of a file lie.

    Attributes:
        shape: Spatial shape, as stored.
        affine: (D + 1, D + 1), from voxels as stored to mm in RAS; to pixels in 2D.
        header: The NIfTI header; None in 2D.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    header: Any = None

    @property
    def ndim(self) -> int:
        """2 or 3 spatial axes."""
        return len(self.shape)


def ending(path: Path) -> str:
    """The ending by which a file is read.

    Raises:
        DataError: If it is none of those known.
    """
    known = (*NIFTI, *TIFF, *PNG)
    found = next((end for end in known if path.name.lower().endswith(end)), None)
    if found is None:
        raise DataError(
            f"{path}: is no image file that can be read; known are {', '.join(known)}. Convert it."
        )
    return found


def file_stem(path: Path) -> str:
    """A file's name without its ending."""
    return path.name[: -len(ending(path))]


def read_raw(image: Path, labels: Path | None = None, ignore_affine: bool = False) -> Raw:
    """Reads an image and its labels by the types of their files.

    Args:
        image: The image.
        labels: Its label map, or None.
        ignore_affine: Takes labels to lie on their image's grid whatever their header says.

    Raises:
        DataError: Naming the file, what is wrong with it, and how to mend it.
    """
    kinds = {ending(path) in NIFTI for path in (image, labels) if path is not None}
    if len(kinds) > 1:
        raise DataError(
            f"{labels}: is of another kind than its image {image}. Convert one of them."
        )
    if kinds == {True}:
        return read_nifti(image, labels, ignore_affine)
    values = _read_page(image, of_labels=False)
    ids = None if labels is None else _read_page(labels, of_labels=True)
    if ids is not None and ids.shape != values.shape:
        raise DataError(
            f"{labels}: has {ids.shape} pixels, but its image {image.name} has {values.shape}. "
            "Give labels on the image's grid."
        )
    edges = pixel_edges(image) if ending(image) in TIFF else None
    unit = "mm" if edges else PIXELS
    return Raw(values, ids, edges or (1.0, 1.0), affine=np.eye(3), unit=unit)


def read_grid(path: Path, raw: Raw) -> FileGrid:
    """The grid of a file that `read_raw` has read.

    Args:
        path: The file.
        raw: What it holds.
    """
    if ending(path) not in NIFTI:
        return FileGrid(raw.image.shape, np.eye(3))
    import nibabel

    volume, affine = read_volume(path)
    file: Any = nibabel.load(path)
    return FileGrid(volume.shape, affine, file.header)


def write_image(path: Path, array: np.ndarray, grid: FileGrid) -> Path:
    """Writes an image on the grid of a file, with that file's header.

    Args:
        path: Where to, without ending.
        array: (*S).
        grid: Of the same shape.

    Returns:
        The file: NIfTI in 3D, TIFF in 2D.
    """
    if grid.header is None:
        import tifffile

        written = path.with_name(f"{path.name}.tif")
        tifffile.imwrite(written, array, photometric="minisblack")
        return written
    import nibabel

    written = path.with_name(f"{path.name}.nii.gz")
    image = nibabel.Nifti1Image(array, grid.affine, grid.header, dtype=array.dtype)
    image.header.set_xyzt_units("mm")
    image.header["cal_min"] = image.header["cal_max"] = 0  # a display range of other values
    nibabel.save(image, written)
    return written


def _read_page(path: Path, of_labels: bool) -> np.ndarray:
    """The only page of a TIFF file, or a PNG."""
    if ending(path) in PNG:
        return _read_png(path)
    pages = count_pages(path)
    if pages != 1:
        raise DataError(f"{path}: has {pages} pages; one image is needed. Save the page as a file.")
    return read_labels(path, 0) if of_labels else read_image(path, 0)


def _read_png(path: Path) -> np.ndarray:
    """Grey values of a PNG; (*S)."""
    import imagecodecs

    try:
        values = imagecodecs.png_decode(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Copy it there.") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{path}: cannot be read as PNG, it is damaged or cut short ({type(error).__name__}). "
            "Copy or download it again."
        ) from error
    if values.ndim == 3:
        grey = values[..., : 3 if values.shape[2] > 2 else 1]  # without transparency
        if (grey != grey[..., :1]).any():
            raise DataError(f"{path}: holds colours; one grey value a pixel is needed. Convert it.")
        values = grey[..., 0]
    return values
