"""Trainings that die on the way."""

from pathlib import Path
from typing import Any

import pytest

from bench.training.loop import fit

CALL = 4  # of the loss, in which they die


def fit_until_death(training: Any, settings: Any, folder: Path, seed: int) -> None:
    """Fits a network as `fit` does, and dies in a call of the loss; its state stays in the folder.

    Args:
        training: A `bench.training.trainee.Trainable`; it is of no use afterwards.
        settings: Of the trainer.
        folder: Where the training's state is kept.
        seed: Of the training.
    """
    loss, calls = training.loss, []

    def dying(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == CALL:
            raise RuntimeError("dies")
        return loss(*arguments)

    training.loss = dying
    with pytest.raises(RuntimeError, match="dies"):
        fit(training, settings, folder, seed)
