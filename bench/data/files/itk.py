"""Reading of NRRD, MetaImage and DICOM by SimpleITK."""

import locale
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.config.image_parts import files_in
from bench.data.files.kinds import DICOM, METAIMAGE, NRRD, kind_in
from bench.errors import DataError

READERS = {NRRD: "NrrdImageIO", METAIMAGE: "MetaImageIO", DICOM: "GDCMImageIO"}
POSITION = "0020|0032"  # DICOM: image position (patient), mm, LPS
UNEVEN = 0.05  # difference of gaps between slices, in gaps, from which one is missing


def read_by_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Channels (C, X, Y, Z) of the file's type, and the 4x4 affine to mm in RAS.

    Axes are in the file's order, first the one that runs fastest, as nibabel gives them. Images
    of two axes get a third of length 1.

    Args:
        path: A file, or a folder of one DICOM series.

    Raises:
        DataError: If it cannot be read, or a folder holds several series or lacks slices.
    """
    import SimpleITK as sitk

    try:
        with _locale_kept():
            image = _read_series(path) if path.is_dir() else _read_file(path)
    except RuntimeError as error:
        raise DataError(
            f"{path}: ITK cannot read it; it is damaged or truncated ({_reason(error)}). Copy or "
            "download it again."
        ) from error
    array = sitk.GetArrayFromImage(image)
    if array.dtype.kind not in "uif":
        raise DataError(
            f"{path}: holds {image.GetPixelIDTypeAsString()} voxels, but images need grey values. "
            "Convert the file."
        )
    vector = image.GetNumberOfComponentsPerPixel() > 1
    axes = image.GetDimension()
    channels = np.moveaxis(array, -1, 0) if vector else array[None]
    channels = np.transpose(channels, (0, *range(axes, 0, -1)))
    if axes == 4 and not vector:
        channels, axes = np.moveaxis(channels[0], -1, 0), 3
    if axes == 2:
        channels = channels[..., None]
    elif axes != 3:
        raise DataError(
            f"{path}: has {axes} axes of {'several components' if vector else 'voxels'}; 2 or 3 "
            "are needed. Store one volume per file."
        )
    return channels, affine_of(image)


@contextmanager
def _locale_kept() -> Iterator[None]:
    """Undoes what ITK's reading of DICOM does to the locale, and so to Python's text encoding."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def affine_of(image: Any) -> np.ndarray:
    """The affine (4, 4) from voxels of a SimpleITK image to mm in RAS; ITK's is to LPS."""
    axes = image.GetDimension()
    common = min(axes, 3)
    affine = np.eye(4)
    direction = np.reshape(image.GetDirection(), (axes, axes))[:common, :common]
    affine[:common, :common] = direction * image.GetSpacing()[:common]
    affine[:common, 3] = image.GetOrigin()[:common]
    affine[:2] *= -1
    return affine


def _read_file(path: Path) -> Any:
    """A file by what its bytes are, since ITK would go by its name."""
    import SimpleITK as sitk

    reader = READERS.get(kind_in(path) or "", "")
    return sitk.ReadImage(str(path), imageIO=reader)


def _read_series(folder: Path) -> Any:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    series = reader.GetGDCMSeriesIDs(str(folder))
    if len(series) != 1:
        raise DataError(
            f"{folder}: holds {len(series)} DICOM series; one is needed. Put each series into "
            "a separate folder."
        )
    names = reader.GetGDCMSeriesFileNames(str(folder), series[0])
    if len(names) == 1:
        return sitk.ReadImage(names[0])
    _check_gaps(folder, names)
    reader.SetFileNames(names)
    return reader.Execute()


def _check_gaps(folder: Path, names: tuple[str, ...]) -> None:
    """Raises DataError unless the slices are equally spaced."""
    import SimpleITK as sitk

    places = []
    for name in names:
        reader = sitk.ImageFileReader()
        reader.SetFileName(name)
        reader.ReadImageInformation()
        if not reader.HasMetaDataKey(POSITION):
            return
        places.append([float(part) for part in reader.GetMetaData(POSITION).split("\\")])
    gaps = np.linalg.norm(np.diff(np.array(places), axis=0), axis=1)
    if gaps.max() - gaps.min() > UNEVEN * gaps.mean():
        raise DataError(
            f"{folder}: the {len(files_in(folder))} slices are {gaps.min():.3g} to "
            f"{gaps.max():.3g} mm apart; some are missing or duplicated. Copy or export the "
            "series again."
        )


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:120] if lines else type(error).__name__
