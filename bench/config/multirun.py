"""The configurations of the runs of a sweep."""

import copy
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.config.command_line import check_weight
from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.config.groups import GROUPS

OF_YOURS = ("_target_", "name")  # settings that say which class an option is of
TWICE_NULL = ["null", "null"]  # a choice of one value


def combinations(config: DictConfig) -> list[list[str]]:
    """The overrides of each run of a Hydra multirun.

    Raises:
        HydraException: If an option that is chosen does not exist.
    """
    return fit_to_options(product(config), of_the_file(config))[0]


def of_the_file(config: DictConfig) -> set[str]:
    """The keys that the file of an experiment sets in its runs, and the command line does not."""
    params = config.hydra.sweeper.get("params") or {}
    given = OverridesParser.create().parse_overrides(list(config.hydra.overrides.task))
    return set(params) - {override.key_or_group for override in given}


def product(config: DictConfig) -> list[list[str]]:
    """All combinations of the overrides of a Hydra multirun, valid or not."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return BasicSweeper.split_arguments(_of_sweep(config), None)[0]


def repeated_values(config: DictConfig) -> Iterator[str]:
    """A line for each override of a Hydra multirun that gives a value more than once."""
    for override in _of_sweep(config):
        if not override.is_sweep_override():
            continue
        values = list(override.sweep_string_iterator())
        repeated = [value for value, count in Counter(values).items() if count > 1]
        if repeated and values != TWICE_NULL:
            yield (
                f"{override.input_line}: gives {', '.join(repeated)} more than once; equal runs "
                "are one."
            )


def _of_sweep(config: DictConfig) -> list[Override]:
    params = config.hydra.sweeper.get("params") or {}
    overrides = [f"{key}={value}" for key, value in params.items()]
    return OverridesParser.create().parse_overrides([*overrides, *config.hydra.overrides.task])


def set_in_each_run(arguments: Sequence[str]) -> list[str]:
    """Arguments of a sweep over options of a group, whose settings are set in each run alone.

    Hydra composes the defaults of a multirun with every single value at first, and would refuse
    one that the default option of its group does not know: a choice is for the runs only.

    Args:
        arguments: Of the command line, in any order.
    """
    if not {"-m", "--multirun"} & set(arguments):
        return list(arguments)
    parser = OverridesParser.create()
    found = [_parsed(parser, argument) for argument in arguments]
    swept = {o.key_or_group for o in found if o is not None and o.is_sweep_override()}
    if any(o is not None and o.key_or_group == "experiment" for o in found):
        swept |= set(GROUPS)
    return [
        f"{'+' * o.is_add()}{o.key_or_group}={_choice(o.get_value_element_as_str())}"
        if o is not None
        and (_sets_a_key(o) or _adds_a_key(o))
        and not o.is_sweep_override()
        and o.key_or_group.partition(".")[0] in swept & set(GROUPS)
        else argument
        for argument, o in zip(arguments, found, strict=True)
    ]


def _choice(value: str) -> str:
    """A choice of one value; Hydra's `choice` refuses null, and equal runs are one."""
    return ",".join(TWICE_NULL) if value == "null" else f"choice({value})"


def _parsed(parser: OverridesParser, argument: str) -> Override | None:
    """An argument as an override; None for an option, or what Hydra will refuse."""
    try:
        return None if argument.startswith("-") else parser.parse_override(argument)
    except HydraException:
        return None


