"""One run: its setup, its names, its folder."""

from dataclasses import dataclass, replace
from typing import Any

from omegaconf import OmegaConf

from bench.config.identity import (
    digest,
    method_code,
    network_identity,
    network_name,
    run_identity,
    run_name,
    task_tables,
    variant_identity,
)
from bench.data.setup import Setup
from bench.store.files import write_json
from bench.store.folder import Folder
from bench.store.layout import CODE, DATA, NETWORKS, RUNS, TASK_TABLES


@dataclass(frozen=True)
class Run:
    """An experiment whose data set is known.

    Attributes:
        setup: The experiment and its data.
        header: First entries of its summary: id, variant, task, names, `weight` (λ, or c of a
            synthesis), seed, and digests of the tables that the task reads and of the code outside
            the suite that the method runs, if any. `metric`, `regularizer` and `weight` are None
            if the method uses none.
        folder: The folder that records it.
    """

    setup: Setup
    header: dict[str, Any]
    folder: Folder

    @classmethod
    def of(cls, setup: Setup) -> "Run":
        """The run of an experiment; nothing is written."""
        experiment = setup.experiment
        uses = experiment.shaped_by
        run_id = digest(run_identity(experiment, setup.data, setup.extractor_ids()))
        header = {
            "id": run_id,
            "variant": digest(variant_identity(experiment, setup.data)),
            **{group: experiment[group]["name"] for group in ("task", "dataset", "model")},
            "metric": experiment["metric"]["name"] if "metric" in uses else None,
            "regularizer": experiment["regularizer"]["name"] if "regularizer" in uses else None,
            "weight": experiment.tuned,
            "seed": experiment.seed,
        }
        further = {TASK_TABLES: task_tables(experiment), CODE: method_code(experiment)}
        header |= {name: content for name, content in further.items() if content}
        folder = Folder(experiment.results / RUNS / run_name(experiment, run_id))
        return cls(setup, header, folder)

    def unrefined(self) -> "Run | None":
        """The run that trains the same network and refines nothing; None if this one is it."""
        experiment = self.setup.experiment
        if not experiment["model"].get("refine"):
            return None
        model = {**experiment["model"], "refine": 0}
        plain = experiment.with_config({**experiment.config, "model": model})
        return Run.of(replace(self.setup, experiment=plain))

    def network(self) -> tuple[dict[str, Any], Folder] | None:
        """What identifies the network that this run shares with those of other λ, and its folder.

        None if it shares none.
        """
        experiment = self.setup.experiment
        if experiment.conditioned is None or experiment.trained:
            return None
        identity = network_identity(experiment, self.setup.data, self.setup.extractor_ids())
        name = network_name(experiment, digest(identity))
        return identity, Folder(experiment.results / NETWORKS / name)

    @property
    def config(self) -> str:
        """The resolved configuration, as YAML."""
        return OmegaConf.to_yaml(OmegaConf.create(self.setup.experiment.config))

    def start(self, environment: dict[str, Any]) -> None:
        """Makes the folder, or goes on with it."""
        self.folder.start(self.header, self.config, environment)
        write_json(self.folder.file(DATA), self.setup.record())
