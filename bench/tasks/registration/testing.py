"""Registering and scoring pairs."""

import math
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.data.batches.loading import read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.errors import OutOfMemory
from bench.models.method import Method, Objective, displacement_by
from bench.pair import Pair
from bench.scores.case import Case
from bench.scores.landmarks import landmark_errors
from bench.scores.registry import SCORES
from bench.scores.scoring import score_case, score_labels
from bench.scores.workers import MOST, workers
from bench.seeding import derive_seed
from bench.spatial.displacement import warp
from bench.store.layout import CLASSES, LANDMARKS, PAIRS
from bench.tasks.registration.masks import Masks
from bench.tasks.task import Row, TestCase

T = TypeVar("T")
OUTSIDE = "landmarks_outside"  # column of pairs.csv
TOGETHER = 2 * MOST  # test pairs that are registered before their labels are scored

Disturb = Callable[[Tensor, int, int], Tensor]


def register(method: Method, pair: Pair, objective: Objective) -> tuple[Tensor, float]:
    """Displacement of a batch and the seconds that a pair took, data transfer left out.

    A method whose displacements were computed elsewhere says how long that took.

    Raises:
        OutOfMemory: If the device has too little memory for the batch.
    """
    device = pair.moving.device
    _synchronize(device)
    start = time.perf_counter()
    count = len(pair.fixed)
    try:
        u = displacement_by(method, pair, objective)
    except torch.OutOfMemoryError as error:
        advice = f"model.batch={count // 2}" if count > 1 else "a smaller dataset.shape"
        pairs = f"{count} pairs at once" if count > 1 else "a pair"
        reason = str(error).partition(". ")[0]
        raise OutOfMemory(f"out of memory with {pairs} ({reason}). Try {advice}.") from error
    _synchronize(device)
    measured = (time.perf_counter() - start) / count
    given = getattr(method, "seconds", None)
    return u, given(pair) if given else measured


def score_pairs(
    method: Method,
    objective: Objective,
    dataset: PreparedDataset,
    device: torch.device,
    numbers: Sequence[int] | None = None,
    disturb: Disturb = lambda image, number, side: image,
    warm_up: bool = True,
    together: int = TOGETHER,
    both: bool = False,
    seed: int = 0,
    masks: Masks | None = None,
    known: Collection[int] = (),
) -> Iterator[TestCase]:
    """Registers and scores test pairs.

    Nothing else is computed while a pair is registered, since that is timed.

    Args:
        method: What registers.
        objective: D, R and λ.
        dataset: The data set.
        device: Where to compute.
        numbers: Which test pairs, by their places among all; None for all.
        disturb: Changes an image (1, C, *S) of a pair, given the pair's number and 0 for its
            moving, 1 for its fixed image.
        warm_up: Whether the first pair is registered once more before, untimed.
        together: Pairs that are registered before their labels are scored.
        both: Whether fixed is registered to moving, too, for the scores that need it.
        seed: Determines what a method draws at random, for each pair by its subjects.
        masks: Of fixed subjects, within which scores count; None for everywhere.
        known: Those of the test pairs that are scored already. They are registered again only in
            batches with others, since a displacement depends on its batch in the last bits.
    """
    pairs = dataset.pairs("test")
    chosen = range(len(pairs)) if numbers is None else numbers
    classes = len(dataset.class_names)
    of_labels = [score for score in SCORES.values() if "labels" in score.needs]
    voxels = math.prod(dataset.shape) * classes * len(chosen) if dataset.has_labels else 0
    together = max(together, batch_size(method))
    with workers(voxels) as pool:
        for first in range(0, len(chosen), together):
            some = []
            for batch in batches(chosen[first : first + together], method, known):
                pair = read_pairs(dataset, [pairs[number] for number in batch], device)
                pair.moving = _disturbed(pair.moving, batch, 0, disturb)
                pair.fixed = _disturbed(pair.fixed, batch, 1, disturb)
                if warm_up:
                    register(method, pair, objective)
                    warm_up = False
                registered = _registered(method, objective, pair, dataset, both, seed, masks)
                some += [
                    one
                    for number, one in zip(batch, registered, strict=True)
                    if number not in known
                ]
            submitted = [
                [pool.submit(score_labels, case, of_labels) for case in one.cases] for one in some
            ]
            for one, futures in zip(some, submitted, strict=True):
                scored = [future.result() for future in futures]
                yield one.tested(scored, dataset.class_names)


def batch_size(method: Method) -> int:
    """How many pairs a method wants at once."""
    return getattr(method, "batch", 1)


def batches(items: Sequence[T], method: Method, known: Collection[T] = ()) -> Iterator[Sequence[T]]:
    """Items, as many at a time as the method wants; no batch of which all are known."""
    size = batch_size(method)
    for first in range(0, len(items), size):
        batch = items[first : first + size]
        if not all(item in known for item in batch):
            yield batch


def _disturbed(images: Tensor, numbers: Sequence[int], side: int, disturb: Disturb) -> Tensor:
    both = zip(images.split(1), numbers, strict=True)
    return torch.cat([disturb(image, number, side) for image, number in both])


