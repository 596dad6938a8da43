"""The work of one run of perception, and its figure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench.analysis.plots.perception import draw_perceived
from bench.analysis.plots.registered import plane_to_show
from bench.data.batches.loading import read_images
from bench.data.setup import Setup, make_source
from bench.data.sources.pairs import evenly_spaced
from bench.data.sources.roles import FIXED
from bench.errors import counted
from bench.pair import Pair
from bench.scores.of_images import IGNORES
from bench.scores.perception import agreement, are_same
from bench.seeding import derive_seed
from bench.similarity.building import Learner, move_metric
from bench.store.layout import DISTANCES, IMAGES, JUDGEMENTS, WARNINGS
from bench.tasks.perception.judgements import SHARE, JudgedImages, Triplet
from bench.tasks.perception.nature import Nature
from bench.tasks.perception.scoring import scores_of
from bench.tasks.perception.series import GRADED, PATH, REPEATS, Reference, Series
from bench.tasks.task import Row, TestCase
from bench.tasks.values import value_of
from bench.training.devices import single_device


@dataclass(frozen=True)
class Shown:
    """What a metric is shown.

    Attributes:
        images: Most test subjects, evenly spaced; None takes all.
        levels: PSNR in dB of the distortions, falling.
        distortions: Those that are graded.
        deformations: Sizes of those under changes of appearance, ascending, voxels.
        apart: How many sections or frames apart, ascending.
    """

    images: int | None
    levels: Sequence[float]
    distortions: Sequence[str]
    deformations: Sequence[float]
    apart: Sequence[int]


class PerceptionJob:
    """The work of one run of perception; see `bench.tasks.task.Job`.

    Args:
        setup: The experiment and its data.
        metric: The metric.
        learners: Networks in it that learn.
        shown: What the metric is shown.
        person_of: By subject, the person; None if not known.
        triplets: What people judged.
    """

    trainable = None

    def __init__(
        self,
        setup: Setup,
        metric: Any,
        learners: Sequence[Learner],
        shown: Shown,
        person_of: Mapping[str, str] | None,
        triplets: Sequence[Triplet],
    ) -> None:
        experiment, dataset = setup.experiment, setup.dataset
        self.dataset = dataset
        self.metric = metric
        self.learners = learners
        self.shown = shown
        self.metric_name = experiment["metric"]["name"]
        self.name = f"{self.metric_name} on {dataset.name}"
        self.seed = derive_seed(experiment.seed, dataset.name, "perception")
        self.facts: Mapping[str, Any] = {}
        self.warnings: list[str] = []
        self.device = single_device(experiment.settings)
        self.nature = Nature(dataset, shown.apart, person_of, self.device)
        self.members = evenly_spaced(dataset.some_members("test"), shown.images)
        self.visited = [i for i in self.nature.visited() if i not in self.members]
        self.judged: dict[str, list[Triplet]] = {}
        for triplet in triplets:
            self.judged.setdefault(triplet.subject, []).append(triplet)
        self.files = JudgedImages(make_source(experiment), dataset, self.device)

    def make_ready(self, best: Path) -> None:
        """Moves the metric to the device."""
        move_metric(self.metric, self.device)

    def counts(self) -> Mapping[str, int]:
        """How many images are references."""
        return {
            "validation": 0,
            "test": len(self.members) + len(self.visited) + len(self.judged),
        }

    def validate(self, known: Sequence[Row]) -> Iterator[Row]:
        """Nothing, since nothing is chosen."""
        return iter(())

    def test(self, known: Sequence[TestCase]) -> Iterator[TestCase]:
        """Measures what is made of the references that no earlier start has."""
        cases = list(known)
        done = {row["subject"] for case in cases for row in case.rows[IMAGES]}
        for member in [*self.members, *self.visited]:
            if self.dataset.ids[member] not in done:
                cases.append(self._tested(member))
                yield cases[-1]
        for subject, triplets in self.judged.items():
            if subject not in done:
                yield self._judged(subject, triplets)
        for line in self._unreached(cases):
            print(line)
        if warnings := [*self.warnings, *([IGNORES] if _is_blind(cases) else [])]:
            self.facts = {WARNINGS: warnings}

    def _tested(self, member: int) -> TestCase:
        """A test subject under all tests; another one, with its person's other visits alone."""
        subject = self.dataset.ids[member]
        reference, others = self._read(member)
        made: list[Series] = []
        if member in self.members:
            made += reference.all(self.shown.distortions, others)
            made += self.nature.series(member)
        else:
            made += self.nature.persons(member)
        rows: list[Row] = []
        for series in made:
            rows += [{"subject": subject, **row} for row in self._measured(series, reference)]
        return _case(subject, scores_of(rows), {DISTANCES: rows})

    def _read(self, member: int) -> tuple[Reference, Sequence[torch.Tensor]]:
        """A subject, and others on its grid."""
        subject = self.dataset.ids[member]
        tested = [other for other in self.dataset.members("test") if other != member]
        others = evenly_spaced(tested, REPEATS)
        images = read_images(self.dataset, [member, *others], torch.device("cpu"), FIXED)
        sizes = self.shown.levels, self.shown.deformations
        return Reference(images[0], subject, *sizes, self.seed, self.device), list(images[1:])

    def _measured(self, series: Series, reference: Reference) -> Iterator[Row]:
        """A row for each image of a series: what it is, and its distance."""
        each = zip(series.order, series.strengths, series.pairs, strict=True)
        subject = reference.subject
        for number, (order, strength, pair) in enumerate(each, start=1):
            what = f"{series.name}, level {order:g}" if series.name else f"image {number}"
            where = f"on {subject} in the test {series.test} ({what})"
            yield {
                "test": series.test,
                "distortion": series.name,
                "order": order,
                "strength": strength,
                "psnr": reference.psnr(pair),
                "distance": self._distance(pair, subject, where),
            }

    @torch.no_grad()
    def _distance(self, pair: Pair, subject: str, where: str) -> float:
        """D of a pair; raises ConfigError, saying where, if the metric fails or is not finite."""
        torch.manual_seed(derive_seed(self.seed, subject, "metric"))
        return float(value_of(f"metric={self.metric_name}", self.metric, pair, where))

    def _judged(self, subject: str, triplets: Sequence[Triplet]) -> TestCase:
        """One reference with every two images that people chose between."""
        rows: list[Row] = []
        for triplet in triplets:
            a, b = (
                self._distance(self.files.pair(triplet, n), subject, f"on {n}={triplet.files[n]}")
                for n in ("a", "b")
            )
            agreed = agreement(a, b, triplet.preferring_b)
            share = {SHARE: triplet.preferring_b}
            found = {"distance_a": a, "distance_b": b, "agreement": agreed}
            rows.append({**triplet.names, **share, **found})
        self.files.forget()
        mean = sum(row["agreement"] for row in rows) / len(rows)
        return _case(subject, {"judged": mean}, {JUDGEMENTS: rows})

    def _unreached(self, cases: Sequence[TestCase]) -> Iterator[str]:
        """A line for each distortion that does not reach the last level in all images."""
        rows = [row for row in _rows(cases, DISTANCES) if row["test"] == GRADED]
        last, count = len(self.shown.levels), len(self.members)
        for name in self.shown.distortions:
            reached = Counter(row["subject"] for row in rows if row["distortion"] == name)
            strong = sum(levels == last for levels in reached.values())
            if strong < count:
                few = count - sum(levels > 1 for levels in reached.values())
                none = f". No 2AFC of {name} in {counted(few, 'image')} with fewer than two levels"
                yield (
                    f"{self.name}: {name} reaches {self.shown.levels[-1]:g} dB in {strong} of "
                    f"{counted(count, 'image')} and has fewer levels in {count - strong}"
                    f"{none if few else ''}"
                )

    def over_cases(self, cases: Sequence[TestCase]) -> Mapping[str, Mapping[str, Any]]:
        """No score is of several cases."""
        return {}

    def draw(self, path: Path, cases: Sequence[TestCase]) -> None:
        """Draws the first image at the strongest levels, the scores, and D along the path."""
        reference, _ = self._read(self.members[0])
        shown = {"reference": reference.image}
        for name in self.shown.distortions:
            images, _ = reference.distorted(name)
            if images:
                level = self.shown.levels[len(images) - 1]
                shown[f"{name}\n{level:g} dB"] = images[-1]
        place = plane_to_show(reference.image.numpy(), None)
        draw_perceived(
            path,
            {name: image.numpy()[(slice(None), *place)] for name, image in shown.items()},
            pd.DataFrame(_rows(cases, IMAGES)),
            pd.DataFrame([row for row in _rows(cases, DISTANCES) if row["test"] == PATH]),
            self.name,
        )


def _is_blind(cases: Sequence[TestCase]) -> bool:
    """Whether D is the same all along the true path of every image."""
    paths: dict[str, list[float]] = {}
    for row in _rows(cases, DISTANCES):
        if row["test"] == PATH:
            paths.setdefault(row["subject"], []).append(row["distance"])
    return bool(paths) and all(are_same(min(path), max(path)) for path in paths.values())


def _rows(cases: Sequence[TestCase], table: str) -> list[Row]:
    return [row for case in cases for row in case.rows.get(table, ())]


def _case(subject: str, scores: Mapping[str, float], tables: Mapping[str, list[Row]]) -> TestCase:
    shown = {name: value for name, value in scores.items() if not _is_of_one(name)}
    return TestCase({IMAGES: [{"subject": subject, **scores}], **tables}, shown)


def _is_of_one(name: str) -> bool:
    """Whether a score is one of a single distortion that a run's summary leaves to its table."""
    return name.startswith(("2afc_adjacent_", "rank_"))
