"""Parts that a user could write outside the suite; configurations name them by `_target_`."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from bench.data import Demo
from bench.data.sources.subject import Sample, Subject
from bench.regularizers import Diffusion
from bench.tasks.task import TestCase

DISTURBANCE = "TEST_DISTURBANCE"


def in_training(pair) -> bool:
    """Whether the displacement comes from a network that is being trained."""
    return pair.u.grad_fn is not None


class L1:
    """A metric of the smallest kind: no base class, one method."""

    def __call__(self, pair) -> Tensor:
        return (pair.warped - pair.fixed).abs().mean()


class UndefinedForNoise(L1):
    """L1 that is NaN for images that differ everywhere."""

    def __call__(self, pair) -> Tensor:
        differs = pair.warped != pair.fixed
        return super().__call__(pair) + (torch.nan if differs.all() else 0)


class Disturbed(L1):
    """L1 during whose k-th training step something happens: `TEST_DISTURBANCE=SIGKILL:k`.

    The disturbance is a signal to the own process, or `error`. It is in the environment, not in
    the configuration, so the disturbed and the undisturbed run are the same run.
    """

    def __init__(self) -> None:
        self.what, _, step = os.environ.get(DISTURBANCE, "nothing:0").partition(":")
        self.step = int(step)
        self.steps = 0

    def __call__(self, pair) -> Tensor:
        self.steps += in_training(pair)
        if self.steps == self.step and in_training(pair):
            if self.what == "error":
                raise RuntimeError("the metric broke")
            os.kill(os.getpid(), signal.Signals[self.what])
        return super().__call__(pair)


class Root:
    """A metric whose value is finite, and whose gradient is not."""

    def __call__(self, pair) -> Tensor:
        return (0 * (pair.warped - pair.fixed)).square().sqrt().mean()


class NoCall:
    """No metric."""


class Refuses:
    """A metric that cannot be made."""

    def __init__(self) -> None:
        raise ValueError("bad init")


class Exits:
    """A metric that ends the program."""

    def __call__(self, pair) -> Tensor:
        raise SystemExit(0)


class LaterNan(L1):
    """L1 in the first calls, NaN from then on."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pair) -> Tensor:
        self.calls += 1
        return super().__call__(pair) * (1 if self.calls < 4 else float("nan"))


