"""OASIS-1 brains as released by neurite and Learn2Reg."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.config.overrides import quoted
from bench.data.files.images import read_raw
from bench.data.sources.decathlon import find_listing, read_listing, stem
from bench.data.sources.source import Source
from bench.data.sources.splits import ShuffledSplits
from bench.data.sources.subject import ATLAS, Raw, Subject
from bench.errors import ConfigError, DataError

IMAGE = "aligned_norm.nii.gz"
NEURITE = "neurite-OASIS"
LEARN2REG = "Learn2Reg OASIS"


@dataclass(kw_only=True)
class Oasis(ShuffledSplits, Source):
    """Either layout, detected by its files; one subject is the atlas, the others are split.

    neurite-OASIS has a folder per subject with `aligned_norm.nii.gz` and the segmentations
    `aligned_seg35.nii.gz` and `aligned_seg4.nii.gz`; Learn2Reg has `OASIS_dataset.json`.

    Attributes:
        segmentation: `seg35` or `seg4`, of neurite-OASIS; `dataset.labels` must fit it.
        atlas: Id of the atlas; None: the first subject in sorted order.
        ignore_affine: Assumes that labels lie on their image's grid, whatever their header says.
    """

    segmentation: str = "seg35"
    atlas: str | None = None
    ignore_affine: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.segmentation not in ("seg35", "seg4"):
            raise ConfigError(
                f"dataset.segmentation={quoted(self.segmentation)}: must be seg35 or seg4."
            )
        if self.segmentation == "seg4" and self.labels == "oasis35":
            raise ConfigError(
                "dataset.segmentation=seg4: its ids differ from those of dataset.labels=oasis35. "
                "Set dataset.labels=oasis4."
            )

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        layout = layout_of(root)
        if layout == NEURITE:
            found = [
                (image.parent.name, image, image.parent / f"aligned_{self.segmentation}.nii.gz")
                for image in sorted(root.glob(f"*/{IMAGE}"))
            ]
        elif layout == LEARN2REG:
            entries = sorted(read_listing(self.name, root), key=lambda entry: entry["image"])
            found = [
                (stem(entry["image"]), root / entry["image"], root / entry["label"])
                for entry in entries
                if "label" in entry
            ]
        else:
            raise DataError(
                f"dataset {self.name}: {root} holds neither folders with {IMAGE} nor "
                "OASIS_dataset.json. Point dataset.root at the folder that does."
            )
        return self._with_atlas(found, root)

    def read(self, subject: Subject) -> Raw:
        return read_raw(subject.images, subject.labels, self.ndim, self.ignore_affine)

    def _with_atlas(self, found: Sequence[tuple[str, Path, Path]], root: Path) -> list[Subject]:
        if not found:
            raise DataError(
                f"dataset {self.name}: {root} lists no image with a label. Download it again."
            )
        atlas = self.atlas if self.atlas is not None else found[0][0]
        chosen = [entry for entry in found if entry[0] == atlas]
        if not chosen:
            raise ConfigError(
                f"dataset.atlas={atlas}: {root} has no such subject; the first is {found[0][0]}."
            )
        others = [entry for entry in found if entry[0] != atlas]
        return [Subject(name, ATLAS, image, labels) for name, image, labels in chosen] + [
            Subject(name, split, image, labels)
            for (name, image, labels), split in self.split(others)
        ]


def layout_of(root: Path) -> str | None:
    """Which of the two layouts a folder has, if any."""
    if next(root.glob(f"*/{IMAGE}"), None) is not None:
        return NEURITE
    listing = find_listing(root)
    return LEARN2REG if listing is not None and b"OASIS" in listing.read_bytes() else None
