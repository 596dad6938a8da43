"""A composed configuration, resolved and checked."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from bench.config.composition import UNTUNED_WEIGHT, compose, tabulated_weight
from bench.config.conditioning import WeightRange, check_in_range, weight_range, with_range
from bench.config.extractors import check_metric, extractor_trainer
from bench.config.groups import options, sections
from bench.config.numbers import LARGEST_WEIGHT, is_number, is_weight
from bench.config.overrides import quoted
from bench.config.settings import TrainerSettings
from bench.config.synthesis import FACTOR, JUDGES, judging, with_factor
from bench.config.trained import with_trained_network
from bench.errors import ConfigError, own_cause

CACHE = "cache"  # folder of the caches below that of the results
USES = ("metric", "regularizer", "trainer")  # by a network that is trained
SECTIONS = ("dataset", "metric", "regularizer", "model", "trainer", "tracker")
REQUIRED = (
    "seed",
    "results_dir",
    "regularizer.weight",
    "dataset.name",
    "metric.name",
    "model.name",
)
NAME = re.compile(r"[^\W_][\w.+-]*")


@dataclass(frozen=True)
class Experiment:
    """A composed configuration, resolved and checked.

    Attributes:
        config: Every section as plain dicts and lists.
        settings: The trainer's settings for the registration.
        composed: The configuration before interpolations were resolved.
    """

    config: dict[str, Any]
    settings: TrainerSettings
    composed: DictConfig = field(repr=False)

    @classmethod
    def from_config(cls, config: DictConfig) -> "Experiment":
        """Resolves and checks a configuration.

        Raises:
            ConfigError: Naming the value, what is allowed and what to do.
        """
        _check_sections(config)
        try:
            plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        except MissingMandatoryValue as error:
            raise ConfigError(
                f"{error.full_key} is missing. Pass it, for example "
                f"{error.full_key}=my_module.MyClass."
            ) from None
        except OmegaConfBaseException as error:
            raise own_cause(error) or _unresolved(error) from None  # a resolver explains itself
        assert isinstance(plain, dict)
        sections = {str(key): value for key, value in plain.items() if key != "tuned_weights"}
        if not str(sections["results_dir"] or "").strip():
            raise ConfigError("results_dir=: is empty. Name a folder.")
        _check_path("results_dir", sections["results_dir"])
        if (root := sections["dataset"].get("root")) is not None:
            _check_path("dataset.root", root)
        task = sections.get("task", {})
        of_task = "uses" in task  # it registers nothing
        if of_task:
            sections["model"] = {key: task[key] for key in ("name", "uses")}
            sections["task"] = with_factor(task, sections["metric"])
        trained = sections["model"].get("trained")
        if trained is not None and not isinstance(trained, Mapping):
            sections = with_trained_network(sections)
        _check_names(sections)
        weight = sections["regularizer"]["weight"]
        if not is_weight(weight):
            raise ConfigError(
                f"regularizer.weight={quoted(weight)}: must be a number from 0 to "
                f"{LARGEST_WEIGHT:g}. The papers use values from 0.005 to 2."
            )
        if sections["model"].get("conditioned") is not None:
            tuned = _tuned_weight(config)
            sections["model"] = with_range(sections["model"], tuned)
            check_in_range(sections["regularizer"], tuned, sections["model"])
        elif sections["model"].get("lambda_range") is not None:
            raise ConfigError(
                f"model.lambda_range={quoted(sections['model']['lambda_range'])}: has an effect "
                "only with model.conditioned=lambda. Set that, or leave model.lambda_range out."
            )
        seed = sections["seed"]
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"seed={quoted(seed)}: must be a whole number of at least 0.")
        for switch in ("force", "trust"):
            if not isinstance(sections.get(switch, False), bool):
                raise ConfigError(f"{switch}={quoted(sections[switch])}: must be true or false.")
        section = "task" if of_task else "model"
        _check_uses(section, sections[section].get("uses", USES))
        augmentation = sections["dataset"].get("augmentation", {})
        if not isinstance(augmentation, Mapping):
            raise ConfigError(
                f"dataset.augmentation={quoted(augmentation)}: must be a section, such as {{}} for "
                "none."
            )
        check_metric(sections["metric"], sections["trainer"])
        experiment = cls(sections, TrainerSettings.from_config(sections["trainer"]), config)
        experiment.judges()
        return experiment

    def on(self, dataset: str, root: str | None) -> "Experiment":
        """The same experiment on another data set, with that data set's recommendations.

        Args:
            dataset: An option of the group.
            root: Its folder; None for the default.
        """
        config = copy.deepcopy(self.composed)
        with open_dict(config):
            cache = config.dataset.get("cache")
            config.dataset = compose([f"dataset={dataset}"]).dataset
            config.dataset.cache = cache
            if root is not None:
                config.dataset.root = root
        return Experiment.from_config(config)

    def with_config(self, config: Mapping[str, Any]) -> "Experiment":
        """An experiment from a resolved configuration, with this one's folder and trust."""
        ours = {"results_dir": self["results_dir"], "trust": self.config.get("trust", False)}
        return Experiment.from_config(OmegaConf.create({**config, **ours}))

    def __getitem__(self, section: str) -> Any:
        return self.config[section]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.config["seed"]

    @property
    def uses(self) -> tuple[str, ...]:
        """Sections of the configuration that the method uses: `metric`, `regularizer`, `trainer`.

        A task that registers nothing has `uses` itself, and stands in the method's place.
        """
        return tuple(self.config["model"].get("uses", USES))

    @property
    def trained(self) -> Mapping[str, Any] | None:
        """The run whose network is tested, see `bench.config.trained`; None if there is none."""
        return self.config["model"].get("trained")

    @property
    def shaped_by(self) -> tuple[str, ...]:
        """What distinguishes the method: the sections that it uses, or that trained its network."""
        return USES if self.trained else self.uses

    @property
    def weight(self) -> float:
        """λ."""
        return float(self.config["regularizer"]["weight"])

    @property
    def tuned(self) -> float | None:
        """What is chosen on validation: λ, or c of a synthesis; None if nothing is."""
        if "regularizer" in self.shaped_by:
            return self.weight
        factor = self.config["task"].get(FACTOR) if "task" in self.config else None
        return None if factor is None else float(factor)

    def judges(self) -> dict[str, "Experiment"]:
        """The same experiment for each metric by which the task judges, under the judges' seed."""
        found = {}
        for name, config in judging(self.config).items():
            try:
                found[name] = Experiment.from_config(OmegaConf.create(config))
            except ConfigError as error:
                place = f"task.{JUDGES}.{name}"
                raise ConfigError(re.sub(r"\bmetric\b", place, str(error), count=1)) from error
        return found

    @property
    def conditioned(self) -> WeightRange | None:
        """The λ that the network learns as its input; None if it learns one λ, or there is none."""
        return weight_range(self.config["model"])

    @property
    def results(self) -> Path:
        """Folder for everything that is written."""
        return Path(self.config["results_dir"])

    @property
    def cache(self) -> Path | None:
        """Folder of the caches; None if `dataset.cache=none`."""
        place = self.config["dataset"].get("cache")
        if str(place).lower() == "none" and place is not None:
            return None
        return self.results / CACHE if place is None else Path(place)

    def source_arguments(self) -> dict[str, Any]:
        """The section `dataset` without what other parts read from it."""
        others = ("recommended", "augmentation", "cache", "about")
        return {key: value for key, value in self["dataset"].items() if key not in others}

    def extractor_settings(self, extractor: Mapping[str, Any]) -> TrainerSettings:
        """The trainer's settings for an extractor: the run's, except for those in its section."""
        return TrainerSettings.from_config(extractor_trainer(self["trainer"], extractor))