@dataclass(frozen=True)
class _Registered:
    """A test pair whose displacements are scored, and whose label maps are not.

    Attributes:
        ids: Moving and fixed subject.
        scores: Of the identity and of the registration.
        cases: Both, with what the scores of labels need; none without labels.
        landmarks: A row for each point that both images have.
    """

    ids: tuple[str, str]
    scores: list[dict[str, float]]
    cases: list[Case]
    landmarks: list[Row]

    def tested(
        self, of_labels: Sequence[tuple[dict, list[dict]]], class_names: Sequence[str]
    ) -> TestCase:
        """The case with the scores of its labels."""
        before, after = self.scores
        who = {"moving": self.ids[0], "fixed": self.ids[1]}
        classes = []
        if of_labels:
            (overlap_before, classes_before), (overlap_after, classes_after) = of_labels
            before, after = before | overlap_before, after | overlap_after
            classes = [
                {**who, "class": class_names[i], **classes_after[i], **earlier(classes_before[i])}
                for i in range(1, len(classes_after))
            ]
        pair = {**who, **after, **earlier(before)}
        if self.landmarks:
            pair["landmarks"] = len(self.landmarks)
            pair[OUTSIDE] = sum(row["outside"] for row in self.landmarks)
        points = [{**who, **row} for row in self.landmarks]
        return TestCase({PAIRS: [pair], CLASSES: classes, LANDMARKS: points}, after, before)


def earlier(scores: dict[str, float]) -> dict[str, float]:
    """Scores under the names that rows call those of the identity by."""
    return {f"{name}_before": value for name, value in scores.items()}


def _registered(
    method: Method,
    objective: Objective,
    pair: Pair,
    dataset: PreparedDataset,
    both: bool,
    seed: int,
    masks: Masks | None,
) -> list[_Registered]:
    assert pair.ids is not None
    torch.manual_seed(derive_seed(seed, "test", *pair.ids[0]))
    u, seconds = register(method, pair, objective)
    reverse = None
    if both:
        torch.manual_seed(derive_seed(seed, "test", *pair.ids[0][::-1]))
        reverse = displacement_by(method, pair.reversed(), objective)
    at_once = [score for score in SCORES.values() if "labels" not in score.needs]
    later = {need for s in SCORES.values() if "labels" in s.needs for need in s.needs}
    registered = []
    for index, ids in enumerate(pair.ids):
        one = pair.one(index) if len(pair.ids) > 1 else pair
        part = slice(index, index + 1)
        back = None if reverse is None else reverse[part]
        scores, cases = [], []
        for displacement, duration, inverse in (
            (torch.zeros_like(u[part]), 0.0, None),
            (u[part], seconds, back),
        ):
            case = case_of(one.at(displacement), dataset, objective, duration, inverse, masks)
            scores.append(score_case(case, at_once))
            if pair.has_labels:
                cases.append(case.only(later))
        rows = []
        if case.landmarks is not None:
            rows = landmark_rows(case, dataset.landmark_names(dataset.ids.index(ids[1])))
        registered.append(_Registered(ids, scores, cases, rows))
    return registered


@torch.no_grad()
def case_of(
    pair: Pair,
    dataset: PreparedDataset,
    objective: Objective | None = None,
    seconds: float | None = None,
    reverse: Tensor | None = None,
    masks: Masks | None = None,
) -> Case:
    """One pair under its displacement, to be scored.

    Args:
        pair: The pair.
        dataset: The data set that it is of.
        objective: Whose D is a score; None to leave it out.
        seconds: How long its registration took.
        reverse: Displacement of the registration of fixed to moving, if it was made.
        masks: Of fixed subjects, within which its scores count; None for everywhere.
    """
    warped = fixed = similarity = landmarks = mask = None
    if masks is not None:
        assert pair.ids is not None
        mask = masks.of(pair.ids[0][1], pair.fixed.shape[2:])
    if pair.has_labels:
        warped, fixed = label_maps(*pair.segmentations, pair.u)
    if pair.has_landmarks:
        first, second = (points[0] for points in pair.landmarks)
        if (first.isfinite() & second.isfinite()).all(1).any():
            landmarks = first, second
    if objective is not None and objective.similarity is not None:
        similarity = float(objective.similarity(pair))
    return Case(
        displacement=pair.u,
        warped=warped,
        fixed=fixed,
        classes=pair.classes,
        spacing=dataset.spacing,
        spacing_unit=dataset.unit,
        seconds=seconds,
        similarity=similarity,
        reverse=reverse,
        landmarks=landmarks,
        mask=mask,
    )


def landmark_rows(case: Case, names: Sequence[str]) -> list[Row]:
    """A row for each point that both images have, positions in voxels.

    Args:
        case: The pair under its displacement; must have points.
        names: What the points are called.
    """
    assert case.landmarks is not None
    errors = landmark_errors(case)
    moving, fixed = case.landmarks
    rows = []
    for index in errors.known.nonzero()[:, 0].tolist():
        row: Row = {"point": names[index], "outside": int(not errors.counted[index])}
        row |= {"tre": float(errors.after[index]), "tre_before": float(errors.before[index])}
        for name, points in (("fixed", fixed), ("mapped", errors.mapped), ("moving", moving)):
            row |= {f"{name}_{axis}": float(x) for axis, x in enumerate(points[index])}
        rows.append(row)
    return rows


def label_maps(moving: Tensor, fixed: Tensor, u: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Warped and fixed label map (*S) of a pair.

    Args:
        moving: Moving label map (1, 1, *S).
        fixed: Fixed label map (1, 1, *S).
        u: (1, D, *S), voxels.
    """
    warped = warp(moving, u, mode="nearest")
    return warped[0, 0].cpu().numpy(), fixed[0, 0].cpu().numpy()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
