"""What a person sees while a network trains."""

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
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[scores]}"),
                console=console,
                transient=True,
            )
            self.task = self.bar.add_task(self.name, total=self.steps, scores="")
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, loss: float) -> None:
        """Shows the step reached and the mean loss since the last validation."""
        if self.bar is not None:
            scores = f"loss {loss:.4f}  {self.scores}{self._speed(step)}"
            self.bar.update(self.task, completed=step, scores=scores)

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
        remaining = round((self.steps - step) * seconds / steps)
        return f"{steps / seconds:.2f} steps/s  {remaining // 60}:{remaining % 60:02d} left"
