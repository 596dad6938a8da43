"""The task of finding changes."""

from collections.abc import Sequence
from typing import Any

import torch

from bench.config.overrides import quoted
from bench.data.batches.loading import read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup
from bench.errors import ConfigError, Unsupported
from bench.models.change_networks import ChangeNetwork
from bench.similarity.masks import MASKS
from bench.store.layout import CLASSES, CURVES, PAIRS, VOXELS
from bench.tasks.changes.job import ChangesJob
from bench.tasks.changes.maps import metric_map
from bench.tasks.changes.truth import KINDS as COMPONENTS
from bench.tasks.changes.truth import Truth
from bench.tasks.changes.usual import healthy
from bench.tasks.registration.assembly import Parts, describe
from bench.tasks.registration.registration import parts_with_data


class Changes:
    """A method registers, and maps of what no deformation explains are judged by a mask of change.

    Args:
        both_directions: Whether the method's map is the sum of both directions; each test pair is
            then registered both ways.
        within: Where voxels count: `labels`, where the fixed image has a label other than
            background; `foreground`, where it is above its least intensity; None: everywhere.
        change: A class of the fixed image's labels that is the change; None takes what
            `dataset.insert` has put there.
        components: Of that class, only components that have no single counterpart in the other
            image: those that `appear`, `vanish`, `divide` or `merge`; None takes all of it.
        smallest: Voxels of a component, at least; smaller ones are as if they were not there.
        controls: How many training subjects are controls, over which the method's map is averaged
            for the map relative to controls; None: that map is not made. Each is registered to the
            moving image of a test pair, and back. A subject whose labels have the class `change`
            is no control.
        insert: What `dataset.insert` is unless it is given; looked at there.
    """

    tables = (PAIRS, CURVES, CLASSES, VOXELS)

    def __init__(
        self,
        both_directions: bool = True,
        within: str | None = None,
        change: str | None = None,
        components: Sequence[str] | None = None,
        smallest: int = 1,
        controls: int | None = None,
        insert: Any = None,
    ) -> None:
        if not isinstance(both_directions, bool):
            raise ConfigError(
                f"task.both_directions={quoted(both_directions)}: must be true or false."
            )
        if within not in MASKS:
            raise ConfigError(f"task.within={quoted(within)}: must be labels, foreground or null.")
        if components is not None:
            listed = isinstance(components, Sequence) and not isinstance(components, str)
            if not listed or not components or any(kind not in COMPONENTS for kind in components):
                raise ConfigError(
                    f"task.components={quoted(components)}: must be a list of some of "
                    f"{', '.join(COMPONENTS)}, or null."
                )
            if change is None:
                raise ConfigError(
                    f"task.components={quoted(components)}: selects connected components of a "
                    "class. Name the class with task.change, or set task.components=null."
                )
        for name, value, others in (
            ("smallest", smallest, ""),
            ("controls", controls, ", or null"),
        ):
            left_out = name == "controls" and value is None
            if not left_out and not (type(value) is int and value >= 1):
                raise ConfigError(
                    f"task.{name}={quoted(value)}: must be a whole number of at least 1{others}."
                )
        self.both_directions = both_directions
        self.within = within
        self.change = change
        self.components = components
        self.smallest = smallest
        self.controls = controls

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
        if self.change is not None and self.change not in dataset.class_names[1:]:
            known = ", ".join(dataset.class_names[1:]) or "none, as it has no labels"
            raise Unsupported(
                f"task.change={self.change}: dataset={dataset.name} has no class of this name. "
                f"Known: {known}."
            )
        truth = Truth(dataset, self.within, self.change, self.components, self.smallest)
        controls = healthy(dataset, self.controls, truth.label) if self.controls else []
        if self.change is not None and dataset.insertion is not None:
            raise Unsupported(
                f"task.change={quoted(self.change)}: takes the true change from the labels, which "
                "lack the simulated changes of dataset.insert. Set dataset.insert=null, or "
                "task.change=null."
            )
        parts = parts_with_data(setup)
        learns = isinstance(parts.model, ChangeNetwork) and parts.model.needs_truth
        if learns and self.change is None and dataset.insertion is None:
            raise Unsupported(
                f"model={setup.experiment['model']['name']}: trains on masks of change, and "
                "the data have none. Set dataset.insert, or name a class of the labels with "
                "task.change."
            )
        if controls and not _makes_map(parts, dataset):
            raise Unsupported(
                f"task.controls={self.controls}: compares the map of the method with its mean over "
                f"controls, but {describe(setup.experiment)} gives no map. Choose a metric that "
                "has one, such as mse, or set task.controls=null."
            )
        return ChangesJob(setup, parts, self.both_directions, truth, controls)


def _makes_map(parts: Parts, dataset: PreparedDataset) -> bool:
    """Whether a method itself maps changes, tried on one pair."""
    if isinstance(parts.model, ChangeNetwork) or parts.likelihood is not None:
        return True
    pair = read_pairs(dataset, dataset.pairs("test")[:1], torch.device("cpu"))
    return metric_map(parts.objective.similarity, pair) is not None
