"""Networks and scores by which images are judged that were made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.config.experiment import Experiment
from bench.config.extractors import extractor_sections
from bench.config.synthesis import DISTANCE, JUDGES, SEGMENTER
from bench.data.batches.loading import read_images, read_segmentations
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup
from bench.data.sources.roles import FIXED, MOVING
from bench.errors import BenchError, ConfigError, Unsupported
from bench.extractors.segmenter import Segmenter
from bench.models.method import reason_against
from bench.pair import Pair
from bench.scores.overlap import dice_per_class, foreground_dice
from bench.scores.synthesis import psnr
from bench.seeding import derive_seed
from bench.similarity import SSIM
from bench.similarity.building import Learner, extractors_of, move_metric
from bench.similarity.keypoints import reason_without_landmarks
from bench.tasks.registration.assembly import make_metric, require_images
from bench.tasks.synthesis.problems import Problem

KNOWN = (DISTANCE, SEGMENTER)


@dataclass(frozen=True)
class Shown:
    """One subject as the network sees it, and as it is.

    Attributes:
        subject: Its name.
        input: (1, C, *S).
        truth: (1, C, *S), what is to be made.
        labels: (1, 1, *S); None without labels.
    """

    subject: str
    input: Tensor
    truth: Tensor
    labels: Tensor | None

    @classmethod
    def read(
        cls,
        dataset: PreparedDataset,
        member: int,
        problem: Problem,
        seed: int,
        device: torch.device,
    ) -> "Shown":
        """Reads a subject; its name and the seed determine what is random in the input."""
        subject = dataset.ids[member]
        source, truth = (read_images(dataset, [member], device, role) for role in (MOVING, FIXED))
        seen = problem.input(source, truth, [derive_seed(seed, "input", subject)])
        labels = read_segmentations(dataset, [member], device) if dataset.has_labels else None
        return cls(subject, seen, truth, labels)


@dataclass(frozen=True)
class Judges:
    """What scores an image besides PSNR and SSIM.

    Attributes:
        distance: A metric that is not the loss; None if the one that was named is, or none was.
        segmenter: Labels images; None without labels, or if none was named.
        classes: Number of classes, background included.
    """

    distance: Any
    segmenter: Segmenter | None
    classes: int

    def to(self, device: torch.device) -> None:
        """Moves the networks to the device."""
        move_metric(self.distance, device)
        if self.segmenter is not None:
            self.segmenter.to(device).eval().requires_grad_(False)

    @torch.no_grad()
    def scores(self, image: Tensor, shown: Shown) -> dict[str, float]:
        """PSNR, SSIM and, as far as there are judges, distance and Dice of an image (1, C, *S)."""
        pair = Pair(image, shown.truth)
        found = {"psnr": psnr(image, shown.truth), "ssim": 1 - float(SSIM()(pair))}
        if self.distance is not None:
            found["distance"] = float(self.distance(pair))
        if self.segmenter is not None:
            found["dice"] = self.dice(image, shown.labels)
        return found

    @torch.no_grad()
    def dice(self, image: Tensor, labels: Tensor | None) -> float:
        """Mean foreground Dice of the segmenter's labels of an image, against the true ones."""
        assert self.segmenter is not None
        assert labels is not None
        predicted = self.segmenter(image).argmax(dim=1, keepdim=True)
        return foreground_dice(dice_per_class(predicted.cpu(), labels.cpu(), self.classes))


def make_judges(setup: Setup) -> tuple[Judges, list[Learner]]:
    """Builds the judges of a run, and says which networks of them are still to learn.

    Raises:
        ConfigError: If one cannot be built, or is none.
        Unsupported: If one cannot judge images of the data set.
        BenchError: If the weights of one cannot be downloaded.
    """
    metrics, learners = {}, []
    for name, judging in setup.judges().items():
        if name not in KNOWN:
            raise ConfigError(f"Unknown task.{JUDGES}.{name}. Known: {', '.join(KNOWN)}.")
        try:
            metrics[name], found = make_metric(judging)
        except BenchError as error:
            raise type(error)(_of_judge(str(error), name)) from error
        learners += found
    distance = metrics.get(DISTANCE)
    if distance is not None:
        _check_images_suffice(distance, setup, f"metric@task.judges.{DISTANCE}")
        if is_the_loss(setup.experiment):
            learners = [one for one in learners if one.network not in _networks(distance)]
            distance = None
    segmenter = None
    if SEGMENTER in metrics:
        (segmenter, *_) = [*_networks(metrics[SEGMENTER]), None]
        if not isinstance(segmenter, Segmenter):
            name = setup.experiment["task"]["judges"][SEGMENTER]["name"]
            raise ConfigError(
                f"metric@task.judges.{SEGMENTER}={name}: has no segmenter. Choose deepsim_seg."
            )
    require_images(learners)
    return Judges(distance, segmenter, len(setup.dataset.class_names)), learners


def _of_judge(text: str, name: str) -> str:
    """What is said of `metric`, said of a judge."""
    text = re.sub(r"\bmetric=", f"metric@task.judges.{name}=", text)
    return re.sub(r"\bmetric\.", f"task.judges.{name}.", text)


def is_the_loss(experiment: Experiment) -> bool:
    """Whether the distance looks at features of the kind that are the loss."""
    distance = (experiment["task"].get(JUDGES) or {}).get(DISTANCE)
    return distance is not None and bool(_learned(distance) & _learned(experiment["metric"]))


def check_metric(metric: Any, setup: Setup) -> None:
    """Refuses a metric that looks at more than images.

    Raises:
        Unsupported: If it does, or cannot work on such images.
    """
    _check_images_suffice(metric, setup, "metric")


def _check_images_suffice(metric: Any, setup: Setup, option: str) -> None:
    dataset = setup.dataset
    reason = reason_against(metric, dataset.ndim, dataset.channels, labels=False)
    if reason or reason_without_landmarks(metric, False):
        section = setup.experiment["metric"]
        if option != "metric":
            section = setup.experiment["task"]["judges"][DISTANCE]
        raise without_labels(f"{option}={section['name']}")


def without_labels(metric: str) -> Unsupported:
    """What to raise for a metric that looks at more than images."""
    return Unsupported(
        f"{metric} cannot be used with task=synthesis: it looks at labels or landmarks, and images "
        "that were made have none. Choose another metric."
    )


def _learned(metric: Mapping[str, Any]) -> set[str]:
    """Classes of the extractors of a metric that are trained, or read."""
    sections = (section for _, section in extractor_sections(metric))
    return {section["_target_"] for section in sections if section.get("steps") != 0}


def _networks(metric: Any) -> list[Any]:
    return [extractor.network for extractor in extractors_of(metric)]