def _check_sections(config: DictConfig) -> None:
    """Raises ConfigError if a section is not a section, or lacks a required key."""
    of_task = ("task",) if "task" in config or "tuned_weights" in config else ()  # not if recorded
    for name in (*SECTIONS, *of_task):
        section = OmegaConf.select(config, name, throw_on_missing=False)
        if not isinstance(section, Mapping):
            raise ConfigError(
                f"{name}={quoted(section)}: must be one of {', '.join(options(name))}."
            )
    for place in (*REQUIRED, *(f"{name}.name" for name in of_task)):
        section, _, key = place.rpartition(".")
        if key not in list(config[section] if section else config):
            raise ConfigError(f"{place} is missing. Set it, or drop ~{place}.")


def _tuned_weight(config: DictConfig) -> float:
    """The tuned λ for data set and metric; recorded configurations have no table of them."""
    table = "tuned_weights" in config
    return (tabulated_weight(config) if table else None) or UNTUNED_WEIGHT


def _unresolved(error: OmegaConfBaseException) -> Exception:
    """What to raise for a value that refers to one that is not there; any other error as it is."""
    lacking = re.search(r"Interpolation key '(.*?)' not found|trying to access (\S+):", str(error))
    if lacking is None:
        return error
    place = lacking[1] or lacking[2]
    return ConfigError(
        f"{error.full_key}: reads {place}, which is missing. Restore it, or set {error.full_key} "
        "itself."
    )


def _check_uses(section: str, uses: Any) -> None:
    """Raises ConfigError unless a method, or a task, says in a list which sections it uses."""
    if not isinstance(uses, list | tuple) or not all(name in USES for name in uses):
        raise ConfigError(
            f"{section}.uses={quoted(uses)}: must be a list of some of {', '.join(USES)}."
        )


def _check_path(setting: str, path: Any) -> None:
    """Raises ConfigError for what is no path, such as a name that was read as a number."""
    if not isinstance(path, str):
        advice = f"Write {setting}=./{path}." if is_number(path) else "Name one folder."
        raise ConfigError(f"{setting}={quoted(path)}: is not a path. {advice}")


def _check_names(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for unknown sections, and for names that cannot name a folder."""
    unknown = sorted(set(config) - sections())
    if unknown:
        raise ConfigError(f"Unknown {unknown[0]}. Known: {', '.join(sorted(sections()))}.")
    task = config.get("task", {})
    named = ("dataset", "metric", *(["task"] if task else []), "model")
    for section in named:
        name = config[section]["name"]
        if not isinstance(name, str) or not NAME.fullmatch(name):
            if is_number(name):
                raise ConfigError(f"{section}.name={name}: is a number. Begin it with a letter.")
            if isinstance(name, bool | float):
                word = quoted(name)
                raise ConfigError(
                    f"{section}.name={word}: is read as a number or truth value. Quote it: "
                    f"'{section}.name=\"{word}\"'."
                )
            raise ConfigError(
                f"{section}.name={quoted(name)}: must consist of letters, digits, '.', '_', '+' "
                "and '-' and begin with a letter or digit; it names folders."
            )
    of_suite = re.match(r"bench\.tasks\.(\w+)\.", str(task.get("_target_")))
    if of_suite is not None and task["name"] != of_suite[1]:
        raise ConfigError(
            f"task.name={task['name']}: {task['_target_']} is the task {of_suite[1]}. Leave "
            "task.name out; it names a task that you wrote, with another task._target_."
        )
