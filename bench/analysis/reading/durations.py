"""How long trainings took, and times in words."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from bench.store.layout import NETWORK


def training_seconds(summaries: Iterable[Mapping[str, Any]]) -> float | None:
    """What the trainings of runs took together; one that several runs share counts once.

    Runs share a training if it took as long to the last digit: runs of a network for every λ, and
    a run that refines the output of another's network.

    Args:
        summaries: The runs'.

    Returns:
        Seconds; None where nothing was trained or its time is not known.
    """
    trainings = (summary.get(NETWORK, summary) for summary in summaries)
    known = {training.get("training_seconds") for training in trainings} - {None}
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
