"""Reading of NIfTI volumes."""

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.files.kinds import BY_NIBABEL, kind_of, misnamed
from bench.errors import DataError

LARGEST_SHEAR = 0.02  # cosine of the angle between two axes that counts as a right angle
LARGEST_SHIFT = 0.5  # voxels between image and labels that count as the same place
LARGEST_ROUNDING = 0.25  # of a label that a scale factor moved
LARGEST_LABEL = 2**53  # up to which whole numbers are exact in float64
SMALL = 1e-4
GZIP_RATIO = 1032  # by which deflate compresses at most
MILLIMETRES = {1: 1e3, 2: 1.0, 3: 1e-3}  # by the code of a NIfTI header: metre, mm, micrometre


def read_by_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Channels (C, X, Y, Z) of the file's type (scaled ones as floats), and the 4x4 affine in mm.

    The fourth axis of a NIfTI, or the fifth of a vector image, has the channels; images of two
    axes get a third of length 1.

    Raises:
        DataError: If the file cannot be read or holds something else.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        file: Any = nibabel.load(path)
        _check_extent(file)
        volume = np.asanyarray(file.dataobj)
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file. Copy it there, or remove the subject from the list."
        ) from error
    except (
        ImageFileError,
        HeaderDataError,
        OSError,
        EOFError,
        ValueError,
        zlib.error,
        OverflowError,
    ) as error:
        if reason := misnamed(path):
            raise DataError(f"{path}: {reason}") from error
        raise DataError(
            f"{path}: cannot be read as NIfTI; it is damaged or truncated "
            f"({type(error).__name__}). Copy or download it again."
        ) from error
    if volume.dtype.kind not in "uif":
        raise DataError(
            f"{path}: holds {volume.dtype} voxels, but needs one grey value per voxel. Convert the "
            "file."
        )
    if volume.ndim == 2:
        volume = volume[..., None]
    if volume.ndim == 5 and volume.shape[3] == 1:
        volume = volume[:, :, :, 0]
    if volume.ndim not in (3, 4):
        raise DataError(
            f"{path}: has {volume.ndim} dimensions {volume.shape}; 3 are needed, or 4 for several "
            "channels. Store one image per file."
        )
    affine = in_millimetres(np.asarray(file.affine), file.header)
    volume = volume.astype(volume.dtype.newbyteorder("="), copy=False)
    return np.moveaxis(volume, 3, 0) if volume.ndim == 4 else volume[None], affine


def _check_extent(file: Any) -> None:
    """Raises ValueError if voxels begin within the header, or are more than a file has room for.

    nibabel reads the header as voxels, or reserves the memory.
    """
    first = getattr(file.header, "single_vox_offset", 0) if _is_single(file) else 0
    if file.dataobj.offset < first:
        raise ValueError("the voxels begin inside the header")
    stored = Path(file.file_map["image"].filename).stat().st_size
    if math.prod(file.shape) * file.get_data_dtype().itemsize > GZIP_RATIO * stored:
        raise ValueError("more voxels than the file has room for")


def _is_single(file: Any) -> bool:
    """Whether header and voxels are in one NIfTI file."""
    return bool(getattr(file.header, "is_single", False))


def in_millimetres(affine: np.ndarray, header: Any) -> np.ndarray:
    """An affine in mm, whatever unit of length its header names; one that names none is in mm."""
    code = int(header["xyzt_units"]) % 8 if "xyzt_units" in header else 0
    return affine * np.array([*[MILLIMETRES.get(code, 1.0)] * 3, 1.0])[:, None]


def disagreement(path: Path) -> str | None:
    """How sform and qform of a NIfTI file differ, if both are set and disagree.

    The suite uses the sform.
    """
    import nibabel
    from nibabel.spatialimages import HeaderDataError

    header: Any = nibabel.load(path).header
    if not hasattr(header, "get_sform") or header.get_sform(coded=True)[0] is None:
        return None
    try:
        forms = [header.get_sform(), header.get_qform(coded=True)[0]]
    except (HeaderDataError, ValueError):
        return "its qform cannot be read; the suite uses the sform"
    if forms[1] is None:
        return None
    sform, qform = (in_millimetres(form, header) for form in forms)
    apart = np.linalg.norm(((sform - qform) @ corners(header.get_data_shape()[:3]))[:3], axis=0)
    apart = apart.max()
    if apart <= LARGEST_SHIFT * np.linalg.norm(sform[:3, :3], axis=0).min():
        return None
    return f"sform and qform put a voxel up to {apart:.3g} mm apart; the suite uses the sform"


