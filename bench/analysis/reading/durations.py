"""How long trainings took, and times in words."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from bench.store.folder import NETWORK


def training_seconds(summaries: Iterable[Mapping[str, Any]]) -> float | None:
    """What the trainings of runs took together; a network that several runs share counts once.

    Args:
        summaries: The runs'.

    Returns:
        Seconds; None where nothing was trained or its time is not known.
    """
    found: dict[Any, float | None] = {}
    for number, summary in enumerate(summaries):
        network = summary.get(NETWORK, {**summary, "name": number})
        found[network["name"]] = network.get("training_seconds")
    known = [seconds for seconds in found.values() if seconds is not None]
    return sum(known) if known else None


def ago(moment: float) -> str:
    """How long a moment, in seconds since 1970, is past; a clock that jumped shows as 0."""
    return f"{duration(max(0.0, time.time() - moment))} ago"


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"
