"""Checks of the settings that a data set declares, before any file is read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bench.config.numbers import is_count, is_number
from bench.config.overrides import quoted
from bench.data.files.colors import check_choice
from bench.data.preprocessing.insertion import Insertion
from bench.data.preprocessing.steps import LEAST
from bench.errors import ConfigError

if TYPE_CHECKING:
    from bench.data.sources.source import Source

VOXELS, WORLD = "voxels", "world"  # where images are compared
MOST_NOISE = 100  # times the range of intensities; images are kept as float16


def check_declared(source: "Source") -> None:
    """Raises ConfigError where a setting that every source has cannot be used."""
    if not (is_count(source.ndim, 2) and source.ndim <= 3):
        raise ConfigError(f"dataset.ndim={quoted(source.ndim)}: must be 2 or 3.")
    if not isinstance(source.pairs, Mapping):
        raise ConfigError(
            f"dataset.pairs={quoted(source.pairs)}: must be a policy for each split, such as "
            "{train: cross, val: mirrored, test: mirrored}."
        )
    if source.shape is not None and not (
        _is_list(source.shape, source.ndim) and all(is_count(edge, LEAST) for edge in source.shape)
    ):
        raise ConfigError(
            f"dataset.shape={quoted(source.shape)}: must have {source.ndim} whole numbers of at "
            f"least {LEAST}, one per axis, since scores need derivatives along each."
        )
    if source.spacing is not None and not (
        _is_list(source.spacing, source.ndim) and all(map(_is_positive, source.spacing))
    ):
        raise ConfigError(
            f"dataset.spacing={quoted(source.spacing)}: must have {source.ndim} numbers above 0, "
            "one per axis."
        )
    if source.pixel_size is not None:
        sizes = source.pixel_edges()
        if len(sizes) != source.ndim or not all(_is_positive(size) for size in sizes):
            raise ConfigError(
                f"dataset.pixel_size={quoted(source.pixel_size)}: must be a number above 0 in mm, "
                f"or {source.ndim} of them, one per axis."
            )
    _check_space(source)
    if not is_count(source.border, 0):
        raise ConfigError(
            f"dataset.border={quoted(source.border)}: must be a whole number of at least 0."
        )
    level = source.added_noise
    if level is not None and not (_is_positive(level) and level <= MOST_NOISE):
        raise ConfigError(
            f"dataset.added_noise={quoted(level)}: must be a number above 0 and at most "
            f"{MOST_NOISE}, such as 0.1 of normalized intensities, or null for none."
        )
    check_choice(source.color)
    if source.insert is not None:
        Insertion.from_config(source.insert)


def _check_space(source: "Source") -> None:
    if source.space not in (VOXELS, WORLD):
        raise ConfigError(f"dataset.space={quoted(source.space)}: must be {VOXELS} or {WORLD}.")
    if source.space == VOXELS and source.reference is not None:
        raise ConfigError(
            f"dataset.reference={quoted(source.reference)}: has an effect only with "
            f"dataset.space={WORLD}. Set that, or leave dataset.reference out."
        )
    if source.space == WORLD and (source.ndim == 2 or source.pixel_size is not None):
        given = f"pixel_size={quoted(source.pixel_size)}" if source.ndim == 3 else "ndim=2"
        raise ConfigError(
            f"dataset.space={WORLD}: places volumes by their headers, which conflicts with "
            f"dataset.{given}. Leave one out."
        )


def _is_list(value: Any, count: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == count


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0
