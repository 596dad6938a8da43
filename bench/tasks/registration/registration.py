"""The task of registration: what a run trains, how it is tested, and its figure."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.config.overrides import quoted
from bench.data.batches.augmentation import Augmentation
from bench.data.batches.loading import TrainingPairs, read_pairs
from bench.data.setup import Setup
from bench.data.sources.pairs import MIRRORED, evenly_spaced
from bench.errors import ConfigError, Unsupported, counted
from bench.models.building import finish_method
from bench.models.change_networks import ChangeNetwork
from bench.models.conditioned import Conditioned
from bench.models.layout import to_channels_last
from bench.models.method import Method, displacement_by
from bench.models.network import NetworkMethod
from bench.models.variational import Variational
from bench.pair import Pair
from bench.scores.registry import units
from bench.seeding import derive_seed
from bench.similarity.building import Learner, move_metric
from bench.store.checkpoints import load_network
from bench.store.layout import CLASSES, LANDMARKS, PAIRS
from bench.tasks.registration.assembly import Parts, build_parts, describe, require_images
from bench.tasks.registration.conditioned import ConditionedTraining
from bench.tasks.registration.figure import draw_pair
from bench.tasks.registration.masks import Masks
from bench.tasks.registration.testing import OUTSIDE, TOGETHER, batches, register, score_pairs
from bench.tasks.registration.training import NetworkTraining, validation_scores
from bench.tasks.registration.variational import VariationalTraining
from bench.tasks.task import Row, TestCase
from bench.training.devices import network_precision, single_device
from bench.training.trainee import Trainable


class Registration:
    """A network is trained, or another method registers, and the test pairs are scored.

    Args:
        both_directions: Whether the images of each test pair are registered to each other, for
            the inverse consistency error.
        within_mask: Whether scores of labels and of the displacement count within the fixed
            subject's mask only.
    """

    tables = (PAIRS, CLASSES, LANDMARKS)

    def __init__(self, both_directions: bool = False, within_mask: bool = False) -> None:
        for name, value in (("both_directions", both_directions), ("within_mask", within_mask)):
            if not isinstance(value, bool):
                raise ConfigError(f"task.{name}={quoted(value)}: must be true or false.")
        self.both_directions = both_directions
        self.within_mask = within_mask

    def assemble(self, setup: Setup) -> "RegistrationJob":
        """Builds method, metric and regularizer, and tries them on one pair.

        Raises:
            Unsupported: If they do not go together with the data.
            ConfigError: If one of them cannot be built or does not return what it should.
        """
        parts = parts_with_data(setup)
        masks = Masks(setup) if self.within_mask else None
        return RegistrationJob(setup, parts, self.both_directions, masks)


def parts_with_data(setup: Setup) -> Parts:
    """What a registration is made of, built and tried out; all that it learns from is there.

    Raises:
        DataError: If a split that is needed has no subjects or pairs.
        Unsupported: As `build_parts`.
        ConfigError: Likewise.
    """
    splits = ("train", "val", "test") if "trainer" in setup.experiment.uses else ("test",)
    for split in splits:
        setup.dataset.pairs(split)
        for subject in setup.dataset.unpaired(split):
            print(
                f"{describe(setup.experiment)}: {subject} is in no {split} pair; pairing "
                f"'{MIRRORED}' leaves out the middle one of an odd number of subjects"
            )
    parts = build_parts(setup)
    require_images(parts.learners)
    return parts


class RegistrationJob:
    """The work of one registration run; see `bench.tasks.task.Job`.

    Args:
        setup: The experiment and its data.
        parts: What it is made of.
        both_directions: As of `Registration`.
        masks: Of fixed subjects, within which scores count; None for everywhere.
    """

    def __init__(
        self,
        setup: Setup,
        parts: Parts,
        both_directions: bool = False,
        masks: Masks | None = None,
    ) -> None:
        experiment, dataset = setup.experiment, setup.dataset
        self.setup = setup
        self.dataset = dataset
        self.model = parts.model
        self.objective = parts.objective
        self.likelihood = parts.likelihood
        self.both_directions = both_directions
        self.masks = masks
        self.learners: Sequence[Learner] = parts.learners
        self.name = describe(experiment)
        self.seed = derive_seed(experiment.seed, dataset.name, "registration")
        self.facts: Mapping[str, Any] = {
            "classes": dataset.class_names,
            "units": units(dataset.unit),
        }
        self.device = single_device(experiment.settings)
        self.trainable: Trainable | None = None
        self.method: Method
        if isinstance(self.model, nn.Module) and not experiment.trained:
            self.trainable = self._training(self.model)

    def _training(self, network: nn.Module) -> NetworkTraining:
        experiment = self.setup.experiment
        description, pairs = self._training_data()
        if isinstance(network, ChangeNetwork):
            raise Unsupported(
                f"model={experiment['model']['name']} cannot be used with task="
                f"{experiment['task']['name']}: it maps changes and registers nothing. Set "
                "task=changes."
            )
        if isinstance(network, Variational):
            assert self.likelihood is not None
            further = (self.objective, pairs, self.likelihood, self.masks)
            return VariationalTraining(self.name, network, description, *further)
        others = (description, self.objective, pairs, self.masks)
        if isinstance(network, Conditioned):
            return ConditionedTraining(self.name, network, *others)
        return NetworkTraining(self.name, network, *others)

    def _training_data(self) -> tuple[dict[str, Any], TrainingPairs]:
        """What checkpoints say about the network, and the training pairs."""
        experiment, dataset = self.setup.experiment, self.dataset
        augmentation = Augmentation.from_config(experiment["dataset"]["augmentation"])
        sizes = {"ndim": dataset.ndim, "image_channels": dataset.channels}
        description = {"network": {**experiment["model"], **sizes}}
        return description, TrainingPairs(dataset, augmentation, experiment.seed)

    def make_ready(self, best: Path) -> None:
        """Reads the best weights of a network; moves metric and network to the device."""
        move_metric(self.objective.similarity, self.device)
        if isinstance(self.model, nn.Module):
            load_network(best, self.model)
            to_channels_last(self.model)  # as trained: sums of other layouts round otherwise
            precision = network_precision(self.setup.experiment.settings)
            network = NetworkMethod(self.model.to(self.device), precision)
            section = self.setup.experiment["model"]
            self.method = finish_method(network, section, self.dataset)
        else:
            self.method = self.model

    def counts(self) -> Mapping[str, int]:
        """Numbers of pairs that are validated after or without a training, and tested."""
        experiment = self.setup.experiment
        learns_one_weight = self.trainable is not None and experiment.conditioned is None
        validates = not experiment.trained and not learns_one_weight
        return {
            "validation": len(self._validation_pairs()) if validates else 0,
            "test": len(self.dataset.pairs("test")),
        }

    def _validation_pairs(self) -> Sequence[tuple[int, int]]:
        """Pairs on which λ is chosen after or without a training; none where no λ is used."""
        experiment = self.setup.experiment
        if "regularizer" not in experiment.uses or not self.dataset.members("val"):
            return []
        most = experiment.settings.validation_pairs
        return evenly_spaced(self.dataset.pairs("val"), most)

    def validate(self, known: Sequence[Row]) -> Iterator[Row]:
        """Registers validation pairs, on which λ is chosen; nothing where no λ is used."""
        if "regularizer" in self.setup.experiment.uses and not self.dataset.members("val"):
            print(f"{self.name}: without validation subjects λ cannot be validated")
        done = {(row["moving"], row["fixed"]) for row in known}
        names = self.dataset.ids
        pairs = self._validation_pairs()
        scored = [pair for pair in pairs if (names[pair[0]], names[pair[1]]) in done]
        for batch in batches(pairs, self.method, scored):
            pair = read_pairs(self.dataset, batch, self.device)
            assert pair.ids is not None
            torch.manual_seed(derive_seed(self.seed, "val", *pair.ids[0]))
            u, _ = register(self.method, pair, self.objective)
            for index, ids in enumerate(pair.ids):
                if ids not in done:
                    one = pair.one(index) if len(pair.ids) > 1 else pair
                    yield self._validated(one.at(u[index : index + 1]), ids)

    def _validated(self, pair: Pair, ids: tuple[str, str]) -> Row:
        with torch.no_grad():
            losses = self.objective.losses(pair, pair.u)
        return {
            "moving": ids[0],
            "fixed": ids[1],
            **{name: float(value) for name, value in losses.items()},
            **validation_scores(pair, self.dataset, self.masks),
        }

    def test(self, known: Sequence[TestCase]) -> Iterator[TestCase]:
        """Registers and scores the test pairs that no earlier start has."""
        rows = [row for case in known for row in case.rows[PAIRS]]
        done = {(row["moving"], row["fixed"]) for row in rows}
        ids = [(self.dataset.ids[m], self.dataset.ids[f]) for m, f in self.dataset.pairs("test")]
        outside = sum(row.get(OUTSIDE, 0) for row in rows)
        for case in score_pairs(
            self.method,
            self.objective,
            self.dataset,
            self.device,
            warm_up=isinstance(self.model, nn.Module),
            together=TOGETHER if self.trainable else 1,
            both=self.both_directions,
            seed=self.seed,
            masks=self.masks,
            known=[number for number, pair in enumerate(ids) if pair in done],
        ):
            outside += case.rows[PAIRS][0].get(OUTSIDE, 0)
            yield case
        if outside:
            lie = "lies" if outside == 1 else "lie"
            landmarks = counted(outside, "landmark")
            print(f"{self.name}: {landmarks} {lie} outside the images and do not count")

    def over_cases(self, cases: Sequence[TestCase]) -> Mapping[str, Mapping[str, Any]]:
        """No score is of several cases."""
        return {}

    def draw(self, path: Path, cases: Sequence[TestCase]) -> None:
        """Draws the test pair of median Dice; the first without labels."""
        order = sorted(range(len(cases)), key=lambda i: cases[i].scores.get("dice", 0.0))
        row = cases[order[len(order) // 2]].rows[PAIRS][0]
        names = [(self.dataset.ids[m], self.dataset.ids[f]) for m, f in self.dataset.pairs("test")]
        number = names.index((row["moving"], row["fixed"]))
        pair = read_pairs(self.dataset, [self.dataset.pairs("test")[number]], self.device)
        torch.manual_seed(derive_seed(self.seed, "test", *names[number]))
        u = displacement_by(self.method, pair, self.objective)
        title = f"{self.name}, {row['moving']} to {row['fixed']}"
        draw_pair(path, pair.at(u), title, self.dataset.class_names)
