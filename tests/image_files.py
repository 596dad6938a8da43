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


def itk_image(array: np.ndarray, affine: np.ndarray) -> Any:
    """A SimpleITK image of an array (X, Y, Z), or (X, Y, Z, C), where an affine in RAS puts it."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.swapaxes(array, 0, 2), array.ndim == 4)
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    lps = np.diag([-1, -1, 1]) @ affine[:3]
    image.SetSpacing(edges.tolist())
    image.SetDirection((lps[:, :3] / edges).ravel().tolist())
    image.SetOrigin(lps[:, 3].tolist())
    return image


def write_series(folder: Path, image: Any, series: str = "1.2.3") -> Path:
    """An axial DICOM series, with the tags that its geometry needs."""
    import SimpleITK as sitk

    folder.mkdir(exist_ok=True)
    count = image.GetSize()[2]
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    direction = np.reshape(image.GetDirection(), (3, 3))
    cosines = "\\".join(f"{value:.10f}" for value in direction[:, :2].T.ravel())
    for number in [*range(count)][::-1]:
        plane = image[:, :, number]
        place = "\\".join(
            f"{value:.8f}" for value in image.TransformIndexToPhysicalPoint((0, 0, number))
        )
        tags = {
            "0008|0060": "MR",
            "0020|000d": "1.2",
            "0020|000e": series,
            "0008|0018": f"{series}.{number + 1}",
            "0020|0013": str(number + 1),
            "0020|0032": place,
            "0020|0037": cosines,
        }
        for tag, value in tags.items():
            plane.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{series}-{count - number}.dcm"))
        writer.Execute(plane)
    return folder
