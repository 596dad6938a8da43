"""Data sets in the layouts of the Medical Segmentation Decathlon and of Learn2Reg."""

import json
from dataclasses import dataclass
from pathlib import Path

from bench.data.files.images import read_raw
from bench.data.sources.nnunet import is_nnunet
from bench.data.sources.source import Source
from bench.data.sources.splits import ShuffledSplits
from bench.data.sources.subject import Raw, Subject
from bench.errors import DataError


@dataclass(kw_only=True)
class Decathlon(ShuffledSplits, Source):
    """`dataset.json` (or `NAME_dataset.json`) lists images and labels, which are then split.

    Attributes:
        ignore_affine: Assumes that labels lie on their image's grid, whatever their header says.
    """

    ignore_affine: bool = False

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        entries = read_listing(self.name, root)
        return [
            Subject(
                id=stem(entry["image"]),
                split=split,
                image=root / entry["image"],
                labels=root / entry["label"] if "label" in entry else None,
            )
            for entry, split in self.split(entries)
        ]

    def read(self, subject: Subject) -> Raw:
        return read_raw(subject.images, subject.labels, self.ndim, self.ignore_affine)


def stem(name: str) -> str:
    """A NIfTI file's name without its endings."""
    return Path(name).name.removesuffix(".gz").removesuffix(".nii")


def find_listing(root: Path) -> Path | None:
    """`dataset.json` in the folder, or the only `NAME_dataset.json`; None if there is neither."""
    named = root / "dataset.json"
    others = sorted(root.glob("*_dataset.json"))
    if named.exists():
        return named
    return others[0] if len(others) == 1 else None


def read_listing(name: str, root: Path) -> list[dict[str, str]]:
    """The entries `{image, label}` of the list `training`.

    Raises:
        DataError: If the file is missing or not of this form.
    """
    listing = find_listing(root)
    if listing is None:
        raise DataError(
            f"dataset {name}: {root / 'dataset.json'} does not exist. Point dataset.root at the "
            "folder that holds dataset.json, imagesTr and labelsTr."
        )
    try:
        content = json.loads(listing.read_text(encoding="utf-8-sig"))
        if is_nnunet(content) and "training" not in content:
            raise DataError(
                f"dataset {name}: {root} has the layout of nnU-Net v2. Use dataset=nnunet."
            )
        entries = content["training"]
        if not all(
            isinstance(entry["image"], str) and isinstance(entry.get("label", ""), str)
            for entry in entries
        ):
            raise TypeError
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{listing}: must be JSON with a list 'training' of "
            '{"image": ..., "label": ...}. Download it again.'
        ) from error
    if not entries:
        raise DataError(f"{listing}: its list 'training' is empty. Download it again.")
    return entries
