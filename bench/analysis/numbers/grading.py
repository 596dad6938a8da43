"""How well an extractor learned its task, in words."""

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = {"dice": "Dice", "reconstruction_error": "error", "matched": "matched"}
FLOORS = {"dice": 0.7, "matched": 0.5}  # an extractor with less is called poor
POOR = " (poor)"
DAMAGED = "damaged"


def grade(score: str, value: float | None) -> str:
    """A score in words, with a note if it is poor; only its name if it has no value."""
    if value is None or value != value:
        return score if score == DAMAGED else f"{WORDS.get(score, score)} unknown"
    note = POOR if is_poor(score, value) else ""
    return f"{WORDS.get(score, score)} {value:.2f}{note}"


def is_poor(score: str, value: float) -> bool:
    """Whether an extractor with this score on validation images is called poor."""
    return value < FLOORS.get(score, value)


def is_called_poor(grades: object) -> bool:
    """Whether some of the scores in words, such as "Dice 0.12 (poor)", are poor."""
    return POOR in str(grades)


def poor_extractors(summary: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each poor extractor of a run.

    Args:
        summary: The run's.
    """
    for extractor in summary.get("extractors", []):
        for score, value in extractor.get("scores", {}).items():
            if is_poor(score, value):
                yield (
                    f"the {extractor['task']} extractor learned poorly: {WORDS[score]} {value:.2f} "
                    f"on validation images, below {FLOORS[score]:g}. What it judges or guides "
                    "means little; train it longer (extractor.steps)"
                )
