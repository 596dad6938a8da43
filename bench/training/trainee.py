"""One network in training: its optimizer, schedule and state, and what it leaves on disk."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from bench.config.settings import TrainerSettings
from bench.errors import Diverged
from bench.models.layout import to_channels_last
from bench.models.unet import recompute
from bench.store.checkpoints import save_network
from bench.store.files import write_csv
from bench.store.layout import BEST, HISTORY
from bench.training.compilation import compile_network
from bench.training.schedule import Schedule
from bench.training.state import TrainingState

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Trainable(Protocol):
    """What the trainer trains: a network with its loss and its validation.

    One that has `warnings(history)` gives sentences on why a finished training should be
    distrusted, from its rows per validation.

    Attributes:
        name: How messages call it, such as "ncc on brain".
        network: The network; the trainer moves it to the device.
        description: What a checkpoint says about the network, JSON-serializable.
        advice: What to try when the loss is not finite.
    """

    name: str
    network: nn.Module
    description: dict[str, Any]
    advice: str

    def prepare(self, device: torch.device) -> None:
        """Moves whatever else is needed to the device."""

    def loss(
        self, network: Callable[..., Tensor], positions: Sequence[int], device: torch.device
    ) -> dict[str, Tensor]:
        """Scalars of one batch, `loss` among them, from the training samples at `positions`."""

    def validate(
        self, network: Callable[..., Tensor], settings: TrainerSettings, device: torch.device
    ) -> dict[str, float]:
        """Means over the validation split, `loss` among them."""


@dataclass(frozen=True)
class Fitted:
    """How a training went.

    Attributes:
        steps: Steps trained.
        best_step: Step of the best validation loss, whose weights are kept.
        best: Validation scores at that step.
        seconds: Time in training and validation, over all sessions.
        history: One row per validation.
    """

    steps: int
    best_step: int
    best: dict[str, float]
    seconds: float
    history: list[dict[str, float]] = field(repr=False)


Callback = Callable[[dict[str, float]], None]


class Trainee:
    """A network of which the training is under way.

    Args:
        fabric: The devices.
        trainable: What is trained.
        settings: How.
        folder: Where `best.safetensors`, `last.pt` and `history.csv` go; must exist.
        on_validation: Called with each row of the history.

    Attributes:
        state: Where it stands.
        network: The network in the precision of the training.
        pending: Losses of the steps since the last look, on the device.
    """

    def __init__(
        self,
        fabric: "Fabric",
        trainable: Trainable,
        settings: TrainerSettings,
        folder: Path,
        on_validation: Callback | None = None,
    ) -> None:
        self.fabric = fabric
        self.trainable = trainable
        self.settings = settings
        self.folder = folder
        self.on_validation = on_validation
        self.pending: list[dict[str, Tensor]] = []
        trainable.prepare(fabric.device)
        to_channels_last(trainable.network)
        self.optimizer = torch.optim.Adam(
            trainable.network.parameters(), lr=settings.lr, fused=True
        )
        self.schedule = Schedule(self.optimizer, settings)
        self.network, self.wrapped_optimizer = fabric.setup(trainable.network, self.optimizer)
        if settings.recompute:
            recompute(trainable.network)
        if settings.compile:
            compile_network(trainable.network, fabric.device, graphs=settings.compile == "graphs")
        self.state = TrainingState.resume(folder, trainable.network, self.optimizer, self.schedule)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to train."""
        patience = self.settings.early_stopping
        stale = patience is not None and self.state.stale >= patience
        return stale or self.state.step >= self.settings.steps

    def descend(self) -> dict[str, Tensor]:
        """One optimizer step along the gradients; their norm, if it is limited."""
        norms = {}
        if self.settings.clip_norm is not None:
            norm = self.fabric.clip_gradients(
                self.network,
                self.wrapped_optimizer,
                max_norm=self.settings.clip_norm,
                error_if_nonfinite=False,
            )
            assert norm is not None
            norms["gradient_norm"] = norm
        self.wrapped_optimizer.step()
        self.wrapped_optimizer.zero_grad()
        return norms

    def stepped(self, losses: dict[str, Tensor]) -> None:
        """Counts a step, whose losses stay on the device until `look`."""
        self.pending.append(losses)
        self.schedule.after_step()
        self.state.step += 1

    def look(self) -> None:
        """Fetches the losses since the last look.

        Raises:
            Diverged: If one is not finite.
        """
        self.state.add(self.pending, self._diverged, self.fabric.all_reduce)
        self.pending.clear()

    def start_watch(self) -> None:
        """Starts counting the time that training takes."""
        self.watch = time.perf_counter()

    def _count_time(self) -> None:
        now = time.perf_counter()
        self.state.seconds += now - self.watch
        self.watch = now

    def validate(self) -> None:
        """Scores the network on the validation split; keeps the best weights and the history.

        Raises:
            Diverged: If the validation loss is not finite.
        """
        self.network.eval()
        with torch.no_grad():
            scores = self.trainable.validate(self.network, self.settings, self.fabric.device)
        scores = self.fabric.broadcast(scores)
        self._count_time()
        self.schedule.after_validation(scores["loss"])
        row = self.state.validated(scores, self.schedule.lr, self.state.seconds, self._diverged)
        if self.fabric.is_global_zero:
            if self.state.is_best:
                description = {**self.trainable.description, "step": self.state.step}
                save_network(self.folder / BEST, self.trainable.network, description)
            write_csv(self.folder / HISTORY, self.state.history)
        if self.on_validation is not None:
            self.on_validation(row)

    def save(self) -> None:
        """Writes the state from which the training can go on."""
        self._count_time()
        if self.fabric.is_global_zero:
            self.state.save(self.folder, self.trainable.network, self.optimizer, self.schedule)

    def fitted(self) -> Fitted:
        """How the training went."""
        state = self.state
        return Fitted(state.step, state.best_step, state.best, state.seconds, state.history)

    def _diverged(self, what: str) -> Diverged:
        return Diverged(
            f"{self.trainable.name}: {what}. Try a lower trainer.lr (now {self.settings.lr:g}), "
            f"trainer.precision=float32, or {self.trainable.advice}."
        )
