"""Tracking of runs. The suite turns off a failing tracker with one line, and the run continues."""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.store import tensorboard, weights_and_biases
from bench.store.tracker import Tracked, Tracker

NONE, WANDB, TENSORBOARD = "none", "wandb", "tensorboard"
TRACKERS = (NONE, WANDB, TENSORBOARD)


class Guarded(Tracker):
    """Another tracker until it fails, of which one line is said; from then on, none.

    Args:
        title: What the line calls it.
        start: Makes the tracker.
    """

    def __init__(self, title: str, start: Callable[[], Tracker]) -> None:
        self._title = title
        self._inner = Tracker()
        self._attempt(lambda _: setattr(self, "_inner", start()))

    def log(self, row: Mapping[str, float]) -> None:
        self._attempt(lambda inner: inner.log(row))

    def summarize(self, summary: Mapping[str, Any]) -> None:
        self._attempt(lambda inner: inner.summarize(summary))

    def image(self, name: str, path: Path) -> None:
        self._attempt(lambda inner: inner.image(name, path))

    def table(self, name: str, frame: Any) -> None:
        self._attempt(lambda inner: inner.table(name, frame))

    def checkpoint(self, paths: Sequence[Path]) -> None:
        self._attempt(lambda inner: inner.checkpoint(paths))

    def close(self, failed: bool = False) -> None:
        self._attempt(lambda inner: inner.close(failed))

    def _attempt(self, action: Callable[[Tracker], None]) -> None:
        """Does something with the tracker; one that fails is closed and replaced by none."""
        try:
            action(self._inner)
        except Exception as error:
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(f"{self._title}: {line}; the run continues without it", file=sys.stderr)
            failed, self._inner = self._inner, Tracker()
            with contextlib.suppress(Exception):
                failed.close(failed=True)


def check_tracker(settings: Mapping[str, Any]) -> None:
    """Raises ConfigError if the tracker that the section `tracker` asks for cannot be used."""
    name = settings["name"]
    if name not in TRACKERS:
        raise ConfigError(f"tracker.name={quoted(name)}: must be one of {', '.join(TRACKERS)}.")
    if name == WANDB:
        weights_and_biases.chosen_mode(settings["mode"])
        if not isinstance(settings["artifacts"], bool):
            raise ConfigError(
                f"tracker.artifacts={quoted(settings['artifacts'])}: must be true or false."
            )
    if name == TENSORBOARD:
        tensorboard.check_installed()


def open_tracker(settings: Mapping[str, Any], results: Path, tracked: Tracked) -> Tracker:
    """The tracker that the section `tracker` asks for, of one run."""
    name = settings["name"]
    if name == TENSORBOARD:
        return Guarded("TensorBoard", lambda: tensorboard.TensorBoardTracker(results, tracked))
    disabled = weights_and_biases.DISABLED
    if name == NONE or weights_and_biases.chosen_mode(settings["mode"]) == disabled:
        return Tracker()
    grouped = {**settings, "group": weights_and_biases.group_of(settings, tracked.config)}
    return Guarded(
        "Weights & Biases",
        lambda: weights_and_biases.WandbTracker(grouped, results, tracked),
    )
