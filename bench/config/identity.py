"""Identities of runs and extractors: hashes of everything that can change their numbers."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.config.contents import file_digest, folder_digest, table_digest
from bench.config.experiment import Experiment
from bench.config.extractors import extractor_augmentation, extractor_trainer
from bench.config.outside import code_outside
from bench.config.synthesis import FACTOR

SCHEMA = 5  # version of the numbers and of what a run records

# What cannot change the numbers, or changes them only through a value that is listed itself.
NOT_IDENTIFYING = {
    "trainer": {
        "name",
        "budget",
        "dropout",
        "checkpoint_every",
        "on_oom",
        "accelerator",
        "compile",
        "devices",
        "progress",
        "recompute",
    },
    "regularizer": {"scale"},
    "extractor": {"dataset", "root", "trainer", "augmentation", "early_stopping"},
}

# Options that were added to sections, with the values by which older runs have them.
ADDED: Mapping[str, Mapping[str, Any]] = {
    "model": {"flow_scale": 1, "backbone": "unet", "levels": "metric"},
    "extractor": {"early_stopping": None},
    "task": {
        **{"components": None, "smallest": 1, "controls": None},  # of changes
        **{"apart": None, "persons": None, "judgements": None},  # of perception
    },
}
INSERTED = {"kinds": ["blob", "cavity"], "radius": [4, 8], "seed": 0}  # by `dataset.insert: {}`
CONDITIONING = ("conditioned", "lambda_range")  # of the section `model`
DEFAULT_MODEL = "pyramid"  # not named in the folders of runs
PARTS = (
    "task",
    "metric",
    "regularizer",
    "model",
)  # sections whose classes may lie outside the suite


def digest(content: Any) -> str:
    """Short hash of anything that JSON can hold."""
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def dataset_identity(experiment: Experiment, data: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of the data that determine the numbers of a training.

    Args:
        experiment: The experiment.
        data: Settings and fingerprint of the prepared data set.
    """
    sampled = {key: experiment["dataset"][key] for key in ("name", "pairs", "augmentation")}
    return {**sampled, **data}


