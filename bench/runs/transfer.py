"""Extractors of another data set: `metric.extractor.dataset=NAME`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.errors import HydraException

from bench.config.experiment import Experiment, extractor_sections
from bench.config.groups import options
from bench.config.instantiation import build
from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.preparing import prepare
from bench.data.sources.source import Source
from bench.errors import BenchError, ConfigError


@dataclass(frozen=True)
class Origin:
    """Where an extractor learns.

    Attributes:
        experiment: The experiment, on that data set.
        extractor: The `extractor` section, as it is for that data set.
        dataset: The data set.
        data: Its settings and fingerprint.
    """

    experiment: Experiment
    extractor: Mapping[str, Any]
    dataset: PreparedDataset
    data: Mapping[str, Any]


def find_transfers(
    experiment: Experiment, look: Callable[[Source, Path | None], PreparedDataset] = prepare
) -> dict[str, Origin]:
    """The origins of a metric's extractors that learn on another data set, by their place.

    Everything that a data set recommends is the other one's, so the extractor is the same that
    the other data set's own runs use.

    Args:
        experiment: The experiment.
        look: Gives the other data set from its source and cache.

    Raises:
        ConfigError: If there is no such data set, or its files are not there.
    """
    found = {}
    for place, section in extractor_sections(experiment["metric"]):
        name = section.get("dataset")
        if name is None:
            continue
        try:
            other = experiment.on(name, section.get("root"))
        except HydraException as error:
            raise ConfigError(
                f"{place}.extractor.dataset={name}: there is no such data set. Known: "
                f"{', '.join(options('dataset'))}."
            ) from error
        try:
            source = build(other.source_arguments(), "dataset")
            dataset = look(source, other.cache)
        except BenchError as error:
            reason = str(error).replace("dataset.root", f"{place}.extractor.root")
            raise ConfigError(f"{place}.extractor.dataset={name}: {reason}") from error
        data = {"fingerprint": dataset.fingerprint, "settings": source.settings()}
        own = dict(extractor_sections(other["metric"]))[place]
        found[place] = Origin(other, own, dataset, data)
    return found
