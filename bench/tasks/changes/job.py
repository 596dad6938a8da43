"""The work of a run that looks for changes: pairs are registered, mapped and judged."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from bench.analysis.numbers.bootstrap import cluster_pairs
from bench.analysis.numbers.pooled import summaries
from bench.analysis.plots.changes import draw_changes
from bench.data.batches.loading import read_pairs
from bench.data.setup import Setup
from bench.models.change_networks import ChangeNetwork
from bench.models.method import displacement_by
from bench.models.network import NetworkMethod
from bench.models.variational import Variational
from bench.pair import Pair
from bench.scores.case import Case
from bench.scores.of_changes import MAIN, MAPS
from bench.scores.registry import SCORES
from bench.scores.scoring import score_case
from bench.seeding import derive_seed
from bench.spatial.displacement import warp
from bench.store.layout import CLASSES, CURVES, PAIRS, VOXELS
from bench.tasks.changes.curves import curve_points
from bench.tasks.changes.maps import (
    INTENSITY,
    LI_WYATT,
    ONE_DIRECTION,
    RELATIVE,
    baseline_maps,
    both_directions,
    metric_map,
)
from bench.tasks.changes.regions import region_rows
from bench.tasks.changes.training import MapTraining
from bench.tasks.changes.truth import Truth
from bench.tasks.changes.usual import Usual
from bench.tasks.changes.voxels import sampled_voxels
from bench.tasks.registration.assembly import Parts
from bench.tasks.registration.registration import RegistrationJob
from bench.tasks.registration.testing import batches, case_of, earlier, register
from bench.tasks.registration.training import NetworkTraining
from bench.tasks.registration.variational import surprise
from bench.tasks.task import TestCase

KINDS = ("changes", "similarity", "cost")  # of scores, besides those of validation


class ChangesJob(RegistrationJob):
    """The work of one run; see `bench.tasks.task.Job`.

    Args:
        setup: The experiment and its data.
        parts: What the registration is made of.
        both_directions: As of `Changes`.
        truth: What maps are judged by.
        controls: Subjects over whose maps the map relative to controls takes the mean; without
            any there is no such map.
    """

    def __init__(
        self,
        setup: Setup,
        parts: Parts,
        both_directions: bool,
        truth: Truth,
        controls: Sequence[int] = (),
    ) -> None:
        self.truth = truth
        super().__init__(setup, parts, both_directions)
        self.usual = Usual(setup.dataset, controls, self._mapped) if controls else None

    def _training(self, network: nn.Module) -> NetworkTraining:
        if not isinstance(network, ChangeNetwork):
            return super()._training(network)
        return MapTraining(self.name, network, *self._training_data(), self.truth)

    def test(self, known: Sequence[TestCase]) -> Iterator[TestCase]:
        """Registers, maps and scores the test pairs that no earlier start has."""
        done = {(row["moving"], row["fixed"]) for case in known for row in case.rows[PAIRS]}
        names = self.dataset.ids
        pairs = self.dataset.pairs("test")
        scored = [pair for pair in pairs if (names[pair[0]], names[pair[1]]) in done]
        warm_up = isinstance(self.model, nn.Module)
        for batch in batches(pairs, self.method, scored):
            pair = read_pairs(self.dataset, batch, self.device)
            if warm_up:
                register(self.method, pair, self.objective)  # a first pass takes longer
                warm_up = False
            yield from self._tested(pair, done)

    def _tested(self, pair: Pair, done: Collection[tuple[str, str]]) -> Iterator[TestCase]:
        """The cases of a batch of pairs that are not done."""
        u, reverse, seconds = self.registered(pair)
        chosen = [s for s in SCORES.values() if s.kind in KINDS or s.in_validation]
        assert pair.ids is not None
        for index, (moving, fixed) in enumerate(pair.ids):
            if (moving, fixed) in done:
                continue
            one = pair.one(index) if len(pair.ids) > 1 else pair
            part = slice(index, index + 1)
            moved = one.at(u[part])
            back = None if reverse is None else one.reversed().at(reverse[part])
            unmoved, registered = (
                self._judged(case_of(now, self.dataset, self.objective, took), now, maps)
                for now, maps, took in (
                    (one, self._maps_before(one), 0.0),
                    (moved, self.maps(moved, back), seconds),
                )
            )
            before, after = (score_case(case, chosen) for case in (unmoved, registered))
            who = {"moving": moving, "fixed": fixed}
            rows = {
                PAIRS: [{**who, **after, **earlier(before)}],
                CURVES: [{**who, **point} for point in curve_points(registered)],
                CLASSES: [
                    {**who, **region}
                    for region in region_rows(registered, self.dataset.class_names)
                ],
                VOXELS: [
                    {**who, **voxel}
                    for voxel in sampled_voxels(registered, self.seed, *pair.ids[index])
                ],
            }
            yield TestCase(rows, after, before)

    def over_cases(self, cases: Sequence[TestCase]) -> Mapping[str, Mapping[str, Any]]:
        """Scores of the sampled voxels of all test pairs together, as summaries have them."""
        voxels = [
            {"pair": number, **row}
            for number, case in enumerate(cases)
            for row in case.rows.get(VOXELS, [])
        ]
        if not voxels:
            return {}
        pairs = [case.rows[PAIRS][0] for case in cases]
        clusters = cluster_pairs([row["moving"] for row in pairs], [row["fixed"] for row in pairs])
        return summaries(pd.DataFrame(voxels), clusters.codes)

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
        return u, displacement_by(self.method, pair.reversed(), self.objective), seconds

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
        found = {MAIN: forward}
        if back is not None:
            found = {MAIN: self._both(forward, back, pair.u), ONE_DIRECTION: forward}
        if self.usual is not None:
            assert pair.ids is not None
            usual = self.usual.of(pair.ids[0][0], self.device)
            found[RELATIVE] = found[MAIN] - warp(usual[:, None], pair.u)[:, 0]
        return {**found, **maps}

    def _both(self, forward: Tensor, back: Pair, u: Tensor) -> Tensor:
        """The map of one direction and that of the other, on the grid of the former."""
        backward = self._map(back)
        assert backward is not None
        return both_directions(forward, backward, u)

    def _mapped(self, pair: Pair) -> Tensor:
        """The map (1, *S) of the method of a pair that is not registered yet."""
        u, reverse, _ = self.registered(pair)
        found = self._map(pair.at(u))
        assert found is not None
        return found if reverse is None else self._both(found, pair.reversed().at(reverse), u)

    @torch.no_grad()
    def _map(self, pair: Pair) -> Tensor | None:
        """The map of one registered pair in one direction: D of each voxel, what a posterior says,
        or what a network maps itself; None if the metric has none."""
        if isinstance(self.model, ChangeNetwork):
            assert isinstance(self.method, NetworkMethod)
            return self.method.output(pair, self.objective).values
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
        values = [case.scores.get(lead, math.nan) for case in cases]
        judged = [i for i, value in enumerate(values) if math.isfinite(value)]
        order = sorted(judged or range(len(cases)), key=lambda i: values[i])
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


def untested_job(setup: Setup, parts: Parts) -> ChangesJob:
    """A job that maps changes of any pairs, as a run did if it was of this task, and judges none.

    Args:
        setup: The experiment and its data, which need not be at hand.
        parts: What the registration is made of.
    """
    task = setup.experiment.config.get("task", {})
    if task.get("name") != "changes":
        return ChangesJob(setup, parts, True, Truth(setup.dataset))
    return ChangesJob(
        setup, parts, task["both_directions"], Truth(setup.dataset, task.get("within"))
    )