def extractor_identity(
    experiment: Experiment, extractor: Mapping[str, Any], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that determines the numbers of an extractor: data, network, training, seed.

    For a pretrained extractor these are its section and the content of its file; where that is
    null, the class names the file.
    """
    if "state_dict" in extractor:
        file = extractor["state_dict"]
        content = None if file is None else file_digest(file)
        return _with_code(extractor) | {**extractor, "state_dict": content}
    trainer = extractor_trainer(experiment["trainer"], extractor)
    dataset = dataset_identity(experiment, data)
    dataset["augmentation"] = extractor_augmentation(dataset["augmentation"], extractor)
    return _with_code(extractor) | {
        "schema": SCHEMA,
        "dataset": dataset,
        "extractor": _identifying("extractor", extractor),
        "trainer": _identifying("trainer", trainer),
        "seed": experiment.seed,
    }


def run_identity(
    experiment: Experiment, data: Mapping[str, Any], extractors: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that determines the numbers of a run; excludes paths, devices and tracking.

    It excludes what the method does not use: the trainer if the method trains nothing; metric and
    regularizer if it minimizes nothing.

    Args:
        experiment: The experiment.
        data: Settings and fingerprint of the prepared data set.
        extractors: The identities of the metric's extractors, by their place.
    """
    identity = _method_identity(experiment) | {
        "schema": SCHEMA,
        "dataset": _tested_identity(experiment, data),
        "seed": experiment.seed,
    }
    if "metric" in identity:
        identity["metric"] = _with_extractor_ids(identity["metric"], extractors, "metric")
    if "regularizer" in identity:
        identity["regularizer"] |= {"weight": experiment.weight}
    return identity


def variant_identity(experiment: Experiment, data: Mapping[str, Any]) -> dict[str, Any]:
    """What runs share among which λ, or c, is chosen: everything except it and the seed."""
    identity = _method_identity(experiment, of_trained="variant")
    identity["task"] = {k: v for k, v in identity["task"].items() if k != FACTOR}
    if "metric" in identity:
        identity["metric"] = _with_older_extractors(identity["metric"])
    return identity | {"dataset": _tested_identity(experiment, data)}


def network_identity(
    experiment: Experiment, data: Mapping[str, Any], extractors: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that determines the weights of a network conditioned on λ.

    This is what determines the numbers of its runs, without λ and the settings of the test;
    arguments as in `run_identity`.
    """
    identity = run_identity(experiment, data, extractors)
    identity["regularizer"] = {k: v for k, v in identity["regularizer"].items() if k != "weight"}
    identity["model"] = {k: v for k, v in identity["model"].items() if k != "refine"}
    identity["dataset"] = dataset_identity(experiment, data)
    return identity


def _tested_identity(experiment: Experiment, data: Mapping[str, Any]) -> dict[str, Any]:
    """What in the data determines the numbers of a test, changes of its images included."""
    insert = experiment["dataset"].get("insert")
    if insert is None:
        return dataset_identity(experiment, data)
    section = {"kinds": [insert]} if isinstance(insert, str) else insert
    whole = {name: _whole(value) for name, value in {**INSERTED, **section}.items()}
    return {**dataset_identity(experiment, data), "insert": whole}


def _method_identity(experiment: Experiment, of_trained: str = "id") -> dict[str, Any]:
    """The task, the method, and of the other sections what the method uses."""
    model = _model_identity(experiment["model"], of_trained)
    sections = {"task": _task_identity(experiment), "model": model}
    sections |= {name: _identifying(name, experiment[name]) for name in experiment.uses}
    if "regularizer" in sections:
        sections["regularizer"].pop("weight")
        if "trainer" not in sections:  # the validation pairs, by which λ is chosen
            sections["trainer"] = {
                "validation_pairs": experiment["trainer"].get("validation_pairs")
            }
    code = method_code(experiment)
    return ({"code": code} if code else {}) | sections


def _model_identity(section: Mapping[str, Any], of_trained: str) -> dict[str, Any]:
    """A folder that a method reads counts by its files, wherever it lies; a network that another
    run has trained by that run's id or variant. One that learns a single λ has no range of them."""
    if "folder" in section:
        return {**section, "folder": folder_digest(section["folder"])}
    trained = section.get("trained")
    unused = {"trained"} if section.get("conditioned") else {"trained", *CONDITIONING}
    others = {k: v for k, v in _identifying("model", section).items() if k not in unused}
    return {**others, "trained": trained[of_trained]} if trained else others


def method_code(experiment: Experiment) -> dict[str, str]:
    """SHA-256 of the files outside the suite whose code a run's method runs, by module."""
    uses = [name for name in PARTS if name in ("task", "model", *experiment.uses)]
    return code_outside(*(experiment[name] for name in uses))


def _task_identity(experiment: Experiment) -> dict[str, Any]:
    """The section `task`; a table that it names counts by its content, wherever it lies."""
    section = {**_identifying("task", experiment["task"]), **task_tables(experiment)}
    return {name: _whole(value) for name, value in section.items()}


def task_tables(experiment: Experiment) -> dict[str, str]:
    """SHA-256 of the tables that the section `task` names, by option; empty if it names none."""
    root = Path(experiment["dataset"].get("root") or "")
    named = {"persons": (root, False), "judgements": (Path(), True)}
    section = experiment["task"]
    return {
        name: table_digest(folder / section[name], images)
        for name, (folder, images) in named.items()
        if isinstance(section.get(name), str)
    }


def _whole(value: Any) -> Any:
    """A number, or each of a list, without decimals where they are 0: 34.0 dB are 34 dB."""
    if isinstance(value, list):
        return [_whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _with_code(section: Mapping[str, Any]) -> dict[str, Any]:
    code = code_outside(section)
    return {"code": code} if code else {}


def _identifying(section: str, content: Mapping[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in content.items() if k not in NOT_IDENTIFYING.get(section, ())}
    return _as_before(section, kept)


def _as_before(section: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """A section without the added options that leave everything as it was."""
    added = ADDED.get(section, {})
    return {k: v for k, v in content.items() if k not in added or v != added[k]}


def _with_extractor_ids(
    metric: Mapping[str, Any], extractors: Mapping[str, str], place: str
) -> dict[str, Any]:
    found = _identifying("metric", metric)
    if place in extractors:
        found["extractor"] = extractors[place]
    if "terms" in found:
        found["terms"] = {
            name: _with_extractor_ids(term, extractors, f"{place}.terms.{name}")
            for name, term in found["terms"].items()
        }
    return found


def _with_older_extractors(metric: Mapping[str, Any]) -> dict[str, Any]:
    """A metric whose extractors are told from each other as those of older runs are."""
    found = dict(metric)
    if isinstance(extractor := found.get("extractor"), Mapping):
        found["extractor"] = _as_before("extractor", extractor)
    if "terms" in found:
        found["terms"] = {n: _with_older_extractors(term) for n, term in found["terms"].items()}
    return found


def run_name(experiment: Experiment, run_id: str) -> str:
    """Name of a run's folder: readable, and unique by its hash."""
    tuned = experiment.tuned
    return _name(experiment, None if tuned is None else f"{tuned:g}", run_id)


def network_name(experiment: Experiment, identity: str) -> str:
    """Name of the folder of a network conditioned on λ, in the same form."""
    return _name(experiment, "lambda", identity)


def _name(experiment: Experiment, weight: str | None, identity: str) -> str:
    uses, model = experiment.shaped_by, experiment["model"]["name"]
    parts = [experiment["dataset"]["name"]]
    if "metric" in uses:
        parts.append(experiment["metric"]["name"])
    if "metric" not in uses or model != DEFAULT_MODEL:
        parts.append(model)
    if weight is not None:
        parts.append(weight)
    return "-".join([*parts, f"seed{experiment.seed}", identity])
