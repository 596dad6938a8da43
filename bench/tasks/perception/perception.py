"""The task of perception: its options, its work and its figure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench.analysis.plots.perception import draw_perceived
from bench.analysis.plots.registered import plane_to_show
from bench.data.batches.loading import read_images
from bench.data.setup import Setup
from bench.data.sources.pairs import evenly_spaced
from bench.data.sources.roles import FIXED
from bench.errors import ConfigError, DataError, Unsupported, counted
from bench.models.method import reason_against
from bench.pair import Pair
from bench.scores.perception import along_path, average_precision, rank_correlation, two_afc
from bench.scores.registry import DISTORTIONS
from bench.seeding import derive_seed
from bench.similarity.building import Learner, move_metric
from bench.similarity.keypoints import reason_without_landmarks
from bench.store.folder import DISTANCES, IMAGES
from bench.tasks.perception.series import GEOMETRY, GRADED, JND, PATH, REPEATS, Reference, Series
from bench.tasks.registration.assembly import make_metric, require_images, value_of
from bench.tasks.task import Row, TestCase
from bench.training.devices import single_device

POOLED = {GRADED: "2afc", GEOMETRY: "geometry"}  # names of scores by test


class Perception:
    """A metric orders distorted images of the test split; nothing is registered.

    Args:
        images: Most subjects, evenly spaced; None takes all.
        levels: PSNR in dB of the distortions, falling.
        distortions: Those that are graded, of `bench.scores.registry.DISTORTIONS`.
        deformations: Sizes of those under changes of appearance, ascending: root mean squares of
            the velocity in voxels. The true path leads along the last.
    """

    tables = (IMAGES, DISTANCES)

    def __init__(
        self,
        images: int | None,
        levels: Sequence[float],
        distortions: Sequence[str],
        deformations: Sequence[float],
    ) -> None:
        if images is not None and not _is_count(images):
            raise ConfigError(
                f"task.images={images}: must be a whole number of at least 1, or null for all."
            )
        if not _rises(levels, -1):
            raise ConfigError(
                f"task.levels={levels}: must be at least two PSNR in dB that fall, from the "
                "weakest distortion to the strongest, such as [40,36,32,28,24]."
            )
        if not _rises(deformations):
            raise ConfigError(
                f"task.deformations={deformations}: must be at least two sizes in voxels that "
                "rise, such as [0.5,1,2,4]."
            )
        if not isinstance(distortions, list) or not _are_distortions(distortions):
            raise ConfigError(
                f"task.distortions={distortions}: must be a list of some of "
                f"{', '.join(DISTORTIONS)}."
            )
        self.images = images
        self.levels = levels
        self.distortions = distortions
        self.deformations = deformations

    def assemble(self, setup: Setup) -> "PerceptionJob":
        """Builds the metric, and tries it on one image.

        Raises:
            Unsupported: If it does not fit the data, or looks at labels or landmarks.
            ConfigError: If it cannot be built or does not return what it should.
            DataError: If there are no test subjects, or none that an extractor could learn on.
        """
        dataset = setup.dataset
        members = evenly_spaced(dataset.some_members("test"), self.images)
        metric, learners = make_metric(setup)
        name = setup.experiment["metric"]["name"]
        reason = reason_against(metric, dataset.ndim, dataset.channels, labels=False)
        reason = reason or reason_without_landmarks(metric, False)
        if reason:
            raise _without_labels(name)
        require_images(learners)
        image = read_images(dataset, members[:1], torch.device("cpu"), FIXED)
        try:
            with torch.no_grad():
                value_of(f"metric={name}", metric, Pair(image, image))
        except DataError as error:  # a pair that has no labels was asked for them
            raise _without_labels(name) from error
        return PerceptionJob(setup, metric, learners, members, self)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _rises(values: Any, sign: int = 1) -> bool:
    """Whether values are two or more finite numbers above 0 that rise, or for sign -1 fall."""
    if not isinstance(values, list) or len(values) < 2:
        return False
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return False
    steps = pairwise(values)
    in_order = all(sign * (second - first) > 0 for first, second in steps)
    return in_order and all(0 < value < math.inf for value in values)


def _are_distortions(names: Sequence[Any]) -> bool:
    known = [name for name in names if isinstance(name, str) and name in DISTORTIONS]
    return 0 < len(names) == len(set(known))


def _without_labels(metric: str) -> Unsupported:
    return Unsupported(
        f"metric={metric} cannot be used with task=perception: it looks at labels or landmarks, "
        "and distorted images have none. Choose another metric."
    )


class PerceptionJob:
    """The work of one run of perception; see `bench.tasks.task.Job`.

    Args:
        setup: The experiment and its data.
        metric: The metric.
        learners: Networks in it that learn.
        members: Subjects that are distorted.
        task: Says how.
    """

    trainable = None

    def __init__(
        self,
        setup: Setup,
        metric: Any,
        learners: Sequence[Learner],
        members: Sequence[int],
        task: Perception,
    ) -> None:
        experiment, dataset = setup.experiment, setup.dataset
        self.dataset = dataset
        self.metric = metric
        self.learners = learners
        self.members = members
        self.task = task
        self.name = f"{experiment['metric']['name']} on {dataset.name}"
        self.seed = derive_seed(experiment.seed, dataset.name, "perception")
        self.facts: Mapping[str, Any] = {}
        self.device = single_device(experiment.settings)

    def make_ready(self, best: Path) -> None:
        """Moves the metric to the device."""
        move_metric(self.metric, self.device)

    def counts(self) -> Mapping[str, int]:
        """How many images are distorted."""
        return {"validation": 0, "test": len(self.members)}

    def validate(self, known: Sequence[Row]) -> Iterator[Row]:
        """Nothing, since nothing is chosen."""
        return iter(())

    def test(self, known: Sequence[TestCase]) -> Iterator[TestCase]:
        """Distorts and measures the images that no earlier start has."""
        cases = list(known)
        done = {row["subject"] for case in cases for row in case.rows[IMAGES]}
        for member in self.members:
            subject = self.dataset.ids[member]
            if subject not in done:
                cases.append(self._tested(member, subject))
                yield cases[-1]
        for line in self._unreached(cases):
            print(line)

    def _tested(self, member: int, subject: str) -> TestCase:
        reference, others = self._read(member)
        rows: list[Row] = []
        for series in reference.all(self.task.distortions, others):
            rows += [{"subject": subject, **row} for row in self._measured(series, reference)]
        scores = scores_of(rows)
        shown = {name: value for name, value in scores.items() if not _is_of_one(name)}
        return TestCase({IMAGES: [{"subject": subject, **scores}], DISTANCES: rows}, shown)

    def _read(self, member: int) -> tuple[Reference, Sequence[torch.Tensor]]:
        """A subject, and others on its grid."""
        subject = self.dataset.ids[member]
        tested = [other for other in self.dataset.members("test") if other != member]
        others = evenly_spaced(tested, REPEATS)
        images = read_images(self.dataset, [member, *others], torch.device("cpu"), FIXED)
        task = self.task
        sizes = task.levels, task.deformations
        return Reference(images[0], subject, *sizes, self.seed, self.device), list(images[1:])

    @torch.no_grad()
    def _measured(self, series: Series, reference: Reference) -> Iterator[Row]:
        """A row for each image of a series: what it is, and its distance."""
        each = zip(series.order, series.strengths, series.pairs, strict=True)
        for order, strength, pair in each:
            torch.manual_seed(derive_seed(self.seed, reference.subject, "metric"))
            yield {
                "test": series.test,
                "distortion": series.name,
                "order": order,
                "strength": strength,
                "psnr": reference.psnr(pair),
                "distance": float(self.metric(pair)),
            }

    def _unreached(self, cases: Sequence[TestCase]) -> Iterator[str]:
        """A line for each distortion that does not reach the last level in all images."""
        rows = [row for case in cases for row in case.rows[DISTANCES] if row["test"] == GRADED]
        last = len(self.task.levels)
        for name in self.task.distortions:
            reached = sum(row["distortion"] == name and row["order"] == last for row in rows)
            if reached < len(cases):
                yield (
                    f"{self.name}: {name} gets as strong as {self.task.levels[-1]:g} dB in "
                    f"{reached} of {counted(len(cases), 'image')}; the others have fewer levels"
                )

    def draw(self, path: Path, cases: Sequence[TestCase]) -> None:
        """Draws the first image at the strongest levels, the scores, and D along the path."""
        reference, _ = self._read(self.members[0])
        shown = {"reference": reference.image}
        for name in self.task.distortions:
            images, _ = reference.distorted(name)
            shown |= {name: images[-1]} if images else {}
        place = plane_to_show(reference.image.numpy(), None)
        rows = [row for case in cases for row in case.rows[DISTANCES]]
        draw_perceived(
            path,
            {name: image.numpy()[(slice(None), *place)] for name, image in shown.items()},
            pd.DataFrame([case.rows[IMAGES][0] for case in cases]),
            pd.DataFrame([row for row in rows if row["test"] == PATH]),
            self.name,
        )


def _is_of_one(name: str) -> bool:
    """Whether a score is one of a single distortion that a run's summary leaves to its table."""
    return name.startswith(("2afc_adjacent_", "rank_"))


