"""Stacks of slices in TIFF files, with stacks of label maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.data.files.tiff import count_pages
from bench.data.sources.subject import Raw, Subject
from bench.data.sources.tiff_pages import TiffPages, read_page
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class TiffStacks(TiffPages):
    """Each split is a range of slices of one stack; a subject is a slice.

    Attributes:
        splits: For each split `images` and, if there are any, `labels`: a file, relative to
            `root`, or several patterns of which the first that fits is taken; and `slices`,
            [first, end), or none for all.
        colors: Label ids by colour, `[[red, green, blue, id], …]`, for label maps in colour.
    """

    colors: Sequence[Sequence[int]] | None = None

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        found = []
        for split, section in self.sections():
            images = self._find(root, section.get("images"), f"splits.{split}.images")
            labels = None
            if section.get("labels"):
                labels = self._find(root, section["labels"], f"splits.{split}.labels")
            count = count_pages(images)
            if labels is not None and count_pages(labels) != count:
                raise DataError(
                    f"dataset {self.name}: {images} has {count} slices, but {labels} has "
                    f"{count_pages(labels)}. Give each slice its label map."
                )
            series = str(images.relative_to(root))
            first, end = self.limits(
                f"{split}.slices", section.get("slices"), count, f"the {count} slices of {images}"
            )
            found += [
                Subject(f"{series}/{page:03d}", split, images, labels, page, series, page)
                for page in range(first, end)
            ]
        return found

    def read(self, subject: Subject) -> Raw:
        return read_page(subject, self._ids_by_color(), spacing=self.pixel_size is None)

    def _ids_by_color(self) -> dict[tuple[int, int, int], int] | None:
        if self.colors is None:
            return None
        if any(len(row) != 4 for row in self.colors):
            raise ConfigError("dataset.colors: must be rows [red, green, blue, id].")
        return {(int(r), int(g), int(b)): int(i) for r, g, b, i in self.colors}

    def _find(self, root: Path, patterns: str | Sequence[str] | None, option: str) -> Path:
        if not patterns:
            raise ConfigError(f"dataset.{option}: is missing. Name a TIFF file relative to root.")
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        for pattern in patterns:
            if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise ConfigError(
                    f"dataset.{option}={pattern}: must lie below dataset.root={root}. Point "
                    "dataset.root higher up."
                )
            found = sorted(root.glob(pattern))
            if len(found) > 1:
                raise DataError(
                    f"dataset {self.name}: {len(found)} files fit {pattern} in {root}: "
                    f"{found[0].name}, {found[1].name}. Name one in dataset.{option}."
                )
            if found:
                return found[0]
        raise DataError(
            f"dataset {self.name}: {root / patterns[0]} does not exist. Point dataset.root at the "
            f"folder that holds it, or name the file in dataset.{option}."
        )