def whole(labels: np.ndarray, path: Path) -> np.ndarray:
    """The label map as whole numbers.

    Where a header scales the stored numbers, as nibabel's does for arrays of floats, labels are
    whole up to half a step of the stored ones.

    Raises:
        DataError: If a label is not a whole number, or beyond what is exact.
    """
    if labels.dtype.kind != "f":
        return labels
    rounded = np.round(labels)
    broken = labels[~(np.abs(labels - rounded) <= 0)]
    if broken.size:
        broken = labels[~(np.abs(labels - rounded) <= _rounding(path))]
    if broken.size:
        raise DataError(
            f"{path}: label {broken.flat[0]:.9g} is not a whole number. Resample label maps with "
            "nearest-neighbour interpolation."
        )
    if np.abs(rounded).max(initial=0) > LARGEST_LABEL:
        raise DataError(
            f"{path}: label {np.abs(rounded).max():.9g} exceeds {LARGEST_LABEL}. Renumber labels "
            "from 0."
        )
    return rounded.astype(np.int64)


def _rounding(path: Path) -> float:
    """How far a whole number may lie from where a file's scale factor leaves it."""
    import nibabel

    if kind_of(path) not in BY_NIBABEL:
        return 0.0
    file: Any = nibabel.load(path)
    slope = abs(float(getattr(file.dataobj, "slope", 1.0)))
    return 0.0 if slope == 1 else min(0.5 * slope + SMALL, LARGEST_ROUNDING)


def check_affine(path: Path, affine: np.ndarray) -> None:
    """Raises DataError unless the axes of the grid are orthogonal."""
    axes = affine[:3, :3]
    lengths = np.sqrt((axes**2).sum(axis=0))
    if not np.isfinite(affine).all() or not (lengths > 0).all():
        raise DataError(
            f"{path}: its affine is not invertible, so orientation and spacing are unknown. "
            "Correct the header."
        )
    cosines = np.abs((axes / lengths).T @ (axes / lengths) - np.eye(3))
    if cosines.max() > LARGEST_SHEAR:
        raise DataError(
            f"{path}: its affine is sheared (axes differ from a right angle by "
            f"{np.degrees(np.arcsin(min(cosines.max(), 1))):.1f} degrees). Resample it to a "
            "rectangular grid."
        )


def corners(shape: Sequence[int]) -> np.ndarray:
    """The outermost voxels of a volume, as columns; (4, 8), the last row of ones."""
    ends = np.meshgrid(*[[0, size - 1] for size in shape], indexing="ij")
    return np.vstack([*(axis.reshape(1, -1) for axis in ends), np.ones((1, 8))])


def check_same_grid(
    shape: tuple[int, ...], image: np.ndarray, labels: np.ndarray, path: Path, image_path: Path
) -> None:
    """Raises DataError if a corner of the label map differs from the image's, in RAS."""
    places = corners(shape)
    shift = np.abs(np.linalg.solve(image, labels @ places) - places)[:3].max()
    if shift > LARGEST_SHIFT:
        amount = f"{shift:.3g} voxel" + "s" * (f"{shift:.3g}" != "1")
        raise DataError(
            f"{path}: its affine disagrees with that of its image {image_path.name}: they place "
            f"the same voxel up to {amount} apart. Correct the header, or set "
            "dataset.ignore_affine=true if the voxels agree."
        )


def to_ras(volume: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volume and affine with axes permuted and flipped to right, anterior, superior."""
    from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation

    orientation = io_orientation(affine)
    turned = apply_orientation(volume, orientation)
    return turned, affine @ inv_ornt_aff(orientation, volume.shape)
