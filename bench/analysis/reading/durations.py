"""Times in words."""

import time


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
