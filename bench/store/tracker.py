"""The interface of trackers, and what they show of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Tracked:
    """What a tracker knows of the run that it shows.

    Attributes:
        run_id: Identity of the run.
        name: Name shown, that of its folder, as `python -m bench runs` lists it.
        job_type: A task such as `registration`; `extractor`, `network` or `report`.
        config: The run's configuration.
        facts: What runs are told apart by, such as the names of data set and metric.
        goals: `min` or `max` for what a row of the history holds.
    """

    run_id: str
    name: str
    job_type: str
    config: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)
    goals: Mapping[str, str] = field(default_factory=dict)


class Tracker:
    """Receives the reports of a run; this one keeps nothing (`tracker=none`)."""

    def log(self, row: Mapping[str, float]) -> None:
        """Logs one row of the history; `step` is the optimizer step."""

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Sets the final values."""

    def image(self, name: str, path: Path) -> None:
        """Logs a figure."""

    def table(self, name: str, frame: Any) -> None:
        """Logs a pandas frame."""

    def checkpoint(self, paths: Sequence[Path]) -> None:
        """Takes a network's weights and what describes them, if it was asked to."""

    def close(self, failed: bool = False) -> None:
        """Ends the run; `failed` marks it so."""


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by `/`."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