def scores_of(rows: Sequence[Row]) -> dict[str, float]:
    """The scores of one image, a pure function of its distances.

    Args:
        rows: `test`, `distortion`, `order` and `distance` of each.

    Returns:
        Scores by name; those of a test that there is nothing of are NaN or left out.
    """
    series: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["order"]):
        series.setdefault((row["test"], row["distortion"]), []).append(row)
    of_each: dict[str, float] = {}
    for (test, name), found in series.items():
        distances = [row["distance"] for row in found]
        if test == GRADED:
            of_each[f"2afc_adjacent_{name}"] = two_afc(distances, adjacent=True)
            of_each[f"rank_{name}"] = rank_correlation(distances)
        if test in POOLED:
            of_each[f"{POOLED[test]}_{name}"] = two_afc(distances)
    pooled = {
        kind: _mean([v for n, v in of_each.items() if n in {f"{kind}_{d}" for d in DISTORTIONS}])
        for kind in ("2afc", "2afc_adjacent", "rank", "geometry")
    }
    pooled["appearance"] = 1 - pooled["geometry"]
    for (test, _), found in series.items():
        distances = [row["distance"] for row in found]
        if test == JND:
            same = [row["order"] == 0 for row in found]
            pooled["jnd"] = average_precision(distances, same)
        if test == PATH:
            pooled |= along_path(distances)
    return pooled | of_each


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
