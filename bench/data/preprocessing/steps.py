"""Preprocesses a subject from its files."""

from collections.abc import Sequence

import numpy as np

from bench.data.preprocessing.intensity import Intensity
from bench.data.preprocessing.label_table import LabelTable
from bench.data.preprocessing.world import Grid, onto_grid
from bench.data.sources.subject import Raw, Sample
from bench.errors import DataError

LEAST = 3  # voxels along an axis: central differences take one on each side
FEWEST_LEVELS = 64  # grey levels that an image must keep, unless it has no more


def preprocess(
    raw: Raw,
    where: str,
    where_labels: str,
    table: LabelTable,
    intensity: Intensity,
    spacing: Sequence[float] | None = None,
    border: int = 0,
    shape: Sequence[int] | None = None,
    world: Grid | None = None,
) -> Sample:
    """Resamples, normalizes, cuts and maps labels to classes, in this order; points go along.

    Args:
        raw: The subject.
        where: Names its image's file in messages.
        where_labels: Names its labels' file in messages.
        table: Maps label ids to classes.
        intensity: Normalization of each channel; it sees the whole image, before it is cut or
            padded.
        spacing: Edge lengths of a voxel in mm to resample to, linearly for images and to the
            nearest for labels; None keeps the file's.
        border: Voxels cut off at both ends of each axis.
        shape: Shape to crop or pad to, centred, after the border is cut; None keeps it. Padding
            has the channel's least intensity, and label 0.
        world: The grid that images are resampled to before anything else, where their headers put
            them; None takes their voxels as they are.

    Raises:
        DataError: Names the file, the fault, and the remedy.
    """
    image, labels = raw.image, raw.labels
    names = [where]
    if len(image) > 1:
        names = [f"{where} (channel {number})" for number in range(len(image))]
    for channel, name in zip(image, names, strict=True):
        check_intensities(channel, name)
    step = intensity.step(image.dtype)
    edges = raw.spacing
    ndim = len(raw.shape)
    grid = np.eye(ndim + 1)
    if world is not None:
        image, labels, to_volume = onto_grid(raw, world, where)
        edges = world.spacing
        if to_volume is not None:
            grid, step = to_volume, None
    if spacing is not None and not np.allclose(edges, spacing, rtol=1e-3, atol=0):
        for size, edge, wanted in zip(image.shape[1:], edges, spacing, strict=True):
            if round(size * edge / wanted) < 1:
                raise DataError(
                    f"{where}: is {size * edge:.4g} mm wide, less than a voxel of {wanted:g} mm. "
                    "Lower dataset.spacing."
                )
        image, labels, to_former = resample(image, labels, edges, spacing)
        grid = grid @ to_former
        edges, step = tuple(float(edge) for edge in spacing), None
    stored = raw.image.dtype
    channels = [intensity.apply(c, name, stored) for c, name in zip(image, names, strict=True)]
    normalized = np.stack(channels) if len(channels) > 1 else channels[0][None]
    largest, most = float(np.abs(normalized).max(initial=0)), float(np.finfo(np.float16).max)
    if largest > most:
        raise DataError(
            f"{where}: intensities reach {largest:g}, but the cache holds at most {most:g}. Scale "
            "them with dataset.intensity."
        )
    if step is None:
        for channel, name in zip(normalized, names, strict=True):
            check_levels(channel, name)
    classes = None if labels is None else table.apply(labels, where_labels)
    if border:
        inside = (slice(border, -border),) * ndim
        if min(normalized.shape[1:]) <= 2 * border:
            raise DataError(
                f"{where}: has shape {normalized.shape[1:]}; cutting a border of {border} leaves "
                "nothing. Lower dataset.border."
            )
        grid = grid @ shift([border] * ndim)
        normalized = normalized[(slice(None), *inside)]
        classes = None if classes is None else classes[inside]
    if shape is not None:
        first = [_first(*sizes) for sizes in zip(normalized.shape[1:], shape, strict=True)]
        grid = grid @ shift(first)
        normalized = padded(normalized, shape)
        classes = None if classes is None else crop_or_pad(classes, shape, 0)
    landmarks = None if raw.landmarks is None else raw.landmarks.mapped(np.linalg.inv(grid))
    arrays = (np.ascontiguousarray(normalized), classes)
    return Sample(*arrays, edges, step, grid, raw.unit, landmarks)


