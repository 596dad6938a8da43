"""Where a training stands: running means, best validation, history, and how to go on."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.errors import Diverged
from bench.store.checkpoints import damage, load_state, save_state
from bench.store.layout import BEST, LAST
from bench.training.schedule import Schedule


@dataclass
class TrainingState:
    """What is saved to resume, besides network, optimizer and schedule.

    Attributes:
        step: Steps done.
        best_loss: Least validation loss so far.
        best_step: The step it was at.
        best: Validation scores of that step.
        stale: Validations since then.
        seconds: Time spent, over all sessions.
        sums: Sums of the training losses since the last validation.
        summed: Number of steps in those sums.
        history: One row per validation.
    """

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    stale: int = 0
    seconds: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    summed: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def add(
        self,
        losses: Sequence[dict[str, Tensor]],
        diverged: Callable[[str], Diverged],
        mean_over_devices: Callable[[Tensor], Tensor],
    ) -> None:
        """Adds the losses of the last steps to the sums, in one transfer from the device.

        Args:
            losses: One mapping of scalars per step.
            diverged: Makes the error from what happened.
            mean_over_devices: Averages a tensor over all devices.

        Raises:
            Diverged: At the first step with a loss that is not finite.
        """
        names = list(losses[0])
        stacked = torch.stack([row[name] for row in losses for name in names])
        values = mean_over_devices(stacked).tolist()
        for i in range(len(losses)):
            row = dict(zip(names, values[i * len(names) : (i + 1) * len(names)], strict=True))
            for name, value in row.items():
                if not math.isfinite(value):
                    step = self.step - len(losses) + i + 1
                    raise diverged(f"{name} is {value} at step {step}")
                self.sums[name] = self.sums.get(name, 0.0) + value
            self.summed += 1

    @property
    def mean_loss(self) -> float:
        """Mean training loss since the last validation."""
        return self.sums["loss"] / self.summed

    def validated(
        self,
        scores: dict[str, float],
        lr: float,
        seconds: float,
        diverged: Callable[[str], Diverged],
    ) -> dict[str, float]:
        """Takes in a validation and starts new sums.

        Args:
            scores: Means over the validation split, `loss` among them.
            lr: The learning rate from now on.
            seconds: Time spent so far.
            diverged: As for `add`.

        Returns:
            The row of the history.

        Raises:
            Diverged: If the validation loss is not finite, or no step since the last validation
                had a gradient.
        """
        if self.sums.get("gradient_norm") == 0:
            raise diverged(f"the gradient is 0 in all {self.summed} steps up to {self.step}")
        if not math.isfinite(scores["loss"]):
            raise diverged(f"the validation loss is {scores['loss']} at step {self.step}")
        row: dict[str, float] = {"step": self.step}
        row |= {f"train_{name}": total / self.summed for name, total in self.sums.items()}
        row |= {f"val_{name}": value for name, value in scores.items()}
        row |= {"lr": lr, "seconds": seconds}
        self.history.append(row)
        self.sums, self.summed = {}, 0
        if scores["loss"] < self.best_loss:
            self.best_loss, self.best_step = scores["loss"], self.step
            self.best, self.stale = dict(scores), 0
        else:
            self.stale += 1
        return row

    @property
    def is_best(self) -> bool:
        """Whether the last validation is the best one so far."""
        return self.stale == 0

    def save(
        self,
        folder: Path,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
    ) -> None:
        """Writes everything that is needed to go on."""
        save_state(
            folder / LAST,
            {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "state": dict(vars(self)),
            },
        )

    @classmethod
    def resume(
        cls,
        folder: Path,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
    ) -> "TrainingState":
        """The state to go on from, filling in the others; a new one if none can be used."""
        saved = load_state(folder / LAST)
        if saved is None:
            return cls()
        anew = "training starts from the beginning"
        parts: dict[str, Any] = {"network": network, "optimizer": optimizer, "schedule": schedule}
        initial = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
        try:
            state = cls(**saved["state"])
            if any(set(saved[name]) != set(initial[name]) for name in parts):
                raise ValueError("other entries")
            if _shapes(saved["network"]) != _shapes(initial["network"]):
                raise ValueError("other weights")
            if state.best_step and (reason := damage(folder / BEST)):
                print(f"{folder / BEST}: is damaged ({reason}); {anew}")
                return cls()
            for name, part in parts.items():
                part.load_state_dict(saved[name])
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError):
            for name, part in parts.items():
                part.load_state_dict(initial[name])
            print(f"{folder / LAST}: is of another network or training; {anew}")
            return cls()
        return state


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items()}
