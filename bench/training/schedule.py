"""How the learning rate goes over a training."""

import math
from typing import Any

import torch

from bench.config.settings import TrainerSettings


class Schedule:
    """The learning rate of one optimizer, after `settings.schedule`.

    `plateau` multiplies it by `plateau_factor` when the validation loss has not fallen for more
    than `plateau_patience` validations, as both papers do. `cosine` lets it fall to zero along
    half a cosine over all steps (Loshchilov and Hutter, SGDR, ICLR 2017), after it has risen in
    a line over the first `warmup` steps.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, settings: TrainerSettings) -> None:
        self._optimizer = optimizer
        self._per_step: torch.optim.lr_scheduler.LambdaLR | None = None
        self._per_validation: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        if settings.schedule == "cosine":
            self._per_step = torch.optim.lr_scheduler.LambdaLR(
                optimizer, lambda step: cosine(step, settings.steps, settings.warmup)
            )
        else:
            self._per_validation = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer, factor=settings.plateau_factor, patience=settings.plateau_patience
            )

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def after_step(self) -> None:
        """To be called once after each optimizer step."""
        if self._per_step is not None:
            self._per_step.step()

    def after_validation(self, loss: float) -> None:
        """To be called once after each validation, with its loss."""
        if self._per_validation is not None:
            self._per_validation.step(loss)

    def state_dict(self) -> dict[str, Any]:
        """What `load_state_dict` needs to go on."""
        scheduler = self._per_step or self._per_validation
        assert scheduler is not None
        return dict(scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state that was saved, together with the optimizer's."""
        scheduler = self._per_step or self._per_validation
        assert scheduler is not None
        scheduler.load_state_dict(state)


def cosine(step: int, steps: int, warmup: int) -> float:
    """Factor on the learning rate of a step, counted from 0, of `steps`: in [0, 1]."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1)))