def check_intensities(image: np.ndarray, where: str) -> None:
    """Raises DataError unless all intensities are finite and they are not all the same."""
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        voxels = "voxel is" if count == 1 else "voxels are"
        raise DataError(
            f"{where}: {count} {voxels} not finite (NaN or Inf). Replace them, or leave the "
            "image out."
        )
    if image.size == 0 or image.min() == image.max():
        raise DataError(
            f"{where}: has the same intensity everywhere, so there is nothing to align. Copy or "
            "download it again, or leave it out."
        )


def check_levels(image: np.ndarray, where: str) -> None:
    """Raises DataError if float16, in which images are kept, would merge most grey values.

    Args:
        image: Normalized.
        where: Names the file in messages.
    """
    low, high = float(image.min()), float(image.max())
    levels = (high - low) / float(np.spacing(np.float16(max(abs(low), abs(high)))))
    tiny = high - low < float(np.finfo(np.float16).tiny)
    if tiny or (levels < FEWEST_LEVELS and not np.array_equal(image, image.astype(np.float16))):
        raise DataError(
            f"{where}: intensities run from {low:.4g} to {high:.4g} after normalization, "
            f"of which the cache would keep {levels:.0f} grey levels. Set dataset.intensity.policy "
            "to quantile, or to range with low and high."
        )


def padded(channels: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Channels (C, *S) cropped or padded to the shape, each with its least value."""
    return np.stack([crop_or_pad(channel, shape, channel.min()) for channel in channels])


def crop_or_pad(array: np.ndarray, shape: Sequence[int], value: float) -> np.ndarray:
    """The array cropped or padded to the shape, centred; of an odd difference the larger part
    comes first, as torchio does."""
    for axis, (have, want) in enumerate(zip(array.shape, shape, strict=True)):
        first = _first(have, want)
        if have > want:
            array = np.take(array, range(first, first + want), axis)
        elif have < want:
            widths = [(0, 0)] * array.ndim
            widths[axis] = (-first, want - have + first)
            array = np.pad(array, widths, constant_values=value)
    return array


def window(sizes: Sequence[int], within: Sequence[int]) -> tuple[slice, ...]:
    """Where an array of some size lies in a larger one that `crop_or_pad` makes of it."""
    starts = [-_first(*both) for both in zip(sizes, within, strict=True)]
    return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))


def _first(have: int, want: int) -> int:
    """Where the cropped or padded axis begins on the former one; below 0 if it is padded."""
    larger = (abs(have - want) + 1) // 2
    return larger if have > want else -larger


def shift(voxels: Sequence[float]) -> np.ndarray:
    """The affine (D + 1, D + 1) that moves the origin to this voxel."""
    affine = np.eye(len(voxels) + 1)
    affine[:-1, -1] = voxels
    return affine


def resample(
    image: np.ndarray,
    labels: np.ndarray | None,
    edges: Sequence[float],
    spacing: Sequence[float],
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Image and labels of voxels with other edges, by torchio.

    Args:
        image: (C, *S).
        labels: (*S) or None.
        edges: Present edge lengths in mm.
        spacing: Wanted ones.

    Returns:
        Image, labels, and the affine (D + 1, D + 1) from their voxels to the former ones.
    """
    import torchio

    flat = len(edges) == 2
    affine = np.diag([*edges, *((1.0,) if flat else ()), 1.0])
    target = (*spacing, 1.0) if flat else tuple(spacing)

    def member(array: np.ndarray) -> np.ndarray:
        return array[..., None] if flat else array

    members = {"image": torchio.ScalarImage(tensor=member(image.astype(np.float32)), affine=affine)}
    if labels is not None:
        ids, places = np.unique(labels, return_inverse=True)
        places = places.reshape(labels.shape).astype(np.int32)
        members["labels"] = torchio.LabelMap(tensor=member(places[None]), affine=affine)
    result = torchio.Resample(target)(torchio.Subject(**members))
    arrays = [result[name].numpy() for name in members]
    if flat:
        arrays = [array[..., 0] for array in arrays]
    kept = [0, 1, 3] if flat else [0, 1, 2, 3]
    grid = np.linalg.solve(affine, result["image"].affine)[np.ix_(kept, kept)]
    return arrays[0], ids[arrays[1][0]] if labels is not None else None, grid
