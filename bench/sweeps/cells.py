"""A sweep: its runs, their statuses, and their cost."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from bench.config.experiment import Experiment
from bench.config.extractors import extractor_sections
from bench.config.identity import digest, run_identity
from bench.config.instantiation import build
from bench.config.multirun import (
    experiments,
    fit_to_options,
    of_the_file,
    product,
    repeated_values,
)
from bench.config.outside import check_found
from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.preparing import find
from bench.data.setup import Look, Setup
from bench.data.sources.source import Source
from bench.errors import BenchError, Unsupported
from bench.runs.run import Run
from bench.store.escaping import for_terminal
from bench.store.folder import Folder
from bench.store.layout import EXTRACTORS
from bench.store.listing import list_folders
from bench.store.standing import Status

EXTRACTOR = "metric.extractor"
GREY_OR_COLOUR = (1, 3)  # channels
NOTHING_LEFT = (Status.FINISHED, Status.SKIPPED)


@dataclass
class Cell:
    """One run of a sweep.

    Attributes:
        overrides: Its differences from the default configuration.
        experiment: Its configuration.
        status: Where it stands.
        reason: Why it failed or is skipped, or what is missing.
        folder: Where it is recorded; None as long as its data have not been read.
        surrogates: Extractors that it waits for, by name; they are trained once for all.
        network: Where the network for all λ is or will be, if it shares one and its data are known.
        waits: Whether that network is trained by an earlier run of the sweep, or was before.
        repeats: Overrides of the further combinations of the sweep that are this run.
    """

    overrides: list[str]
    experiment: Experiment
    status: Status = Status.MISSING
    reason: str = ""
    folder: Folder | None = None
    surrogates: list[str] = field(default_factory=list)
    network: Folder | None = None
    waits: bool = False
    repeats: list[list[str]] = field(default_factory=list)

    @property
    def names(self) -> dict[str, Any]:
        """Data set, metric, λ or c, and seed."""
        groups = {group: self.experiment[group]["name"] for group in ("dataset", "metric")}
        return {**groups, "weight": self.experiment.tuned, "seed": self.experiment.seed}


def cells(config: DictConfig) -> list[Cell]:
    """The runs of a multirun, with their statuses.

    Overrides that make the same run, such as metrics of a method that uses none, are one cell, that
    of the first. Prints these, and overrides that do not apply to some runs.

    Raises:
        ConfigError: If one of them is not valid: nothing has been run then.
    """
    runs, lines = fit_to_options(product(config), of_the_file(config))
    for line in (*repeated_values(config), *lines):
        print(for_terminal(line))
    found = [Cell(list(o), e) for o, e in zip(runs, experiments(runs), strict=True)]
    look_up(found)
    kept: dict[Any, Cell] = {}
    for cell in found:
        first = kept.setdefault(_same(cell), cell)
        if first is not cell:
            first.repeats.append(cell.overrides)
    shared = set.intersection(*(set(cell.overrides) for cell in found))
    for cell in kept.values():
        if cell.repeats:
            print(for_terminal(_repeated(cell, shared)))
    return list(kept.values())


def _repeated(cell: Cell, shared: Collection[str]) -> str:
    """Which combinations of a sweep are the run of a cell."""
    first, told = (
        " ".join(o for o in overrides if o not in shared)
        for overrides in (cell.overrides, cell.repeats[0])
    )
    more = len(cell.repeats) - 1
    are = f"and {more} more are" if more else "is"
    return f"{told} {are} the same run as {first}, which runs once."


def _same(cell: Cell) -> Any:
    """What cells of one run have in common: the folder, or without data what identifies it."""
    experiment = cell.experiment
    if cell.folder is None:
        data = {"section": experiment["dataset"]}
        with suppress(BenchError):  # of a file that is missing, as the run will say
            learning = {"trainer": experiment["trainer"]} if _learning(experiment) else {}
            return digest([run_identity(experiment, data, {}), learning])
    return _whole(cell.folder, experiment, "scale")


def _whole(folder: Folder | None, experiment: Experiment, *besides: str) -> Any:
    """A folder, or as long as it is not known the configuration but for the regularizer's keys."""
    if folder is not None:
        return folder.path
    config = experiment.config
    regularizer = {key: v for key, v in config["regularizer"].items() if key not in besides}
    return digest({**config, "regularizer": regularizer})


def sweep_name(config: DictConfig, found: Sequence[Cell]) -> str:
    """Name of a sweep: its experiment's, or a hash of its runs."""
    experiment = config.hydra.runtime.choices.get("experiment")
    return experiment or f"sweep-{digest([cell.overrides for cell in found])}"


