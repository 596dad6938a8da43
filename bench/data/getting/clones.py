"""Data sets made from a clone of the repository that holds their source."""

import csv
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bench.config.image_parts import files_in
from bench.data.files.images import read_page
from bench.errors import DataError, no_folder

SECTIONS = {"train": (0, 12), "val": (12, 16), "test": (16, 20)}  # of em_vnc
MERGED = {  # label values of em_vnc's source, and the classes that they become
    **dict.fromkeys((0, 32, 64, 96, 128, 159), 0),  # membrane, junction, glia and extracellular
    **dict.fromkeys((223, 255), 1),  # synapse, intracellular
    191: 2,  # mitochondria
}
FILES = (("images", "jpg"), ("landmarks", "csv"))  # of a pair of histology, and their endings
AGAIN = "Clone the repository again."
SHRUNK = 10  # landmarks of histology are placed at 50 % of the scanned size, images are at 5 %


def lay_out(how: str, clone: Path, folder: Path) -> None:
    """Writes a data set in the layout of its README.

    Args:
        how: Of `LAYOUTS`, what the data set's YAML says under `about.clone`.
        clone: The clone, which stays unchanged.
        folder: Where to write.

    Raises:
        DataError: If the clone lacks something.
    """
    if not clone.is_dir():
        raise DataError(f"--clone {clone}: {no_folder(clone)}. Name the folder of the clone.")
    LAYOUTS[how](clone, folder)


def lay_out_histology(clone: Path, folder: Path) -> None:
    """The stains of lung lesion 3 with the landmarks of annotator PS, and each two as a pair."""
    source = _part(clone, "dataset/lung-lesion_3/scale-5pc")
    annotations = _part(clone, "annotations/lung-lesion_3/user-PS_scale-50pc")
    images = sorted(source.glob("29-041-Izd2-w35-*-les3.jpg"))
    if len(images) < 2:
        raise DataError(f"{source}: has {len(images)} images *-les3.jpg; two are a pair. {AGAIN}")
    stains = [image.stem.split("-")[4] for image in images]
    for name in ("images", "landmarks"):
        (folder / name).mkdir(parents=True)
    for image, stain in zip(images, stains, strict=True):
        shutil.copyfile(image, folder / "images" / f"{stain}.jpg")
        points = _points(annotations / f"{image.stem}.csv")
        _write(folder / "landmarks" / f"{stain}.csv", ("index", "x", "y"), points)
    _write(
        folder / "pairs.csv",
        ("moving", "fixed", "moving_landmarks", "fixed_landmarks"),
        [
            [f"{name}/{stain}.{ending}" for name, ending in FILES for stain in pair]
            for pair in itertools.combinations(stains, 2)
        ],
    )


def _points(path: Path) -> list[tuple[str, float, float]]:
    """Index, x and y of the landmarks in pixels of the image."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        return [(i, round(float(x) / SHRUNK, 4), round(float(y) / SHRUNK, 4)) for i, x, y in rows]
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. {AGAIN}") from error
    except ValueError as error:
        raise DataError(f"{path}: is no table of index, X and Y ({error}). {AGAIN}") from error


def lay_out_em_vnc(clone: Path, folder: Path) -> None:
    """The sections of stack 1 as a stack for each split, nine label values as three classes."""
    import tifffile

    images, labels = (_sections(_part(clone, f"stack1/{name}")) for name in ("raw", "labels"))
    for name in ("images", "labels-class"):
        (folder / name).mkdir(parents=True)
    for split, (first, end) in SECTIONS.items():
        stacks: dict[str, list[np.ndarray]] = {"images": [], "labels-class": []}
        for image, values in zip(images[first:end], labels[first:end], strict=True):
            raw = read_page([image], values, None, spacing=False)
            stacks["images"].append(raw.image)
            stacks["labels-class"].append(_merged(raw.labels, values)[None])
            shape, expected = raw.image.shape, (1, *stacks["images"][0].shape[1:])
            if shape != expected:
                raise DataError(f"{image}: has the shape {shape} where {expected} is due. {AGAIN}")
        for name, pages in stacks.items():
            stack = np.concatenate(pages)
            tifffile.imwrite(folder / name / f"{split}.tif", stack, photometric="minisblack")


def _sections(folder: Path) -> list[Path]:
    """The files of the sections, in their order."""
    found = files_in(folder)
    needed = SECTIONS["test"][1]
    if len(found) != needed:
        raise DataError(f"{folder}: has {len(found)} sections of {needed}. {AGAIN}")
    return found


def _merged(values: np.ndarray | None, path: Path) -> np.ndarray:
    assert values is not None
    unknown = sorted(set(np.unique(values).tolist()) - set(MERGED))
    if unknown:
        raise DataError(
            f"{path}: has the label {unknown[0]}; known are {', '.join(map(str, sorted(MERGED)))}. "
            f"{AGAIN}"
        )
    table = np.zeros(256, np.uint8)
    table[list(MERGED)] = list(MERGED.values())
    return table[values]


def _part(clone: Path, name: str) -> Path:
    part = clone / name
    if not part.is_dir():
        raise DataError(
            f"--clone {clone}: has no folder {name}. Name the folder of the clone that "
            "`git clone` made."
        )
    return part


def _write(path: Path, heading: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(heading)
        writer.writerows(rows)


LAYOUTS: Mapping[str, Callable[[Path, Path], None]] = {
    "histology": lay_out_histology,
    "em_vnc": lay_out_em_vnc,
}
