"""The command that reproduces a run, from its recorded configuration."""

import copy
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, DictConfig, open_dict

from bench.analysis.reading.records import used_sections
from bench.config.commands import RUN
from bench.config.composition import compose
from bench.config.experiment import Experiment
from bench.config.groups import GROUPS, option_files
from bench.config.identity import NOT_IDENTIFYING, digest
from bench.config.overrides import quoted
from bench.store.layout import REGISTRATION

CHOSEN = [group for group in GROUPS if group != "tracker"]
EXPLICIT = [group for group in CHOSEN if group != "task"]
SAID_ALREADY = {"regularizer.weight", "seed"}
IRRELEVANT = {
    *("results_dir", "force", "trust", "plan", "on_failure", "select", "refine", "tracker"),
    *("dataset.cache", "dataset.about", "dataset.recommended"),
    *(f"{group}.{name}" for group in ("trainer", "regularizer") for name in NOT_IDENTIFYING[group]),
}  # to the numbers, or only through values that are said themselves


def commands(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each configuration, with settings that differ from the default.

    Args:
        configs: Resolved configurations, as runs record them.
    """
    defaults: dict[tuple[str, ...], dict[str, Any]] = {}
    composed: dict[tuple[str, ...], DictConfig] = {}
    lines = []
    for config in configs:
        trained = config["model"].get("trained")
        groups = [group for group in CHOSEN if group != "task" or _names_task(config)]
        if trained:  # which says all of them
            groups = [group for group in groups if group in ("task", "dataset")]
        choices = tuple(o for group in groups for o in _choice(group, config[group]))
        if choices not in defaults:
            defaults[choices] = Experiment.from_config(_of_options(choices, composed)).config
        said = [f"seed={config['seed']}"]
        if "regularizer" in used_sections(config):
            said.insert(0, f"regularizer.weight={config['regularizer']['weight']}")
        if trained:
            said = [f"model.trained={quoted(trained['run'])}"]
            config = {**defaults[choices], **{group: config[group] for group in groups}}
        overrides = [*choices, *said, *_overrides(config, defaults[choices])]
        lines.append(f"{RUN} " + " ".join(shlex.quote(override) for override in overrides))
    return lines


def sweeps(configs: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for all configurations that differ in λ and seed only.

    Args:
        configs: Resolved configurations, as runs record them.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for config in configs:
        others = {name: section for name, section in config.items() if name in GROUPS}
        others["regularizer"] = {**config["regularizer"], "weight": None, "scale": None}
        groups.setdefault(digest(others), []).append(config)
    lines = commands(alike[0] for alike in groups.values())
    return sorted(_sweep(line, alike) for line, alike in zip(lines, groups.values(), strict=True))


def _sweep(line: str, alike: Sequence[Mapping[str, Any]]) -> str:
    """The command of the first configuration, with the values of all."""
    values = {
        "regularizer.weight": sorted({config["regularizer"]["weight"] or 0 for config in alike}),
        "seed": sorted({config["seed"] for config in alike}),
    }
    words = line.split(" ")
    for i, word in enumerate(words):
        name = word.partition("=")[0]
        if name in values:
            words[i] = f"{name}={','.join(f'{value:g}' for value in values[name])}"
    line = " ".join(words)
    return line if len(alike) == 1 else line.replace(RUN, f"{RUN} -m", 1)


def _of_options(
    choices: tuple[str, ...], composed: dict[tuple[str, ...], DictConfig]
) -> DictConfig:
    """The configuration of some choices, put together from others that have them.

    Args:
        choices: Overrides that choose options.
        composed: Sections by the choice that they are of, and configurations by the groups that
            were chosen; this adds to both.
    """
    groups = tuple(choice.partition("=")[0] for choice in choices)
    if not set(EXPLICIT) <= set(groups) <= set(GROUPS):  # a task chooses what is not said
        return compose(choices)
    if groups not in composed or any((choice,) not in composed for choice in choices):
        config = compose(choices)
        composed.setdefault(groups, config)
        for group, choice in zip(groups, choices, strict=True):
            composed[(choice,)] = config[group]
        return config
    config = copy.deepcopy(composed[groups])
    with open_dict(config):
        for group, choice in zip(groups, choices, strict=True):
            config[group] = composed[(choice,)]
    return config


def _names_task(config: Mapping[str, Any]) -> bool:
    """Whether the task is another than the usual, which older runs do not name."""
    return config.get("task", {}).get("name", REGISTRATION) != REGISTRATION


def _choice(group: str, section: Mapping[str, Any]) -> list[str]:
    """The overrides that choose a group's option, with the class where the option has none."""
    option = _option(group, section)
    if option != "custom":
        return [f"{group}={option}"]
    return [f"{group}=custom", f"{group}._target_={quoted(section['_target_'])}"]


def _option(group: str, section: Mapping[str, Any]) -> str:
    """The most similar option: of the section's class, else of its name, else of a class to give.

    A name alone says little: the fields of a tool, or a user's class, may be called as a method of
    the suite is. Where several are as similar, the one with the most alike keys.
    """
    files = {path.stem: path for path in option_files(group)}
    said = section.get("_target_")

    def difference(name: str) -> tuple[int, bool, int]:
        option = _content(files[name])
        its_own, is_named = option.get("_target_"), name == section["name"]
        if said in (None, its_own):
            unlike = 0
        elif is_named and str(said).startswith("bench."):  # a class of the suite that has moved
            unlike = 1
        else:
            unlike = 2 if its_own == MISSING else 3
        return unlike, not is_named, len(set(option) ^ set(section))

    return min(files, key=difference)


@cache
def _content(path: Path) -> dict[str, Any]:
    """What an option's file says."""
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _overrides(
    config: Mapping[str, Any], default: Mapping[str, Any], place: str = ""
) -> Iterator[str]:
    """What tells a configuration from the default; null counts as not there."""
    for name in {**default, **config}:
        key = f"{place}{name}"
        if key == "task" and not _names_task(config):
            continue
        if key in IRRELEVANT | SAID_ALREADY:
            continue
        value, usual = config.get(name), default.get(name)
        if name not in config:
            if usual is not None:
                yield f"~{key}"
        elif name not in default:
            yield f"+{key}={quoted(value)}"
        elif isinstance(value, Mapping) and isinstance(usual, Mapping):
            yield from _overrides(value, usual, f"{key}.")
        elif value != usual:
            yield f"{key}={quoted(value)}"
