"""An experiment together with the data that it is on; torch is not imported."""

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.errors import HydraException

from bench.config.experiment import Experiment
from bench.config.extractors import extractor_sections
from bench.config.groups import options
from bench.config.identity import digest, extractor_identity
from bench.config.instantiation import build
from bench.config.synthesis import SEGMENTER
from bench.data.cache.prepared import PreparedDataset, empty_split
from bench.data.cache.preparing import prepare
from bench.data.sources.source import Source
from bench.data.sources.subject import SPLITS, TEST
from bench.errors import BenchError, CacheUnwritable, ConfigError

FACTS = (
    "name",
    "fingerprint",
    "class_names",
    "shape",
    "shapes",
    "channels",
    "stored_channels",
    "roles",
    "spacing",
    "unit",
    "step",
)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
NO_FOLDER = (errno.EEXIST, errno.ENOTDIR)
Look = Callable[[Source, Path | None], PreparedDataset]


@dataclass(frozen=True)
class Setup:
    """An experiment, its data set, and the data sets that its extractors learn on.

    Attributes:
        experiment: The experiment.
        dataset: Its data set.
        reading: The settings of the source, which determine the preprocessed arrays.
        transfers: For each extractor of the metric that learns on another data set, by its place
            in the configuration: the same experiment there.
    """

    experiment: Experiment
    dataset: PreparedDataset
    reading: Mapping[str, Any]
    transfers: Mapping[str, "Setup"] = field(default_factory=dict)

    @classmethod
    def of(cls, experiment: Experiment, look: Look = prepare) -> "Setup":
        """Opens the data of an experiment.

        Args:
            experiment: The experiment.
            look: Gives a data set from its source and cache; `prepare` reads it if need be.

        Raises:
            ConfigError: If a class or setting does not fit, or there is no such data set.
            DataError: If files are missing or damaged.
        """
        setup = cls._open(experiment, look)
        return cls(setup.experiment, setup.dataset, setup.reading, _transfers(experiment, look))

    @classmethod
    def _open(cls, experiment: Experiment, look: Look) -> "Setup":
        source = make_source(experiment)
        if "trainer" in experiment.uses:  # said before files are read, which may take minutes
            present = {subject.split for subject in source.subjects()}
            for split in SPLITS:
                if split not in present:
                    raise empty_split(source.name, split)
        try:
            dataset = look(source, experiment.cache)
        except OSError as error:
            if experiment["dataset"].get("cache") is None or error.errno not in FULL + NO_FOLDER:
                raise
            place = error.filename or experiment.cache
            raise CacheUnwritable(error.errno, error.strerror, str(place)) from error
        return cls(experiment, dataset, source.settings())

    def record(self) -> dict[str, Any]:
        """What `recorded` needs: facts on the data, but no images and no subjects.

        Reads the test images for their range of intensities.
        """
        content = self._described()
        content["index"]["intensities"] = self.dataset.intensities(TEST)
        return content

    def _described(self) -> dict[str, Any]:
        return {
            "index": {
                **{name: self.dataset.index.get(name) for name in FACTS},
                "landmarks": self.dataset.has_landmarks,
            },
            "reading": self.reading,
            "transfers": {
                place: {"config": other.experiment.config, **other._described()}
                for place, other in self.transfers.items()
            },
        }

    @classmethod
    def recorded(cls, experiment: Experiment, content: Mapping[str, Any]) -> "Setup":
        """The setup of a run whose data are not at hand; its data sets have no subjects.

        Args:
            experiment: The experiment.
            content: What `record` gave.
        """
        empty: dict[str, Any] = {"ids": [], "splits": [], "places": [], "given": {}}
        index = {"unit": "mm", **content["index"], **empty}  # older runs recorded no unit
        return cls(
            experiment,
            PreparedDataset(None, index, experiment["dataset"]["pairs"]),
            content["reading"],
            {
                place: cls.recorded(experiment.with_config(other["config"]), other)
                for place, other in content["transfers"].items()
            },
        )

    @property
    def data(self) -> dict[str, Any]:
        """What in the data determines numbers: settings and fingerprint."""
        return {"fingerprint": self.dataset.fingerprint, "settings": self.reading}

    def extractor(self, place: str) -> tuple["Setup", Mapping[str, Any]]:
        """Where the extractor of a place learns, and its section as it is there."""
        setup = self.transfers.get(place, self)
        return setup, dict(extractor_sections(setup.experiment["metric"]))[place]

    def judges(self) -> dict[str, "Setup"]:
        """For each metric by which the task judges, the setup in which it is the metric.

        Data without labels have no segmenter.
        """
        return {
            name: replace(self, experiment=experiment, transfers={})
            for name, experiment in self.experiment.judges().items()
            if name != SEGMENTER or self.dataset.has_labels
        }

    def extractor_ids(self) -> dict[str, str]:
        """The identity of each extractor of the metric, by its place."""
        found = {}
        for place, _ in _used_extractors(self.experiment):
            setup, section = self.extractor(place)
            found[place] = digest(extractor_identity(setup.experiment, section, setup.data))
        return found


def make_source(experiment: Experiment) -> Source:
    """The data set's source, from the section `dataset`.

    Raises:
        ConfigError: If its class or a setting does not fit.
    """
    return build(experiment.source_arguments(), "dataset")


def _used_extractors(experiment: Experiment) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if "metric" in experiment.uses:
        yield from extractor_sections(experiment["metric"])


def _transfers(experiment: Experiment, look: Look) -> dict[str, Setup]:
    """The setups of extractors that learn on another data set, by their place.

    Everything that a data set recommends is the other one's, so the extractor is the same that
    the other data set's runs use.
    """
    found = {}
    for place, section in _used_extractors(experiment):
        name = section.get("dataset")
        if name is None:
            continue
        try:
            other = experiment.on(name, section.get("root"))
        except HydraException as error:
            raise ConfigError(
                f"{place}.extractor.dataset={name}: no such data set. Known: "
                f"{', '.join(options('dataset'))}."
            ) from error
        try:
            found[place] = Setup._open(other, look)
        except BenchError as error:
            reason = str(error).replace("dataset.root", f"{place}.extractor.root")
            raise ConfigError(f"{place}.extractor.dataset={name}: {reason}") from error
    return found
