"""The configurations of the runs of a sweep."""

import copy
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.config.composition import compose
from bench.config.experiment import Experiment


def combinations(config: DictConfig) -> list[list[str]]:
    """The overrides of each run, from the configuration of a Hydra multirun."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    params = config.hydra.sweeper.get("params") or {}
    overrides = [f"{key}={value}" for key, value in params.items()]
    parsed = OverridesParser.create().parse_overrides([*overrides, *config.hydra.overrides.task])
    return BasicSweeper.split_arguments(parsed, None)[0]


def experiments(runs: Sequence[Sequence[str]]) -> list[Experiment]:
    """The configuration of each run.

    What only sets a value is set on a copy, so that choices of groups are composed once.

    Raises:
        ConfigError: If one is not valid.
        HydraException: If one names what does not exist.
    """
    composed: dict[tuple[str, ...], DictConfig] = {}
    parser = OverridesParser.create()
    found = []
    for run in runs:
        parsed = parser.parse_overrides(list(run))
        choices = tuple(str(o.input_line) for o in parsed if not _sets_a_value(o))
        if any("." in choice.partition("=")[0] for choice in choices):
            found.append(Experiment.from_config(compose(list(run))))  # their order matters
            continue
        if choices not in composed:
            composed[choices] = compose(list(choices))
        config = copy.deepcopy(composed[choices])
        try:
            for override in parsed:
                if _sets_a_value(override):
                    OmegaConf.update(config, override.key_or_group, override.value(), merge=False)
        except OmegaConfBaseException:
            config = compose(list(run))  # says in Hydra's words what is wrong
        found.append(Experiment.from_config(config))
    return found


def _sets_a_value(override: Override) -> bool:
    if override.is_add() or override.is_delete() or override.is_force_add():
        return False
    return "." in override.key_or_group and isinstance(override.value(), int | float | str | list)
