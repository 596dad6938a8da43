"""A network that an earlier run has trained, tested on another data set: `model.trained=RUN`."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.config.commands import BENCH, with_results
from bench.config.outside import check_code
from bench.config.recorded import check_recorded
from bench.errors import ConfigError

OF_THE_NETWORK = ("model", "metric", "regularizer", "trainer", "seed")  # taken from its run
OF_THE_DEVICE = ("accelerator", "devices", "compile", "progress")  # of the trainer, as given
OF_EACH_IMAGE = ("quantile", "zscore")  # policies that say nothing of the scale of the files


def with_trained_network(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The experiment of a finished run on another data set; trains nothing.

    Network, metric, regularizer, λ and seed come from the run, and so do intensities where its
    policy looks at the image only; everything else is as given.

    Args:
        sections: A resolved configuration whose `model.trained` names a run by its folder, the
            folder's name or its id; `trust` says whether classes outside the suite are built from
            what that run recorded.

    Returns:
        The sections; `model.trained` says which run it was: `run`, `folder`, `id`, `variant`, the
        name of the data set as `on`, and `ndim` and `channels` of its images.

    Raises:
        ConfigError: If there is no such run, it has not finished, has no network, or recorded
            something untrusted.
        StoreError: If its code has changed since.
    """
    given = str(sections["model"]["trained"])
    folder = _find(given, Path(sections["results_dir"]) / "runs")
    summary, data = (_read(folder / name) for name in ("summary.json", "data.json"))
    if summary is None or summary.get("status") != "finished":
        raise ConfigError(
            f"model.trained={given}: has not finished. Finish it first: run its command again."
        )
    path = folder / "config.yaml"
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        model = dict(config["model"])
        _ = model["name"], config["dataset"], [config[name] for name in OF_THE_NETWORK]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"model.trained={given}: its config.yaml is damaged. Rerun it with force=true."
        ) from error
    check_recorded(config, str(path), sections.get("trust", False), "pass trust=true")
    check_code(f"model.trained={given}", summary.get("code", {}), config)
    trains = "trainer" in model.get("uses", ["trainer"]) and "task" in summary
    if not trains or summary["task"] != "registration" or data is None:
        raise ConfigError(
            f"model.trained={given}: did not train a network (model={model['name']}). Name a run "
            "that trained one."
        )
    if model.get("refine"):
        raise ConfigError(
            f"model.trained={given}: refines the output of its network "
            f"(model.refine={model['refine']}). Name the run without refinement."
        )
    index = data["index"]
    trained = {
        "run": folder.name,
        "folder": str(folder.absolute()),
        "id": summary["id"],
        "variant": summary["variant"],
        "on": summary["dataset"],
        "ndim": len(index["shape"]),
        "channels": index["channels"],
    }
    ours = {key: value for key, value in sections["trainer"].items() if key in OF_THE_DEVICE}
    return {
        **sections,
        **{name: config[name] for name in OF_THE_NETWORK},
        "model": {**model, "uses": [], "trained": trained},
        "trainer": {**config["trainer"], **ours},
        "dataset": _with_intensity(sections["dataset"], config["dataset"], given),
    }


def refuse_contradiction(overrides: Sequence[str]) -> None:
    """Raises ConfigError if an override sets what the trained network determines."""
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    if "model.trained" not in keys:
        return
    for key, override in zip(keys, overrides, strict=True):
        section = key.partition(".")[0]
        if section in OF_THE_NETWORK and section != "trainer" and key != "model.trained":
            raise ConfigError(
                f"{override}: model.trained takes network, metric, regularizer, λ and seed from "
                "the run that it names. Leave this setting out."
            )


def _with_intensity(
    section: Mapping[str, Any], learned: Mapping[str, Any], given: str
) -> dict[str, Any]:
    """A data set with intensities as the network knows them."""
    policy, known = section.get("intensity") or {}, learned.get("intensity") or {}
    if known.get("policy") in OF_EACH_IMAGE:
        return {**section, "intensity": known}
    if policy.get("policy") == "zscore":
        raise ConfigError(
            f"dataset.intensity.policy=zscore: the network of model.trained={given} expects "
            f"intensities from 0 to 1 (policy={known.get('policy', 'quantile')}). Choose another "
            "policy."
        )
    return dict(section)


def _find(given: str, runs: Path) -> Path:
    if (Path(given) / "config.yaml").is_file():
        return Path(given)
    folders = runs.iterdir() if runs.is_dir() else ()
    found = [p for p in folders if p.name == given or p.name.endswith(f"-{given}")]
    found = [path for path in found if (path / "config.yaml").is_file()]
    if len(found) != 1:
        raise ConfigError(
            f"model.trained={given}: {len(found) or 'no'} {'runs' if found else 'run'} of this "
            f"name in {runs}. Give the folder of one run, or its id; "
            f"`{BENCH} runs{with_results(runs.parent)}` lists the ids."
        )
    return found[0]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
