"""The task of perception: its options, and what it refuses."""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.data.batches.loading import read_images
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup
from bench.data.sources.roles import FIXED
from bench.errors import ConfigError, DataError, Unsupported
from bench.models.method import reason_against
from bench.pair import Pair
from bench.scores.of_images import DISTORTIONS
from bench.similarity.keypoints import reason_without_landmarks
from bench.store.layout import DISTANCES, IMAGES, JUDGEMENTS
from bench.tasks.perception.job import PerceptionJob, Shown
from bench.tasks.perception.judgements import read_judgements
from bench.tasks.perception.nature import read_persons
from bench.tasks.registration.assembly import make_metric, require_images
from bench.tasks.values import value_of

FAINTEST, STEP = 80, 0.1  # dB: how finely the search for strengths and float32 tell levels apart
SMALLEST, LARGEST = 0.01, 0.25  # of deformations: in voxels, and as a share of the shortest axis


class Perception:
    """A metric orders distorted images of the test split; nothing is registered.

    Args:
        images: Most subjects, evenly spaced; None takes all.
        levels: PSNR in dB of the distortions, falling from at most 80.
        distortions: Those that are graded, of `bench.scores.of_images.DISTORTIONS`.
        deformations: Sizes of those under changes of appearance, ascending: root mean squares of
            the velocity in voxels, from 0.01 to a quarter of the shortest axis. The true path leads
            along the last.
        apart: How many sections of a stack, or frames, apart, ascending; None for no such test.
        persons: A CSV table of subject_id and person_id, relative to the data set's root; None if
            there is none.
        judgements: A CSV table of what people chose, see `bench.tasks.perception.judgements`; None
            if there is none.
    """

    tables = (IMAGES, DISTANCES, JUDGEMENTS)

    def __init__(
        self,
        images: int | None,
        levels: Sequence[float],
        distortions: Sequence[str],
        deformations: Sequence[float],
        apart: Sequence[int] | None = None,
        persons: str | None = None,
        judgements: str | None = None,
    ) -> None:
        if images is not None and not is_count(images):
            raise ConfigError(
                f"task.images={quoted(images)}: must be a whole number of at least 1, or null for "
                "all."
            )
        if not _rises(levels, -1):
            raise ConfigError(
                f"task.levels={quoted(levels)}: must be at least two PSNR in dB that fall, from "
                "the weakest distortion to the strongest, such as [40,36,32,28,24]."
            )
        if levels[0] > FAINTEST or min(a - b for a, b in pairwise(levels)) < STEP:
            raise ConfigError(
                f"task.levels={quoted(levels)}: must be at most {FAINTEST} dB and at least {STEP} "
                "dB apart. An error of 80 dB is 1e-4 of the range of an image; nothing fainter or "
                "nearer can be set."
            )
        if not _rises(deformations):
            raise ConfigError(
                f"task.deformations={quoted(deformations)}: must be at least two sizes in voxels "
                "that rise, such as [0.5,1,2,4]."
            )
        if deformations[0] < SMALLEST:
            raise ConfigError(
                f"task.deformations={quoted(deformations)}: must be at least {SMALLEST} voxels; "
                "smaller ones drown in rounding."
            )
        if min(b - a for a, b in pairwise(deformations)) < SMALLEST:
            raise ConfigError(
                f"task.deformations={quoted(deformations)}: must be at least {SMALLEST} voxels "
                "apart; nearer ones drown in rounding."
            )
        _check_distortions(distortions)
        if apart is not None and not (_rises(apart) and all(map(is_count, apart))):
            raise ConfigError(
                f"task.apart={quoted(apart)}: must be at least two numbers of sections that rise, "
                "such as [1,2,5], or null for no such test."
            )
        for name, value in (("persons", persons), ("judgements", judgements)):
            if value is not None and not isinstance(value, str):
                raise ConfigError(
                    f"task.{name}={quoted(value)}: must be the name of a CSV table, or null."
                )
        self.shown = Shown(images, levels, distortions, deformations, apart or ())
        self.persons = persons
        self.judgements = judgements

    def assemble(self, setup: Setup) -> PerceptionJob:
        """Builds the metric, and tries it on one image.

        Raises:
            Unsupported: If it does not fit the data, or looks at labels or landmarks.
            ConfigError: If it cannot be built or does not return what it should.
            DataError: If there are no test subjects, none that an extractor could learn on, or
                tables or images of persons or judgements are not what they should be.
        """
        dataset = setup.dataset
        metric, learners = make_metric(setup)
        name = setup.experiment["metric"]["name"]
        reason = reason_against(metric, dataset.ndim, dataset.channels, labels=False)
        reason = reason or reason_without_landmarks(metric, False)
        if reason:
            raise _without_labels(name)
        self._check_sizes(dataset)
        require_images(learners)
        member = dataset.some_members("test")[0]
        image = read_images(dataset, [member], torch.device("cpu"), FIXED)
        where = f"on {dataset.ids[member]} beside itself, where both images are the same"
        try:
            with torch.no_grad():
                value_of(f"metric={name}", metric, Pair(image, image), where)
        except DataError as error:  # a pair that has no labels was asked for them
            raise _without_labels(name) from error
        persons = None
        if self.persons is not None:
            root = Path(setup.experiment["dataset"].get("root") or ".")
            persons = read_persons(root / self.persons, dataset)
        triplets = [] if self.judgements is None else read_judgements(Path(self.judgements))
        job = PerceptionJob(setup, metric, learners, self.shown, persons, triplets)
        job.warnings += job.files.check(triplets)
        return job

    def _check_sizes(self, dataset: PreparedDataset) -> None:
        """Raises Unsupported if a deformation is too large for the images."""
        largest, shortest = self.shown.deformations[-1], dataset.shortest_axis
        if largest > LARGEST * shortest:
            raise Unsupported(
                f"task.deformations={quoted(self.shown.deformations)}: the shortest axis of "
                f"dataset={dataset.name} has {shortest} voxels, and deformations must be at most a "
                f"quarter of it. Choose {LARGEST * shortest:g} or less."
            )


def _rises(values: Any, sign: int = 1) -> bool:
    """Whether values are two or more finite numbers above 0 that rise, or for sign -1 fall."""
    if not isinstance(values, list) or len(values) < 2:
        return False
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return False
    steps = pairwise(values)
    in_order = all(sign * (second - first) > 0 for first, second in steps)
    return in_order and all(0 < value < math.inf for value in values)


def _check_distortions(names: Any) -> None:
    """Refuses what is no list of distinct distortions, naming the one that is wrong."""
    option = f"task.distortions={quoted(names)}"
    some = f"must be a list of some of {', '.join(DISTORTIONS)}"
    if not isinstance(names, list) or not names:
        raise ConfigError(f"{option}: {some}.")
    for number, name in enumerate(names):
        if name not in DISTORTIONS:
            raise ConfigError(f"{option}: {quoted(name)} is none; {some}.")
        if name in names[:number]:
            raise ConfigError(f"{option}: {name} is there twice. Leave one out.")


def _without_labels(metric: str) -> Unsupported:
    return Unsupported(
        f"metric={metric} cannot be used with task=perception: it looks at labels or landmarks, "
        "and distorted images have none. Choose another metric."
    )
