"""Interprets a command line where its meaning is certain, and explains errors otherwise."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from bench.config.commands import RUN
from bench.config.groups import CONF, GROUPS, options
from bench.config.overrides import quoted
from bench.errors import ConfigError

PLACE = re.compile(
    r"(?:.*\.)?(?:results_dir|root|cache|folder|trained|state_dict|judgements|persons)"
)
RANGE = re.compile(r"\d+:\d+(:\d+)?")
TAKES_A_WORD = re.compile(r"-(c|i|p|sc|cp|cn|cd|-cfg|-info|-package|-(shell|config-|experim).*)")
BOTH = ("regularizer.weight", "regularizer.scale")
OF_REGISTRATION = ("model", "regularizer")


def understood(arguments: Sequence[str], sweeps: bool = True) -> list[str]:
    """Arguments of the command line, with paths quoted for Hydra.

    In a path, `~` is the home folder, and characters with a meaning for Hydra are literal. Prints
    which settings have no effect, as far as that is certain.

    Args:
        arguments: Settings, and options that begin with `-`.
        sweeps: Whether `-m` could run several values of a setting.

    Raises:
        ConfigError: If one is not a setting, or Hydra would read it as something unintended.
    """
    in_sweep = bool({"-m", "--multirun"} & set(arguments))
    found: list[str] = []
    settings: list[Override] = []
    for number, argument in enumerate(arguments):
        before = arguments[number - 1] if number else ""
        if argument.startswith("-") or TAKES_A_WORD.fullmatch(before):
            found.append(argument)
            continue
        if "=" not in argument and not argument.startswith("~"):
            raise ConfigError(_no_setting(argument, before))
        key, _, text = argument.partition("=")
        if argument.endswith(","):
            raise ConfigError(_no_setting(next(iter(arguments[number + 1 :]), ""), argument))
        if PLACE.fullmatch(key.lstrip("+")) and not argument.startswith("~"):
            argument = f"{key}={_place(key, text)}"
        override = _parsed(argument)
        _check(argument, override, in_sweep, sweeps)
        settings.append(override)
        found.append(argument)
    check_weight({str(override.key_or_group) for override in settings})
    for line in _without_effect(settings):
        print(line)
    return found


def check_weight(keys: set[str] | frozenset[str]) -> None:
    """Raises ConfigError if λ is set in two ways, one of which would have no effect."""
    if keys.issuperset(BOTH):
        raise ConfigError(
            f"{BOTH[1]}: scales the tuned weight and has no effect beside {BOTH[0]}. Leave one out."
        )


def _without_effect(settings: Sequence[Override]) -> Iterator[str]:
    """A line for settings of a registration beside a task that registers nothing."""
    chosen = [setting for setting in settings if setting.key_or_group == "task"]
    if not chosen or chosen[-1].is_sweep_override():
        return
    task = chosen[-1].value()
    file = CONF / "task" / f"{task}.yaml"
    if not file.is_file() or "uses" not in OmegaConf.load(file):
        return
    given = [
        str(setting.input_line)
        for setting in settings
        if str(setting.key_or_group).partition(".")[0] in OF_REGISTRATION
    ]
    if given:
        none = "has no effect" if len(given) == 1 else "have no effect"
        yield f"{' '.join(given)}: {none}, since task={task} registers nothing."


def _place(key: str, text: str) -> str:
    """Where files lie, in Hydra's grammar."""
    if not text.strip("'\" "):
        raise ConfigError(f"{key}={text}: is empty. Name a file or folder.")
    if key == "results_dir" and text == "null":
        raise ConfigError("results_dir=null: must be a folder, such as results.")
    home = text.strip("'\"") if re.match(r"['\"]?~", text) else ""
    if home:
        return quoted(os.path.expanduser(home))
    try:
        override = OverridesParser.create().parse_override(f"x={text}")
    except HydraException:
        return quoted(text)
    literal = key == "results_dir" and override.is_sweep_override()
    return quoted(text) if literal else text


def _parsed(argument: str) -> Override:
    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException as error:
        key, _, text = argument.partition("=")
        raise ConfigError(
            f"{argument}: Hydra gives some characters of this value a meaning. Write "
            f"{shlex.quote(f'{key}={quoted(text)}')}, with both kinds of quotes."
        ) from error


def _check(argument: str, override: Override, in_sweep: bool, sweeps: bool) -> None:
    """Raises ConfigError for values that Hydra would read as something unintended."""
    key, _, text = argument.partition("=")
    several = "-m " if sweeps else ""
    if key == "experiment":
        raise ConfigError(f"{argument}: an experiment is a sweep; add it with -m +{argument}")
    if key == "+experiment" and override.is_sweep_override():
        raise ConfigError(
            f"{argument}: a sweep takes one experiment, whose file says what it sweeps. Run one "
            "after the other."
        )
    if RANGE.fullmatch(text):
        raise ConfigError(
            f"{argument}: is not a number. For a range of values write "
            f"{several}{key}=range({text.replace(':', ',')})."
        )
    if override.is_sweep_override():
        if not in_sweep:
            what = f"To run them as a sweep, write -m {argument}. " if sweeps else ""
            raise ConfigError(
                f"{argument}: has several values. {what}To pass one value with a comma in it, "
                f"write {shlex.quote(f'{key}={quoted(text)}')}."
            )
        return
    value = None if override.is_delete() else override.value()
    group = key.lstrip("+")
    is_choice = isinstance(value, str | list | dict) or override.is_delete()
    if group in GROUPS and not is_choice:
        raise ConfigError(f"{argument}: must be one of {', '.join(options(group))}.")
    if group in GROUPS and isinstance(value, list | dict):
        names = ",".join(str(name) for name in value)
        raise ConfigError(
            f"{argument}: choose one option. To run several, one after the other, write -m "
            f"{key}={names}"
        )
    if key == "dataset" and isinstance(value, str) and ("/" in value or Path(value).is_dir()):
        raise ConfigError(
            f"{argument}: must name a kind of data set; give its folder separately: dataset=nifti "
            f"dataset.root={quoted(value)}, or tiff_stack, nnunet, brain, …"
        )


def _no_setting(argument: str, before: str) -> str:
    """Why a word is not a setting, and what the user may have meant."""
    if before.endswith(","):
        whole = f"{before}{argument}" if argument else before[:-1]
        return (
            f"{f'{before} {argument}'.rstrip()}: has a space after a comma. Write {whole} instead."
        )
    if Path(argument).exists() or "/" in argument:
        return (
            f"{argument}: is not a setting. To give a data set's folder, write "
            f"dataset.root={quoted(argument)}, or --root {shlex.quote(argument)} after `python -m "
            "bench data`."
        )
    return (
        f"{argument}: is not a setting; settings have the form KEY=VALUE. `{RUN} --help` lists "
        "them."
    )
