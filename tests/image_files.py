"""Image files that tests write."""

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import tifffile


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Writes a volume in the array's own type, of 1 mm in RAS unless an affine says otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.eye(4) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(array, affine, dtype=array.dtype), path)
    return path


def write_tiff(path: Path, array: np.ndarray, **options: Any) -> Path:
    """Writes a TIFF of grey values unless options say otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, array, **{"photometric": "minisblack", **options})
    return path


def gradient(shape: tuple[int, ...], top: float = 100, kind: type = np.uint8) -> np.ndarray:
    """Grey values that rise along the first axis from 0 to `top`."""
    line = np.linspace(0, top, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return np.broadcast_to(line, shape).astype(kind)


def write_sequence(
    root: Path,
    name: str,
    count: int,
    shape: tuple[int, int] = (16, 20),
    masks: str = "ST",
    first: int = 0,
) -> None:
    """Frames of the Cell Tracking Challenge whose value is their number, with two cells of
    different size and number."""
    for number in range(first, first + count):
        frame = np.full(shape, number, np.uint8)
        frame[: shape[0] // 2] = 200
        cells = np.zeros(shape, np.uint16)
        cells[5:9, 5:9], cells[9:11, 9:11] = 2 * number + 300, 7
        write_tiff(root / name / f"t{number:03d}.tif", frame)
        write_tiff(root / f"{name}_{masks}" / "SEG" / f"man_seg{number:03d}.tif", cells)
