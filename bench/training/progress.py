"""What a person sees while a network trains, and while pairs are registered."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn


class TrainingProgress:
    """A bar with loss, Dice, speed and remaining time; on a log file one line per validation.

    Args:
        name: What is trained.
        steps: Steps in total.
        enabled: Whether anything is shown.
    """

    def __init__(self, name: str, steps: int, enabled: bool) -> None:
        self.name = name
        self.steps = steps
        self.enabled = enabled
        self.bar: Progress | None = None
        self.scores = ""
        self.first: tuple[int, float] | None = None

    def __enter__(self) -> "TrainingProgress":
        console = Console(stderr=True)
        if self.enabled and console.is_terminal:
            self.bar = _bar(console)
            self.task = self.bar.add_task(self.name, total=self.steps, said="")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, loss: float) -> None:
        """Shows the step reached and the mean loss since the last validation."""
        if self.bar is not None:
            said = f"loss {loss:.4f}  {self.scores}{self._speed(step)}"
            self.bar.update(self.task, completed=step, said=said)

    def validated(self, row: dict[str, Any]) -> None:
        """Shows a row of the history."""
        dice = f"dice {row['val_dice']:.3f}  " if "val_dice" in row else ""
        self.scores = f"val {row['val_loss']:.4f}  {dice}"
        if self.enabled and self.bar is None:
            print(
                f"{self.name}: step {row['step']}/{self.steps}  loss {row['train_loss']:.4f}  "
                f"{self.scores}{self._speed(row['step'])}",
                file=sys.stderr,
                flush=True,
            )

    def _speed(self, step: int) -> str:
        now = time.perf_counter()
        if self.first is None:
            self.first = (step, now)
            return ""
        steps, seconds = step - self.first[0], now - self.first[1]
        if steps <= 0:
            return ""
        return f"{steps / seconds:.2f} steps/s  {_left((self.steps - step) * seconds / steps)}"


class CaseProgress:
    """A bar of the cases that are done, with the remaining time; on a terminal only.

    Nothing moves between two cases, whose registration is timed.

    Args:
        name: What is done.
        done: Cases that an earlier start has done.
        total: Cases in all.
        enabled: Whether anything is shown.
    """

    def __init__(self, name: str, done: int, total: int, enabled: bool) -> None:
        self.name = name
        self.done = done
        self.total = total
        self.enabled = enabled
        self.bar: Progress | None = None

    def __enter__(self) -> "CaseProgress":
        console = Console(stderr=True)
        if self.enabled and self.done < self.total and console.is_terminal:
            self.bar = _bar(console, auto_refresh=False)
            self.task = self.bar.add_task(self.name, total=self.total, completed=self.done, said="")
            self.bar.start()
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, done: int) -> None:
        """Shows how many cases are done."""
        if self.bar is not None:
            seconds = (time.perf_counter() - self.start) / (done - self.done)
            said = _left((self.total - done) * seconds)
            self.bar.update(self.task, completed=done, said=said, refresh=True)


def _bar(console: Console, auto_refresh: bool = True) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        console=console,
        auto_refresh=auto_refresh,
        transient=True,
    )


def _left(seconds: float) -> str:
    remaining = round(seconds)
    return f"{remaining // 60}:{remaining % 60:02d} left"
