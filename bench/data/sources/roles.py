"""Channels of moving and fixed images, where they differ."""

from collections.abc import Sequence
from typing import Any

from bench.data.sources.source import Source
from bench.errors import ConfigError

MOVING, FIXED = "moving", "fixed"


def roles_of(source: Source, channels: int) -> dict[str, list[int]] | None:
    """Numbers of the channels of moving and of fixed images; None if both show all of them.

    Args:
        source: The data set, with its options `moving` and `fixed`.
        channels: Channels of its images.

    Raises:
        ConfigError: If there is no such channel, or they differ in number.
    """
    if source.moving is None and source.fixed is None:
        return None
    names = source.channel_names()
    found = {}
    for role, given in ((MOVING, source.moving), (FIXED, source.fixed)):
        listed = given if isinstance(given, list | tuple) else [given]
        wanted = range(channels) if given is None else listed
        found[role] = [_number(role, channel, channels, names) for channel in wanted]
    if len(found[MOVING]) != len(found[FIXED]) or not found[MOVING]:
        raise ConfigError(
            f"dataset.moving={source.moving}, dataset.fixed={source.fixed}: choose "
            f"{len(found[MOVING])} and {len(found[FIXED])} of {channels} channel(s). Choose the "
            "same number for both."
        )
    return found


def _number(role: str, channel: Any, channels: int, names: Sequence[str] | None) -> int:
    if names is not None and channel in names:
        return list(names).index(channel)
    if type(channel) is int and 0 <= channel < channels:
        return channel
    named = f" ({', '.join(names)})" if names is not None else ""
    raise ConfigError(
        f"dataset.{role}={channel}: is not a channel; images have {channels}, counted from "
        f"0{named}."
    )
