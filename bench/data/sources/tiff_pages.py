"""What stacks and sequences of TIFF files share: sections of splits, and pages of files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.data.files.tiff import read_image, read_labels
from bench.data.files.tiff_spacing import pixel_edges
from bench.data.lengths import PIXELS
from bench.data.sources.source import Source
from bench.data.sources.subject import SPLITS, Raw, Subject
from bench.errors import ConfigError, DataError


@dataclass(kw_only=True)
class TiffPages(Source):
    """A source whose subjects are pages of series, in ranges that each split names.

    Attributes:
        splits: For each split a section; none for a split without subjects.
    """

    HARMLESS = Source.HARMLESS | {"splits"}  # the subjects that it names count

    splits: Mapping[str, Mapping[str, Any]]

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = sorted(set(self.splits) - set(SPLITS))
        if unknown:
            raise ConfigError(
                f"dataset.splits.{unknown[0]}: no such split; known are {', '.join(SPLITS)}."
            )

    def sections(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Each split that has subjects, with its section."""
        return ((split, section) for split, section in self.splits.items() if section is not None)

    def limits(self, option: str, limits: Any, count: int, what: str) -> tuple[int, int]:
        """The range [first, end) that an option of a split gives; all of it for None.

        Args:
            option: The option below `dataset.splits`, for messages.
            limits: Its value.
            count: Length of the series that it is a range of.
            what: What the series is, for messages.

        Raises:
            ConfigError: If it is no range within the series.
        """
        if limits is None:
            return 0, count
        given = list(limits) if isinstance(limits, list | tuple) else limits
        numbers = isinstance(given, list) and all(type(n) is int for n in given)
        if not (numbers and len(given) == 2 and 0 <= given[0] < given[1] <= count):
            raise ConfigError(
                f"dataset.splits.{option}={given}: must be [first, end) within {what}."
            )
        return given[0], given[1]


def read_page(
    subject: Subject,
    colors: Mapping[tuple[int, int, int], int] | None = None,
    spacing: bool = True,
) -> Raw:
    """Image and labels of a subject that is a page of TIFF files, or a whole one.

    Args:
        subject: The subject.
        colors: The id that each colour stands for, for label maps in colour.
        spacing: Whether the file is asked for the size of its pixels.

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
    edges = pixel_edges(subject.image) if spacing else None
    return Raw(image, labels, edges or (1.0, 1.0), unit="mm" if edges else PIXELS)