def fit_to_options(
    runs: Sequence[Sequence[str]], of_a_file: Collection[str] = ()
) -> tuple[list[list[str]], list[str]]:
    """Drops overrides from each run that only other options of the sweep know.

    `metric=deepsim_ae,ncc metric.extractor.steps=20` sets the steps where there is an extractor. Of
    an option whose class is to be given, such as `custom`, class, name and added keys are its own.
    Runs that are equal are one. What no option knows stays, for Hydra to refuse, unless it is the
    file of an experiment that sets it.

    Args:
        runs: The overrides of each run.
        of_a_file: The keys that the file of an experiment sets.

    Returns:
        The overrides that remain of each run, and a line for each key that is left out of some.
    """
    parsed = [_overrides(run) for run in runs]
    chosen = [
        {
            o.key_or_group: str(o.value())
            for o in run
            if o.key_or_group in GROUPS and o.package is None
        }
        for run in parsed
    ]
    compositions: dict[str, DictConfig] = {}
    lacking: dict[str, set[str]] = {}
    lines = []
    keys = {o.key_or_group: _adds_a_key(o) for run in parsed for o in run if _is_fitted(o)}
    for key, is_added in keys.items():
        group, _, setting = key.partition(".")
        options = list(dict.fromkeys(f"{group}={run[group]}" for run in chosen if group in run))
        if len(options) < 2 and key not in of_a_file:
            continue
        for option in options:
            if option not in compositions:
                compositions[option] = compose([option])
        yours = [option for option in options if _is_yours(compositions[option], group)]
        if is_added or (yours and setting in OF_YOURS):
            without = [option for option in options if option not in yours] if yours else []
        else:
            without = [option for option in options if not _knows(compositions[option], key)]
        knowing = [option for option in options if option not in without]
        if without and (knowing or key in of_a_file):
            lacking[key] = set(without)
            lines.append(
                f"{key} applies to {', '.join(knowing) or 'none of these'}; {', '.join(without)} "
                f"{'goes' if len(without) == 1 else 'go'} without it."
            )
    found: dict[tuple[Any, ...], list[str]] = {}
    for run, overrides, groups in zip(runs, parsed, chosen, strict=True):
        kept = [
            text
            for text, override in zip(run, overrides, strict=True)
            if not _is_lacking(override, groups, lacking)
        ]
        check_weight({str(override.key_or_group) for override in overrides})
        once = [(o.key_or_group, o.type, repr(o.value())) for o in _overrides(kept)]
        found.setdefault(tuple(once), kept)
    return [kept for kept in found.values()], lines


def _is_lacking(override: Override, groups: Mapping[str, str], lacking: Mapping[str, Any]) -> bool:
    key = override.key_or_group
    group = key.partition(".")[0]
    return _is_fitted(override) and f"{group}={groups.get(group)}" in lacking.get(key, ())


def _is_yours(config: DictConfig, group: str) -> bool:
    """Whether the option of a group leaves its class to be given, as `custom` does."""
    return OmegaConf.is_missing(config.get(group, {}), "_target_")


def _knows(config: DictConfig, key: str) -> bool:
    """Whether a configuration has a key, whatever its value."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, DictConfig) or node._is_none() or part not in node.keys():  # noqa: SIM118
            return False
        node = node._get_node(part)
    return True


def experiments(runs: Sequence[Sequence[str]]) -> list[Experiment]:
    """The configuration of each run.

    What only sets a value is set on a copy, so that choices of groups are composed once.

    Raises:
        ConfigError: If one is not valid.
        HydraException: If one names what does not exist.
    """
    composed: dict[tuple[str, ...], DictConfig] = {}
    found = []
    for run in runs:
        parsed = _overrides(run)
        choices = tuple(str(o.input_line) for o in parsed if not _sets_a_value(o))
        if any("." in choice.partition("=")[0] for choice in choices):
            found.append(Experiment.from_config(compose(list(run))))  # their order matters
            continue
        if choices not in composed:
            composed[choices] = compose(list(choices))
        config = copy.deepcopy(composed[choices])
        try:
            for override in parsed:
                if _sets_a_value(override):  # as Hydra sets it
                    OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:
            config = compose(list(run))  # says in Hydra's words what is wrong
        found.append(Experiment.from_config(config))
    return found


def _overrides(run: Sequence[str]) -> list[Override]:
    return [_override(text) for text in run]


@cache
def _override(text: str) -> Override:
    """An override of many runs of a sweep, to be read only."""
    return OverridesParser.create().parse_override(text)


def _is_fitted(override: Override) -> bool:
    return _sets_a_key(override) or _adds_a_key(override)


def _adds_a_key(override: Override) -> bool:
    return bool(override.is_add()) and "." in override.key_or_group


def _sets_a_key(override: Override) -> bool:
    return _sets(override) and "." in override.key_or_group


def _sets_a_value(override: Override) -> bool:
    """Whether an override only sets a value, of a section or at the top."""
    key = override.key_or_group
    chooses = key in GROUPS or bool({"/", "@"} & set(key)) or override.package is not None
    return _sets(override) and not chooses


def _sets(override: Override) -> bool:
    return not (override.is_add() or override.is_delete() or override.is_force_add())
