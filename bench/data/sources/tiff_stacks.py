"""Stacks of slices in TIFF files or folders of images, with stacks of label maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.config.image_parts import files_in
from bench.config.overrides import quoted
from bench.data.files.images import read_page
from bench.data.files.kinds import PICTURES, TIFF, kind_in, kind_of
from bench.data.files.tiff_stack import count_pages, planes_are_colours
from bench.data.sources.subject import Raw, Subject
from bench.data.sources.tiff_pages import TiffPages
from bench.errors import ConfigError, DataError, counted


@dataclass(kw_only=True)
class TiffStacks(TiffPages):
    """Each split is a range of slices of one stack; a subject is a slice.

    Attributes:
        splits: For each split `images` and, if there are any, `labels`: a TIFF file, or a folder
            with a TIFF, PNG or JPEG per slice, counted by the numbers in their names, relative to
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
            slices = _slices(images)
            if len(slices) == 1 and not images.is_dir() and planes_are_colours(images):
                raise DataError(
                    f"{images}: its planes are the colours of one slice, as tifffile writes stacks "
                    "of 3. If they are slices, save it with photometric='minisblack'."
                )
            maps = [None] * len(slices) if labels is None else _slices(labels)
            if len(maps) != len(slices):
                raise DataError(
                    f"dataset {self.name}: {images} has {counted(len(slices), 'slice')}, but "
                    f"{labels} has {len(maps)}. Give each slice one label map."
                )
            if labels is not None and images.is_dir() != labels.is_dir():
                raise DataError(
                    f"dataset {self.name}: only one of {images} and {labels} is a folder. Give "
                    "both as folders with one file per slice, or both as stacks."
                )
            series = str(images.relative_to(root))
            what = f"the {counted(len(slices), 'slice')} of {images}"
            option = f"{split}.slices"
            first, end = self.limits(option, section.get("slices"), len(slices), what)
            in_stack = not images.is_dir()
            found += [
                Subject(
                    f"{series}/{place:03d}",
                    split,
                    slices[place],
                    maps[place],
                    place if in_stack else None,
                    series,
                    place,
                )
                for place in range(first, end)
            ]
        return found

    def read(self, subject: Subject) -> Raw:
        return read_page(
            subject.images,
            subject.labels,
            subject.page,
            self._ids_by_color(),
            spacing=self.pixel_size is None,
        )

    def _ids_by_color(self) -> dict[tuple[int, int, int], int] | None:
        if self.colors is None:
            return None
        if any(len(row) != 4 for row in self.colors):
            raise ConfigError("dataset.colors: must be rows [red, green, blue, id].")
        return {(int(r), int(g), int(b)): int(i) for r, g, b, i in self.colors}

    def _find(self, root: Path, patterns: str | Sequence[str] | None, option: str) -> Path:
        if not patterns:
            raise ConfigError(
                f"dataset.{option}: is missing. Name a TIFF file or a folder relative to root."
            )
        patterns = [patterns] if isinstance(patterns, str) else list(patterns)
        for pattern in patterns:
            if Path(pattern).is_absolute() or ".." in Path(pattern).parts:
                raise ConfigError(
                    f"dataset.{option}={quoted(pattern)}: must lie below dataset.root={root}. "
                    "Point dataset.root higher up."
                )
            found = sorted(root.glob(pattern))
            if len(found) > 1:
                raise DataError(
                    f"dataset {self.name}: {len(found)} files match {pattern} in {root}: "
                    f"{found[0].name}, {found[1].name}. Name one in dataset.{option}."
                )
            if found:
                return found[0]
        raise DataError(
            f"dataset {self.name}: {root / patterns[0]} does not exist. Point dataset.root at the "
            f"folder that holds it, or name the file in dataset.{option}."
        )


def _slices(path: Path) -> list[Path]:
    """The file that holds each slice of a stack."""
    if not path.is_dir():
        return [path] * (count_pages(path) if kind_of(path) == TIFF else 1)
    found = [file for file in files_in(path) if kind_in(file) in PICTURES]
    if not found:
        raise DataError(
            f"{path}: is a folder without {', '.join(PICTURES)} files. Put one file per slice "
            "there."
        )
    return found
