"""Reading and preprocessing of NIfTI volumes."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.data.subject import Sample
from bench.errors import ConfigError, DataError


@dataclass(frozen=True)
class Intensity:
    """How intensities are normalized, before cropping or padding.

    Attributes:
        policy: `keep`; `divide` by `by`; or `quantile`, which maps the quantiles `low` and
            `high` of the volume to 0 and 1 and clips what lies outside.
        by: Divisor.
        low: Lower quantile in [0, 1].
        high: Upper quantile in [0, 1].
    """

    policy: str = "keep"
    by: float = 1.0
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Intensity":
        """Reads and checks the section `dataset.intensity`."""
        intensity = cls(**config)
        if intensity.policy not in ("keep", "divide", "quantile"):
            raise ConfigError(
                f"dataset.intensity.policy={intensity.policy}: must be keep, divide or quantile."
            )
        if not 0 <= intensity.low < intensity.high <= 1:
            raise ConfigError(
                f"dataset.intensity: quantiles low={intensity.low}, high={intensity.high} must "
                "satisfy 0 <= low < high <= 1."
            )
        return intensity


def read_subject(
    image_path: Path,
    labels_path: Path | None,
    intensity: Intensity,
    shape: Sequence[int] | None,
    declared: set[int],
) -> Sample:
    """Reads an image and its labels, reorients to RAS, normalizes, crops or pads.

    Args:
        image_path: 3D NIfTI file.
        labels_path: 3D NIfTI file of whole numbers on the same grid, or None.
        intensity: Normalization.
        shape: Shape to crop or pad to, centred; None keeps the volume's own.
        declared: Label ids that may occur.

    Raises:
        DataError: Naming the file, what is wrong with it, and how to mend it.
    """
    import torchio

    image, affine = read_volume(image_path)
    if not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise DataError(
            f"{image_path}: {count} voxels are not finite (NaN or Inf). Replace them, or take "
            "the subject out of the list."
        )
    normalized = normalize(image, intensity)
    largest, most = float(np.abs(normalized).max(initial=0)), float(np.finfo(np.float16).max)
    if largest > most:
        raise DataError(
            f"{image_path}: intensities reach {largest:g}, at most {most:g} "
            "can be kept. Scale them by dataset.intensity."
        )
    members = {"image": torchio.ScalarImage(tensor=normalized[None], affine=affine)}
    if labels_path is not None:
        labels, _ = read_volume(labels_path)
        check_labels(labels, labels_path, declared)
        if labels.shape != image.shape:
            raise DataError(
                f"{labels_path}: has shape {labels.shape}, but its image {image_path.name} has "
                f"{image.shape}. Resample the labels onto the image's grid."
            )
        members["labels"] = torchio.LabelMap(tensor=labels.astype(np.int32)[None], affine=affine)
    steps = [torchio.ToCanonical()]
    if shape is not None:
        steps.append(torchio.CropOrPad(tuple(shape)))
    subject = torchio.Compose(steps)(torchio.Subject(**members))
    return Sample(
        image=subject["image"].numpy().astype(np.float32),
        labels=subject["labels"].numpy()[0] if labels_path is not None else None,
        spacing=tuple(float(edge) for edge in subject["image"].spacing),
    )


def read_volume(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A 3D volume as float32, and its 4x4 affine."""
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        file: Any = nibabel.load(path)
        volume = np.asarray(file.get_fdata(dtype=np.float32))
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file. Copy it there, or take the subject out of the list."
        ) from error
    except (
        ImageFileError,
        HeaderDataError,
        OSError,
        EOFError,
        ValueError,
        zlib.error,
    ) as error:
        raise DataError(
            f"{path}: cannot be read as NIfTI, it is damaged or cut short "
            f"({type(error).__name__}). Copy or download it again."
        ) from error
    if volume.ndim == 4 and volume.shape[3] == 1:
        volume = volume[..., 0]
    if volume.ndim != 3:
        raise DataError(
            f"{path}: has {volume.ndim} dimensions {volume.shape}, 3 are needed. Store one volume "
            "per file."
        )
    return volume, np.asarray(file.affine)


def check_labels(labels: np.ndarray, path: Path, declared: set[int]) -> None:
    """Raises DataError unless all labels are whole and declared."""
    found = np.unique(labels)
    fractions = found[found != np.round(found)]
    if len(fractions):
        raise DataError(
            f"{path}: label {fractions[0]:g} is not a whole number. Resample label maps with "
            "nearest-neighbour interpolation."
        )
    unknown = sorted({int(value) for value in found} - declared)
    if unknown:
        raise DataError(
            f"{path}: labels {_few(unknown)} are outside the declared classes "
            f"{_few(sorted(declared))}. Declare them in dataset.classes, or correct the file."
        )


def normalize(image: np.ndarray, intensity: Intensity) -> np.ndarray:
    """The image with its intensities mapped as the policy says; float32."""
    if intensity.policy == "divide":
        return (image / np.float32(intensity.by)).astype(np.float32)
    if intensity.policy == "quantile":
        low, high = np.quantile(image, [intensity.low, intensity.high])
        if high <= low:
            return np.zeros_like(image)
        return ((np.clip(image, low, high) - low) / (high - low)).astype(np.float32)
    return image


def _few(values: Sequence[int], most: int = 12) -> str:
    shown = ", ".join(str(value) for value in values[:most])
    return shown + (f", … ({len(values)} in all)" if len(values) > most else "")
