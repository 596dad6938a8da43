"""Stacks of slices in TIFF files, with stacks of label maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.data.files.tiff import count_pages, read_image, read_labels
from bench.data.sources.source import Source
from bench.data.sources.subject import SPLITS, Raw, Subject
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class TiffStacks(Source):
    """Each split is a range of slices of one stack; a subject is a slice.

    Attributes:
        splits: For each split `images` and, if there are any, `labels`: a file, relative to
            `root`, or several patterns of which the first that fits is taken; and `slices`,
            [first, end), or none for all.
        colors: Label ids by colour, `[[red, green, blue, id], …]`, for label maps in colour.
    """

    unit: ClassVar[str] = "px"
    splits: Mapping[str, Mapping[str, Any]]
    colors: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = sorted(set(self.splits) - set(SPLITS))
        if unknown:
            raise ConfigError(
                f"dataset.splits.{unknown[0]}: no such split; known are {', '.join(SPLITS)}."
            )

    def subjects(self) -> list[Subject]:
        root = self.existing_root()
        found = []
        for split, section in self.splits.items():
            if section is None:
                continue
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
            first, end = self._slices(split, section.get("slices"), count, images)
            found += [
                Subject(f"{series}/{page:03d}", split, images, labels, page, series, page)
                for page in range(first, end)
            ]
        return found

    def read(self, subject: Subject) -> Raw:
        return read_page(subject, self._ids_by_color())

    def settings(self) -> dict[str, Any]:
        colors = None if self.colors is None else [list(color) for color in self.colors]
        return super().settings() | {"colors": colors}

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

    def _slices(
        self, split: str, limits: Sequence[int] | None, count: int, path: Path
    ) -> tuple[int, int]:
        if limits is not None and (not isinstance(limits, Sequence) or len(limits) != 2):
            raise ConfigError(
                f"dataset.splits.{split}.slices={limits}: must be [first, end) within the "
                f"{count} slices of {path}."
            )
        first, end = (0, count) if limits is None else limits
        if not 0 <= first < end <= count:
            raise ConfigError(
                f"dataset.splits.{split}.slices=[{first}, {end}]: must be [first, end) within the "
                f"{count} slices of {path}."
            )
        return first, end


def read_page(subject: Subject, colors: Mapping[tuple[int, int, int], int] | None = None) -> Raw:
    """Image and labels of a subject that is a page of TIFF files, or a whole one.

    Raises:
        DataError: If they cannot be read, or differ in shape.
    """
    assert subject.image is not None
    page = subject.page or 0
    image = read_image(subject.image, page)
    labels = None
    if subject.labels is not None:
        labels = read_labels(subject.labels, page, colors)
        if labels.shape != image.shape:
            raise DataError(
                f"{subject.labels}: has pages of {labels.shape} pixels, but its image "
                f"{subject.image.name} has {image.shape}. Give labels on the image's grid."
            )
    return Raw(image, labels, (1.0, 1.0))