class NanFrom(L1):
    """L1 until a training step, NaN from then on."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.steps = 0

    def __call__(self, pair) -> Tensor:
        self.steps += in_training(pair)
        loss = super().__call__(pair)
        return loss * float("nan") if self.steps >= self.first else loss


class Counted(L1):
    """L1 during whose k-th call something happens: `TEST_DISTURBANCE=SIGKILL:k`."""

    def __init__(self) -> None:
        self.what, _, last = os.environ.get(DISTURBANCE, "nothing:0").partition(":")
        self.left = int(last)

    def __call__(self, pair) -> Tensor:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.Signals[self.what])
        return super().__call__(pair)


class AsksForLabels(L1):
    """A metric that looks at labels, and does not say so."""

    def __call__(self, pair) -> Tensor:
        return super().__call__(pair) + 0 * pair.warped_labels.mean()


class Named(L1):
    """L1 that breaks in training while its name is in `TEST_BROKEN`."""

    def __init__(self, label: str) -> None:
        self.label = label

    def __call__(self, pair) -> Tensor:
        if in_training(pair) and self.label in os.environ.get("TEST_BROKEN", ""):
            raise RuntimeError(f"the metric {self.label} broke")
        return super().__call__(pair)


class Logged(Diffusion):
    """Diffusion that appends its process to the file `TEST_LOG` when a training begins.

    It goes on when a second process has done so, so that both are certain to work at once.
    """

    begun = False

    def __call__(self, u: Tensor) -> Tensor:
        if torch.is_grad_enabled() and not self.begun:
            self.begun = True
            log = Path(os.environ["TEST_LOG"])
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            end = time.monotonic() + 60
            while len(set(log.read_text().split())) < 2 and time.monotonic() < end:
                time.sleep(0.05)
        return super().__call__(u)


class Broken:
    """A metric with a typing error."""

    def __call__(self, pair) -> Tensor:
        return (pair.waped - pair.fixed).abs().mean()


class Unmoved:
    """A metric that forgets to look at the warped image."""

    def __call__(self, pair) -> Tensor:
        return (pair.moving - pair.fixed).abs().mean()


class NotANumber(L1):
    """A metric that is NaN from the start."""

    def __call__(self, pair) -> Tensor:
        return super().__call__(pair) * float("nan")


class RandomFeatures(nn.Module):
    """A metric with a network of its own, drawn at random, and an argument called weights."""

    def __init__(self, weights: str = "none") -> None:
        super().__init__()
        self.weights = weights
        self.features = nn.Conv2d(1, 4, 3)

    def forward(self, pair) -> Tensor:
        return (self.features(pair.warped) - self.features(pair.fixed)).abs().mean()


class PerVoxel:
    """A metric that forgets the mean."""

    def __call__(self, pair) -> Tensor:
        return (pair.warped - pair.fixed).square()


class InPlace(L1):
    """L1 that leaves another image behind."""

    def __call__(self, pair) -> Tensor:
        value = super().__call__(pair)
        pair.fixed.add_(1)
        return value


class InPlaceLater(L1):
    """L1 that leaves another image behind, for images that differ."""

    def __call__(self, pair) -> Tensor:
        value = super().__call__(pair)
        if value > 0:
            pair.fixed.add_(1)
        return value


class PerVoxelLater(L1):
    """L1 that forgets the mean for images that differ."""

    def __call__(self, pair) -> Tensor:
        if (pair.warped != pair.fixed).any():
            return (pair.warped - pair.fixed).abs()
        return super().__call__(pair)


class FailsLater(L1):
    """L1 that fails for images that differ."""

    def __call__(self, pair) -> Tensor:
        if (pair.warped != pair.fixed).any():
            raise IndexError("no such window")
        return super().__call__(pair)


class PythonNumber:
    """A metric that returns a number instead of a tensor."""

    def __call__(self, pair) -> float:
        return 0.0


class PickyModel(nn.Module):
    """A network that takes sizes divisible by 64 only."""

    def __init__(self, ndim: int, image_channels: int) -> None:
        super().__init__()

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        raise RuntimeError("sizes must be divisible by 64")


class WrongShapeModel(nn.Module):
    """A network whose displacement has a channel too many."""

    def __init__(self, ndim: int, image_channels: int) -> None:
        super().__init__()
        self.ndim = ndim

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        return moving.new_zeros(len(moving), self.ndim + 1, *moving.shape[2:])


class Coloured(Demo):
    """The demo in three channels."""

    def load(self, subject: Subject) -> Sample:
        sample = super().load(subject)
        return replace(sample, image=np.repeat(sample.image, 3, axis=0))


class Still:
    """A method that trains nothing and moves nothing."""

    def __init__(self, ndim: int, image_channels: int) -> None:
        self.ndim = ndim

    def register(self, pair, objective) -> Tensor:
        assert objective.similarity is None
        assert objective.regularizer is None
        return torch.zeros_like(pair.u)


class Shift(nn.Module):
    """A network that learns one displacement for all images.

    Args:
        ndim: Number of axes.
        image_channels: Channels of an image.
        start: Where it starts, voxels.
    """

    def __init__(self, ndim: int, image_channels: int, start: float) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.full((1, ndim, *(1,) * ndim), start))

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        return self.shift.expand(len(moving), -1, *moving.shape[2:])


class Brightness:
    """A task without registration: how bright the test subjects are."""

    tables = ("cases.csv",)

    def assemble(self, setup) -> "BrightnessJob":
        return BrightnessJob(setup)


class BrightnessJob:
    """Measures subjects one by one, each noted in the file `TEST_LOG`.

    `TEST_DISTURBANCE=SIGKILL:k` kills the process as it comes to the k-th of them.
    """

    name = "brightness"
    learners = ()
    trainable = None
    seed = 0

    def __init__(self, setup) -> None:
        self.dataset = setup.dataset
        self.facts = {"unit": "grey value"}

    def make_ready(self, best: Path) -> None:
        assert not best.exists()

    def counts(self):
        return {"validation": 0, "test": len(self.dataset.members("test"))}

    def validate(self, known):
        return iter(())

    def test(self, known):
        done = {row["subject"] for case in known for row in case.rows["cases.csv"]}
        what, _, last = os.environ.get(DISTURBANCE, "nothing:0").partition(":")
        for number, member in enumerate(self.dataset.members("test"), start=1):
            subject = self.dataset.ids[member]
            if subject in done:
                continue
            if number == int(last):
                os.kill(os.getpid(), signal.Signals[what])
            with open(os.environ["TEST_LOG"], "a") as log:
                log.write(f"{subject}\n")
            image = np.asarray(self.dataset.images[member], np.float64)
            scores = {"brightness": float(image.mean()), "contrast": float(image.std())}
            yield TestCase({"cases.csv": [{"subject": subject, **scores}]}, scores)

    def over_cases(self, cases):
        return {}

    def draw(self, path: Path, cases) -> None:
        figure = Figure()
        figure.subplots().plot([case.scores["brightness"] for case in cases])
        figure.savefig(path)
