"""Shared by stacks and sequences of images: sections of splits, and ranges of series."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.config.overrides import quoted
from bench.data.sources.source import Source
from bench.data.sources.subject import SPLITS
from bench.errors import ConfigError


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
                f"dataset.splits.{unknown[0]}: no such split. Known: {', '.join(SPLITS)}."
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
            ConfigError: If it is not a range within the series.
        """
        if limits is None:
            return 0, count
        given = list(limits) if isinstance(limits, list | tuple) else limits
        numbers = isinstance(given, list) and all(type(n) is int for n in given)
        if not (numbers and len(given) == 2 and 0 <= given[0] < given[1] <= count):
            raise ConfigError(
                f"dataset.splits.{option}={quoted(given)}: must be [first, end) within {what}."
            )
        return given[0], given[1]
