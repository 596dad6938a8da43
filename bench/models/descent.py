"""Adam on a batch of pairs, each with a state and an end."""

from collections.abc import Callable

import torch
from torch import Tensor

DECAY, SQUARE_DECAY, EPSILON = 0.9, 0.99, 1e-12


class Stop:
    """When a pair is done: the last `steps` steps gained less than a share of its loss.

    Args:
        steps: Between two looks; a look waits for the device.
        share: Of the loss's magnitude.
    """

    def __init__(self, steps: int, share: float) -> None:
        self.steps = steps
        self.share = share


def minimize(
    losses: Callable[[Tensor, list[int]], Tensor],
    start: Tensor,
    steps: int,
    rate: float,
    stop: Stop,
) -> tuple[Tensor, Tensor]:
    """Minimizes the loss of each pair over its parameters.

    Args:
        losses: From the parameters of some pairs and the numbers of these in the batch to their
            losses (b,); no pair's loss may depend on another pair's parameters.
        start: (B, ...).
        steps: The most that are made.
        rate: Learning rate.
        stop: When a pair ends before.

    Returns:
        Parameters (B, ...), and the steps that each pair made (B,).
    """
    result, made = start.clone(), torch.zeros(len(start), dtype=torch.long)
    active = list(range(len(start)))
    x = start.clone()
    mean, square = torch.zeros_like(x), torch.zeros_like(x)
    before: Tensor | None = None
    for step in range(steps):
        x.requires_grad_()
        with torch.enable_grad():
            values = losses(x, active)
            (gradient,) = torch.autograd.grad(values.sum(), x)
        x, values = x.detach(), values.detach()
        if stop.steps and step % stop.steps == 0:
            if before is not None:
                going = ((before - values) > stop.share * before.abs()).tolist()
                result[active] = x
                if not all(going):
                    kept = [i for i, goes in enumerate(going) if goes]
                    active = [active[i] for i in kept]
                    if not active:
                        break
                    x, mean, square = x[kept], mean[kept], square[kept]
                    gradient, values = gradient[kept], values[kept]
            before = values
        made[active] += 1
        mean.lerp_(gradient, 1 - DECAY)
        square.lerp_(gradient.square(), 1 - SQUARE_DECAY)
        scale = (square / (1 - SQUARE_DECAY ** (step + 1))).sqrt_().add_(EPSILON)
        x = x.addcdiv(mean, scale, value=-rate / (1 - DECAY ** (step + 1)))
    if active:
        result[active] = x
    return result, made
