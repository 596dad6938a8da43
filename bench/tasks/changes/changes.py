"""The task of finding changes: pairs are registered, and what is left is mapped and judged."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.analysis.plots.changes import draw_changes
from bench.data.batches.loading import read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup
from bench.errors import ConfigError, Unsupported
from bench.models.network import NetworkMethod
from bench.models.variational import Variational
from bench.pair import Pair
from bench.scores.case import Case
from bench.scores.registry import MAIN, MAPS, SCORES
from bench.scores.scoring import score_case
from bench.seeding import derive_seed
from bench.similarity.masks import MASKS, mask_shares
from bench.store.folder import PAIRS
from bench.tasks.changes.maps import (
    INTENSITY,
    LI_WYATT,
    ONE_DIRECTION,
    baseline_maps,
    both_directions,
    metric_map,
)
from bench.tasks.registration.assembly import Parts
from bench.tasks.registration.registration import RegistrationJob, parts_with_data
from bench.tasks.registration.testing import batches, case_of, earlier, register
from bench.tasks.registration.variational import surprise
from bench.tasks.task import TestCase

KINDS = ("changes", "similarity", "cost")  # of scores, besides those of validation


class Changes:
    """A method registers, and maps of what no deformation explains are judged by a mask of change.

    Args:
        both_directions: Whether the method's map is the sum of both directions; each test pair is
            then registered both ways.
        within: Where voxels count: `labels`, where the fixed image has a label other than
            background; `foreground`, where it is above its least intensity; None: everywhere.
        change: A class of the fixed image's labels that is the change; None takes what
            `dataset.insert` has put there.
        insert: What `dataset.insert` is unless it is given; looked at there.
    """

    tables = (PAIRS,)

    def __init__(
        self,
        both_directions: bool = True,
        within: str | None = None,
        change: str | None = None,
        insert: Any = None,
    ) -> None:
        if not isinstance(both_directions, bool):
            raise ConfigError(f"task.both_directions={both_directions}: must be true or false.")
        if within not in MASKS:
            raise ConfigError(f"task.within={within}: must be labels, foreground or null.")
        self.both_directions = both_directions
        self.within = within
        self.change = change

    def assemble(self, setup: Setup) -> "ChangesJob":
        """Builds method, metric and regularizer, and tries them on one pair.

        Raises:
            Unsupported: If they do not go together with the data, or these lack the labels that
                were asked for.
            ConfigError: If one of them cannot be built or does not return what it should.
        """
        dataset = setup.dataset
        if self.within == "labels" and not dataset.has_labels:
            raise Unsupported(
                f"task.within=labels: dataset={dataset.name} has no labels. Set "
                "task.within=foreground, or null to count all voxels."
            )
        if self.change is not None and self.change not in dataset.class_names:
            known = ", ".join(dataset.class_names[1:]) or "none, as it has no labels"
            raise Unsupported(
                f"task.change={self.change}: is no class of dataset={dataset.name}. Known: {known}."
            )
        truth = Truth(dataset, self.within, self.change)
        return ChangesJob(setup, parts_with_data(setup), self.both_directions, truth)


class ChangesJob(RegistrationJob):
    """The work of one run; see `bench.tasks.task.Job`.

    Args:
        setup: The experiment and its data.
        parts: What the registration is made of.
        both_directions: As of `Changes`.
        truth: What maps are judged by.
    """

    def __init__(self, setup: Setup, parts: Parts, both_directions: bool, truth: "Truth") -> None:
        super().__init__(setup, parts, both_directions)
        self.truth = truth

    def test(self, known: Sequence[TestCase]) -> Iterator[TestCase]:
        """Registers, maps and scores the test pairs that no earlier start has."""
        done = {(row["moving"], row["fixed"]) for case in known for row in case.rows[PAIRS]}
        names = self.dataset.ids
        pairs = self.dataset.pairs("test")
        left = [pair for pair in pairs if (names[pair[0]], names[pair[1]]) not in done]
        judged = any(map(_is_judged, known))
        for batch in batches(left, self.method):
            pair = read_pairs(self.dataset, batch, self.device)
            if isinstance(self.model, nn.Module) and batch[0] == left[0]:
                register(self.method, pair, self.objective)  # a first pass takes longer
            for case in self._tested(pair):
                judged = judged or _is_judged(case)
                yield case
        if not judged:
            print(
                f"{self.name}: no test pair has a mask of change, so there is no AUC. "
                "dataset.insert makes changes, task.change names a class that is one"
            )

    def _tested(self, pair: Pair) -> Iterator[TestCase]:
        """The cases of a batch of pairs."""
        u, reverse, seconds = self.registered(pair)
        chosen = [s for s in SCORES.values() if s.kind in KINDS or s.in_validation]
        assert pair.ids is not None
        for index, (moving, fixed) in enumerate(pair.ids):
            one = pair.one(index) if len(pair.ids) > 1 else pair
            part = slice(index, index + 1)
            moved = one.at(u[part])
            back = None if reverse is None else one.reversed().at(reverse[part])
            scores = []
            for now, maps, took in (
                (one, self._maps_before(one), 0.0),
                (moved, self.maps(moved, back), seconds),
            ):
                case = case_of(now, self.dataset, self.objective, took)
                scores.append(score_case(self._judged(case, now, maps), chosen))
            before, after = scores
            row = {"moving": moving, "fixed": fixed, **after, **earlier(before)}
            yield TestCase({PAIRS: [row]}, after, before)

    def registered(self, pair: Pair) -> tuple[Tensor, Tensor | None, float]:
        """Displacements of a batch, of the swapped batch if asked for, and seconds for a pair.

        The swapped batch is registered for the map of the method, and so not without a metric.
        """
        assert pair.ids is not None
        torch.manual_seed(derive_seed(self.seed, "test", *pair.ids[0]))
        u, seconds = register(self.method, pair, self.objective)
        if not self.both_directions or self.objective.similarity is None:
            return u, None, seconds
        torch.manual_seed(derive_seed(self.seed, "test", *pair.ids[0][::-1]))
        return u, self.method.register(pair.reversed(), self.objective), seconds

    def _maps_before(self, pair: Pair) -> dict[str, Tensor]:
        """Maps of a pair as it is: those that say something without a displacement."""
        maps = {k: v for k, v in baseline_maps(pair).items() if k in (INTENSITY, LI_WYATT)}
        if self.likelihood is not None:  # a posterior is of a registration
            return maps
        found = metric_map(self.objective.similarity, pair)
        return maps if found is None else {**maps, MAIN: found}

    def maps(self, pair: Pair, back: Pair | None) -> dict[str, Tensor]:
        """Maps (1, *S) of one registered pair by name.

        Args:
            pair: Moving to fixed.
            back: Fixed to moving; None if only one direction is looked at.
        """
        maps = baseline_maps(pair)
        forward = self._map(pair)
        if forward is None:
            return maps
        if back is None:
            return {MAIN: forward, **maps}
        backward = self._map(back)
        assert backward is not None
        both = both_directions(forward, backward, pair.u)
        return {MAIN: both, ONE_DIRECTION: forward, **maps}

    @torch.no_grad()
    def _map(self, pair: Pair) -> Tensor | None:
        """The map of one registered pair in one direction: D of each voxel, or what a posterior
        says; None if the metric has none."""
        if self.likelihood is None:
            return metric_map(self.objective.similarity, pair)
        assert isinstance(self.method, NetworkMethod)
        assert isinstance(self.model, Variational)
        posterior = self.method.output(pair, self.objective)
        reconstruction, kl = surprise(self.likelihood, self.model, pair, posterior)
        return reconstruction + kl

    def _judged(self, case: Case, pair: Pair, maps: Mapping[str, Tensor]) -> Case:
        """A case of one pair with its maps, and what they are judged by."""
        change, counted = self.truth.of(pair)
        arrays = {name: found[0].float().cpu().numpy() for name, found in maps.items()}
        return replace(case, change=change, counted=counted, maps=arrays)

    def draw(self, path: Path, cases: Sequence[TestCase]) -> None:
        """Draws the test pair of median AUC and its maps; the first one without a truth."""
        lead = "auc" if any("auc" in case.scores for case in cases) else "auc_jacobian"
        order = sorted(range(len(cases)), key=lambda i: cases[i].scores.get(lead, 0.0))
        row = cases[order[len(order) // 2]].rows[PAIRS][0]
        names = [(self.dataset.ids[m], self.dataset.ids[f]) for m, f in self.dataset.pairs("test")]
        number = names.index((row["moving"], row["fixed"]))
        pair = read_pairs(self.dataset, [self.dataset.pairs("test")[number]], self.device)
        u, reverse, _ = self.registered(pair)
        moved = pair.at(u)
        maps = self.maps(moved, None if reverse is None else pair.reversed().at(reverse))
        change, counted = self.truth.of(pair)
        images = {"moving": pair.moving, "fixed": pair.fixed, "warped": moved.warped}
        draw_changes(
            path,
            images={name: image[0].cpu().numpy() for name, image in images.items()},
            maps={
                MAPS[name] or "map of the method": m[0].cpu().numpy() for name, m in maps.items()
            },
            change=change,
            counted=counted,
            title=f"{self.name}, {row['moving']} to {row['fixed']}",
        )


def _is_judged(case: TestCase) -> bool:
    """Whether the pair had a mask of change."""
    return any(name.startswith("auc") for name in case.scores)


def untested_job(setup: Setup, parts: Parts) -> ChangesJob:
    """A job that maps changes of any pairs, and judges none.

    Args:
        setup: The experiment and its data, which need not be at hand.
        parts: What the registration is made of.
    """
    return ChangesJob(setup, parts, True, Truth(setup.dataset, None, None))


class Truth:
    """Where fixed images have changed, and where that is asked.

    Args:
        dataset: The data set.
        within: As of `Changes`.
        change: Likewise.
    """

    def __init__(self, dataset: PreparedDataset, within: str | None, change: str | None) -> None:
        self.within = within
        self.label = None if change is None else dataset.class_names.index(change)

    def of(self, pair: Pair) -> tuple[Any, Any]:
        """The mask of change of one pair (*S) bool, None if it is not known, and where voxels
        count, None for everywhere."""
        change = pair.change if self.label is None else pair.segmentations[1] == self.label
        shares = mask_shares(self.within, pair)
        return (
            None if change is None else change[0, 0].cpu().numpy(),
            None if shares is None else (shares[0, 0] > 0).cpu().numpy(),
        )
