"""Results that several runs share: one run creates them in a folder, once, under a lock."""

from collections.abc import Callable
from typing import Any

from bench.store.checkpoints import damage
from bench.store.folder import Folder
from bench.store.layout import BEST, SUMMARY
from bench.training.trainee import Fitted

TOLD = ("steps", "best_step", "training_seconds")  # of the training, by the runs that use it


def obtain(folder: Folder, what: str, train: Callable[[], None]) -> dict[str, Any]:
    """The summary of a stored training; trains it first if it is missing or damaged.

    Args:
        folder: Where it is, or will be.
        what: It is, for messages.
        train: Makes it, in the folder that is claimed then.

    Raises:
        StoreError: If the folder holds another training's result, such as a renamed folder's.
    """
    folder.refuse_other()
    if not _is_whole(folder):
        with folder.claim(wait=True):
            if not _is_whole(folder):
                if folder.summary() is not None:
                    print(
                        f"{folder.path}: is damaged ({_damage(folder)}); the suite makes {what} "
                        "again"
                    )
                    folder.forget()
                train()
    return folder.summary() or {}


def trained(fitted: Fitted) -> dict[str, Any]:
    """What the summary of a stored training says: its length and its best validation scores."""
    scores = {name: value for name, value in fitted.best.items() if name != "loss"}
    return {
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "scores": {name: {"mean": v, "std": None, "n": None} for name, v in scores.items()},
        "validation_loss": fitted.best["loss"],
        "training_seconds": fitted.seconds,
    }


def _is_whole(folder: Folder) -> bool:
    """Whether it is there, its files as they were written."""
    return folder.summary() is not None and _damage(folder) is None


def _damage(folder: Folder) -> str | None:
    """What is wrong with what was trained, in words; older ones say so of their weights only."""
    summary = folder.summary() or {}
    lacking = [key for key in TOLD if key not in summary]
    if lacking:
        return f"{SUMMARY} lacks {lacking[0]}"
    return folder.altered_file(summary) or damage(folder.file(BEST))