def look_up(found: Iterable[Cell]) -> None:
    """Sets the status of each cell; reads no images and trains nothing.

    Raises:
        ConfigError: If what should learn λ is no network, or a class is not found.
    """
    look = _looking_once()
    found = list(found)
    for cell in found:
        refused = _refused(cell.experiment)
        if refused is not None:
            cell.status, cell.reason = Status.SKIPPED, refused
            continue
        try:
            setup = Setup.of(cell.experiment, look)
        except BenchError as error:
            cell.status, cell.reason = Status.MISSING, str(error)
            cell.surrogates = [
                f"{cell.experiment['dataset']['name']} {section['_target_'].rpartition('.')[2]}"
                for experiment in (cell.experiment, *cell.experiment.judges().values())
                for _, section in _learning(experiment)
            ]
            continue
        _find_run(cell, setup)
    _share_networks(found)


def _share_networks(found: Iterable[Cell]) -> None:
    """Lets of those cells that share a network the first train it, unless it is there."""
    shared = set()
    for cell in found:
        if cell.experiment.conditioned and cell.status not in NOTHING_LEFT:
            key = _whole(cell.network, cell.experiment, "scale", "weight")
            there = cell.network is not None and cell.network.standing().status
            cell.waits = key in shared or there is Status.FINISHED
            shared.add(key)


def _looking_once() -> Look:
    """Finds data sets in the cache, each once, or says why one is not known."""
    known: dict[tuple[str, str], PreparedDataset | BenchError] = {}

    def look(source: Source, cache: Path | None) -> PreparedDataset:
        key = (repr(source), str(cache))
        if key not in known:
            try:
                known[key] = find(source, cache)
            except BenchError as error:
                known[key] = error
        found = known[key]
        if isinstance(found, BenchError):
            raise found
        return found

    return look


def _learning(experiment: Experiment) -> list[tuple[str, Mapping[str, Any]]]:
    """The extractors that a run needs trained, by place."""
    if "metric" not in experiment.uses:
        return []
    return [(p, s) for p, s in extractor_sections(experiment["metric"]) if s.get("steps")]


def _refused(experiment: Experiment) -> str | None:
    """Why a run cannot be, as far as that is known without images.

    A network cannot take λ, or a pretrained extractor cannot read the images.

    Raises:
        ConfigError: If what should learn λ is no network, or a class is not found.
    """
    check_found(experiment.config)
    ndim = experiment["dataset"]["ndim"]
    if experiment.conditioned:
        from bench.models.building import check_takes_weight  # torch

        try:
            check_takes_weight(experiment["model"], ndim, experiment.conditioned)
        except Unsupported as error:
            return str(error)
    if "metric" not in experiment.uses:
        return None
    for _, section in extractor_sections(experiment["metric"]):
        if "state_dict" in section:
            reasons = [
                build(dict(section), EXTRACTOR, ndim=ndim, image_channels=c, classes=1).supports(
                    ndim, c
                )
                for c in GREY_OR_COLOUR
            ]
            if all(reasons):
                return str(reasons[0])
    return None


def _find_run(cell: Cell, setup: Setup) -> None:
    experiment = cell.experiment
    run = Run.of(setup)
    cell.folder, network = run.folder, run.network()
    if network is not None:
        _, cell.network = network
    status, cell.reason, _ = cell.folder.standing()
    if status is Status.INTERRUPTED:
        places = [cell.folder, *([cell.network] if cell.network else [])]
        resumable = any(folder.is_resumable() for folder in places)
        status = Status.RESUMABLE if resumable else Status.MISSING
    cell.status = status
    if status in NOTHING_LEFT:
        return
    trained = {
        folder.path.name
        for folder in list_folders(experiment.results, EXTRACTORS)
        if folder.summary()
    }
    for one in (setup, *setup.judges().values()):
        identities = one.extractor_ids()
        for place, section in _learning(one.experiment):
            if not any(name.endswith(identities[place]) for name in trained):
                origin, _ = one.extractor(place)
                kind = section["_target_"].rpartition(".")[2]
                cell.surrogates.append(f"{origin.dataset.name} {kind} {identities[place]}")


def summaries_of(found: Iterable[Cell]) -> Iterator[dict[str, Any]]:
    """Summaries of the runs that have finished, each once even if cells are the same run.

    Damaged ones are left out, as they are of reports.
    """
    folders = {cell.folder.path: cell.folder for cell in found if cell.folder}
    for folder in folders.values():
        status, _, summary = folder.standing()
        if status is Status.FINISHED and summary:
            yield summary
