"""Sequences in the layout of the Cell Tracking Challenge."""

import re
from dataclasses import dataclass
from pathlib import Path

from bench.data.files.images import read_raw
from bench.data.sources.subject import Raw, Subject
from bench.data.sources.tiff_pages import TiffPages
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class CellTracking(TiffPages):
    """`SS/tNNN.tif` with masks in `SS_ST/SEG/man_segNNN.tif`; a subject is a frame.

    Attributes:
        splits: For each split `sequence` and `frames`: [first, end) of a sequence of `of` frames,
            or none for all. A sequence of another length is cut in the same proportions.
        masks: Which masks: `ST` (silver truth, every frame) or `GT` (gold truth).
    """

    masks: str = "ST"

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        found = []
        for split, section in self.sections():
            if "sequence" not in section:
                raise ConfigError(
                    f"dataset.splits.{split}: names no sequence. Name one, such as sequence: '01'."
                )
            sequence = str(section["sequence"])
            frames = self._frames(root, sequence)
            whole = section.get("of") or len(frames)
            limits = self.limits(f"{split}.frames", section.get("frames"), whole, f"{whole} frames")
            first, end = (limit * len(frames) // whole for limit in limits)
            found += [
                Subject(f"{sequence}/{image.stem}", split, image, labels, None, sequence, number)
                for number, image, labels in frames[first:end]
            ]
        return found

    def read(self, subject: Subject) -> Raw:
        spacing = self.pixel_size is None
        return read_raw(subject.images, subject.labels, self.ndim, spacing=spacing)

    def _frames(self, root: Path, sequence: str) -> list[tuple[int, Path, Path]]:
        """Number, image and mask of every frame, in order."""
        folder = root / sequence
        images = {
            match[1]: path
            for path in sorted(folder.glob("t*.tif"))
            if (match := re.fullmatch(r"t(\d+)", path.stem))
        }
        if not images:
            raise DataError(
                f"dataset {self.name}: {folder} holds no frames tNNN.tif. Point dataset.root at "
                f"the folder that holds {sequence} and {sequence}_{self.masks}."
            )
        numbers = sorted(int(number) for number in images)
        missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
        if missing:
            listed = ", ".join(str(number) for number in missing[:5])
            raise DataError(
                f"dataset {self.name}: {folder} lacks frame {listed}"
                f"{' and more' if len(missing) > 5 else ''} of its sequence {numbers[0]} to "
                f"{numbers[-1]}. Copy or download it again."
            )
        masks = root / f"{sequence}_{self.masks}" / "SEG"
        found = []
        for digits, image in sorted(images.items(), key=lambda item: int(item[0])):
            mask = masks / f"man_seg{digits}.tif"
            if not mask.exists():
                raise DataError(
                    f"dataset {self.name}: {mask}, the mask of frame {image.name}, is missing. "
                    "Copy or download it again, or choose other masks with dataset.masks."
                )
            found.append((int(digits), image, mask))
        return found
