"""A composed configuration, resolved and checked."""

import copy
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from bench.config.composition import UNTUNED_WEIGHT, compose, tabulated_weight
from bench.config.conditioning import WeightRange, weight_range, with_range
from bench.config.groups import CONF, GROUPS, options
from bench.config.settings import TrainerSettings
from bench.config.synthesis import FACTOR, judging, with_factor
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
OF_EXTRACTORS = ("steps", "early_stopping")  # settings of the trainer that extractors have as keys
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
            raise own_cause(error) or error from None  # a resolver of ours explains itself
        assert isinstance(plain, dict)
        sections = {str(key): value for key, value in plain.items() if key != "tuned_weights"}
        if not str(sections["results_dir"] or "").strip():
            raise ConfigError("results_dir=: is empty. Name a folder.")
        task = sections.get("task")
        if isinstance(task, Mapping) and "uses" in task:  # it registers nothing
            sections["model"] = {key: task.get(key) for key in ("name", "uses")}
            sections["task"] = with_factor(task, sections["metric"])
        trained = sections["model"].get("trained")
        if trained is not None and not isinstance(trained, Mapping):
            sections = with_trained_network(sections)
        _check_names(sections)
        weight = sections["regularizer"]["weight"]
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not (is_number and 0 <= weight < math.inf):
            raise ConfigError(
                f"regularizer.weight={weight}: must be a number of at least 0. The papers use "
                "values from 0.005 to 2."
            )
        if sections["model"].get("conditioned") is not None:
            sections["model"] = with_range(sections["model"], _tuned_weight(config))
            _check_in_range(weight, sections["model"])
        seed = sections["seed"]
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise ConfigError(f"seed={seed}: must be a whole number of at least 0.")
        for switch in ("force", "trust"):
            if not isinstance(sections.get(switch, False), bool):
                raise ConfigError(f"{switch}={sections[switch]}: must be true or false.")
        _check_uses(sections["model"].get("uses", USES))
        augmentation = sections["dataset"].get("augmentation", {})
        if not isinstance(augmentation, Mapping):
            raise ConfigError(
                f"dataset.augmentation={augmentation}: must be a section, such as {{}} for none."
            )
        for place, section in extractor_sections(sections["metric"]):
            _check_extractor(place, section, sections["trainer"])
        return cls(sections, TrainerSettings.from_config(sections["trainer"]), config)

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
        return {
            name: Experiment.from_config(OmegaConf.create(config))
            for name, config in judging(self.config).items()
        }

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
    for name in SECTIONS:
        section = OmegaConf.select(config, name, throw_on_missing=False)
        if not isinstance(section, Mapping):
            raise ConfigError(f"{name}={section}: must be one of {', '.join(options(name))}.")
    for place in REQUIRED:
        section, _, key = place.rpartition(".")
        if key not in list(config[section] if section else config):
            raise ConfigError(f"{place} is missing. Set it, or drop ~{place}.")


def _tuned_weight(config: DictConfig) -> float:
    """The tuned λ for data set and metric; recorded configurations have no table of them."""
    table = "tuned_weights" in config
    return (tabulated_weight(config) if table else None) or UNTUNED_WEIGHT


def _check_in_range(weight: float, model: Mapping[str, Any]) -> None:
    """Raises ConfigError if a network that is conditioned on λ does not learn this one."""
    weights = weight_range(model)
    if weights is not None and weight not in weights:
        raise ConfigError(
            f"regularizer.weight={weight:g}: is outside the range that this network of "
            f"model.conditioned=lambda learns, λ of {weights}. Choose a λ in this range, or train "
            "with another model.lambda_range."
        )


def _check_uses(uses: Any) -> None:
    """Raises ConfigError unless a method says in a list which sections it uses."""
    if not isinstance(uses, list | tuple) or not set(uses) <= set(USES):
        raise ConfigError(f"model.uses={uses}: must be a list of some of {', '.join(USES)}.")


