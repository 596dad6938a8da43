"""One run: its experiment, its names, its folder."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from bench.config.experiment import Experiment
from bench.config.identity import digest, run_identity, run_name, variant_identity
from bench.store.folder import RUNS, Folder


@dataclass(frozen=True)
class Run:
    """An experiment on data that are known.

    Attributes:
        experiment: The experiment.
        header: What its summary begins with: id, variant, names, λ, seed.
        folder: Where it is recorded.
    """

    experiment: Experiment
    header: dict[str, Any]
    folder: Folder

    @classmethod
    def of(
        cls, experiment: Experiment, data: Mapping[str, Any], transfers: Mapping[str, Any]
    ) -> "Run":
        """The run of an experiment.

        Args:
            experiment: The experiment.
            data: Settings and fingerprint of the prepared data set.
            transfers: From `bench.runs.transfer.find_transfers`.
        """
        run_id = digest(run_identity(experiment, data, transfers))
        header = {
            "id": run_id,
            "variant": digest(variant_identity(experiment, data)),
            **{group: experiment[group]["name"] for group in ("dataset", "metric", "model")},
            "regularizer": experiment["regularizer"]["name"],
            "weight": experiment.weight,
            "seed": experiment.seed,
        }
        folder = Folder(experiment.results / RUNS / run_name(experiment, run_id))
        return cls(experiment, header, folder)

    def start(self, environment: dict[str, Any]) -> None:
        """Makes the folder, or goes on with it; a finished run that is forced is set aside."""
        if self.experiment["force"]:
            self.folder.set_aside()
        config = OmegaConf.to_yaml(OmegaConf.create(self.experiment.config))
        self.folder.start(self.header, config, environment)


def differ_in_weight(one: Experiment, others: Iterable[Experiment]) -> list[Experiment]:
    """Those of the others that are the same experiment under another λ, each λ once."""
    found = {
        other.weight: other
        for other in others
        if other.weight != one.weight and _without_weight(other) == _without_weight(one)
    }
    return list(found.values())


def _without_weight(experiment: Experiment) -> dict[str, Any]:
    regularizer = dict(experiment["regularizer"])
    for key in ("weight", "scale"):
        regularizer.pop(key, None)
    return {**experiment.config, "regularizer": regularizer}