def _check_names(sections: Mapping[str, Any]) -> None:
    """Raises ConfigError for unknown sections, and for names that cannot name a folder."""
    known = {*GROUPS, *OmegaConf.load(CONF / "config.yaml")} - {"defaults", "hydra"}
    unknown = sorted(set(sections) - known)
    if unknown:
        raise ConfigError(f"Unknown {unknown[0]}. Known: {', '.join(sorted(known))}.")
    for section in ("dataset", "metric", "model"):
        name = sections[section]["name"]
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise ConfigError(
                f"{section}.name={name}: must consist of letters, digits, '.', '_', '+' and '-' "
                "and begin with a letter or digit; it names folders."
            )


def extractor_sections(
    metric: Mapping[str, Any], place: str = "metric"
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The `extractor` sections of a metric and its terms, each with its place."""
    if "extractor" in metric:
        yield place, metric["extractor"]
    for name, term in metric.get("terms", {}).items():
        yield from extractor_sections(term, f"{place}.terms.{name}")


def extractor_trainer(trainer: Mapping[str, Any], extractor: Mapping[str, Any]) -> dict[str, Any]:
    """The section `trainer` for an extractor, with the extractor's own settings."""
    lengths = {key: extractor[key] for key in OF_EXTRACTORS if key in extractor}
    return {**trainer, **(extractor.get("trainer") or {}), **lengths}


def extractor_augmentation(
    augmentation: Mapping[str, Any], extractor: Mapping[str, Any]
) -> dict[str, Any]:
    """The section `dataset.augmentation` for an extractor, with the extractor's own options."""
    return {**augmentation, **(extractor.get("augmentation") or {})}


def _check_extractor(place: str, section: Any, trainer: Mapping[str, Any]) -> None:
    """Raises ConfigError unless an `extractor` section defines a valid training."""
    option = f"{place}.extractor"
    if not isinstance(section, Mapping) or "_target_" not in section:
        raise ConfigError(f"{option}={section}: must be a section with _target_; see conf/metric/.")
    steps, dataset = section.get("steps"), section.get("dataset")
    counted = isinstance(steps, int) and not isinstance(steps, bool) and steps >= 0
    if "state_dict" not in section and not counted:
        raise ConfigError(f"{option}.steps={steps}: must be a whole number of at least 0.")
    if "channels" in section and not _are_widths(section["channels"]):
        raise ConfigError(
            f"{option}.channels={section['channels']}: must be a list of whole numbers above 0, "
            "one per stage, such as [16,32,64]."
        )
    if dataset is not None and not isinstance(dataset, str):
        raise ConfigError(f"{option}.dataset={dataset}: must be the name of one data set, or null.")
    if dataset is None and section.get("root") is not None:
        raise ConfigError(
            f"{option}.root={section['root']}: is for another data set; name that data set with "
            f"{option}.dataset. The folder of the run's data set is dataset.root."
        )
    for key in ("trainer", "augmentation"):
        if section.get(key) is not None and not isinstance(section[key], Mapping):
            raise ConfigError(f"{option}.{key}={section[key]}: must be a section, or null.")
    for key in sorted(section.get("trainer") or {}):
        if key in (*OF_EXTRACTORS, "dropout"):
            raise ConfigError(f"{option}.trainer.{key}: set {option}.{key}.")
        if key in ("name", "budget"):
            differing = sorted({entry.name for entry in fields(TrainerSettings)} - {*OF_EXTRACTORS})
            raise ConfigError(
                f"{option}.trainer.{key}: applies to the whole run. An extractor may differ in "
                f"{', '.join(differing)}."
            )
    if "state_dict" not in section:
        _check_training(option, section, trainer)


def _are_widths(channels: Any) -> bool:
    return (
        isinstance(channels, list)
        and bool(channels)
        and all(isinstance(c, int) and not isinstance(c, bool) and c > 0 for c in channels)
    )


def _check_training(option: str, section: Mapping[str, Any], trainer: Mapping[str, Any]) -> None:
    """Raises ConfigError if an extractor's trainer setting is out of range or unknown."""
    settings = extractor_trainer(trainer, section)
    try:
        TrainerSettings.from_config({**settings, "steps": max(settings["steps"], 1)})
    except ConfigError as error:
        mine = {key: f"{option}.trainer.{key}" for key in section.get("trainer") or {}}
        mine |= {key: f"{option}.{key}" for key in set(OF_EXTRACTORS) & set(section)}
        text = re.sub(r"\btrainer\.(\w+)", lambda found: mine.get(found[1], found[0]), str(error))
        raise ConfigError(text) from error
