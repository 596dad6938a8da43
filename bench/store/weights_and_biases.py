"""Weights & Biases.

The user's environment (`WANDB_MODE`, `WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_DIR`) applies where
the configuration leaves a choice open. Nothing is uploaded without a request.
"""

import netrc
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.config.overrides import quoted
from bench.errors import ConfigError
from bench.store.tracker import Tracked, Tracker, flatten

GROUP = "WANDB_RUN_GROUP"  # the variable that W&B itself knows; sweeps set it
PROJECT = "registration-bench"
TAGGED = ("task", "dataset", "metric", "model")  # facts that runs are filtered by
LONGEST_TAG, LONGEST_NAME = 64, 128  # characters that W&B accepts in a tag, in an artifact's name
AUTO, ONLINE, OFFLINE, DISABLED = "auto", "online", "offline", "disabled"
MODES = (AUTO, ONLINE, OFFLINE, DISABLED)
ASKED_BY_MODE = {"online": ONLINE, "run": ONLINE, "offline": OFFLINE, "dryrun": OFFLINE}
TRUE = ("true", "1", "yes", "on")


class WandbTracker(Tracker):
    """One Weights & Biases run; a resumed run continues its record when online.

    Args:
        settings: The `tracker` section: project, entity, mode, group, artifacts.
        directory: Where offline files go, unless `WANDB_DIR` says where.
        tracked: The run.
    """

    def __init__(self, settings: Mapping[str, Any], directory: Path, tracked: Tracked) -> None:
        import wandb

        mode: Any = chosen_mode(settings["mode"])
        place = Path(os.environ.get("WANDB_DIR") or directory)
        place.mkdir(parents=True, exist_ok=True)
        tags = [str(tracked.facts[key])[:LONGEST_TAG] for key in TAGGED if tracked.facts.get(key)]
        self._name = tracked.name
        self._artifacts = settings["artifacts"]
        self._run = wandb.init(
            project=settings["project"] or os.environ.get("WANDB_PROJECT") or PROJECT,
            entity=settings["entity"] or os.environ.get("WANDB_ENTITY"),
            group=settings["group"],
            job_type=tracked.job_type,
            id=tracked.run_id,
            name=tracked.name,
            tags=list(dict.fromkeys(tags)),
            config=dict(tracked.config),
            dir=str(place),
            mode=mode,
            resume="allow" if mode == ONLINE else None,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        for name, goal in tracked.goals.items():
            self._run.define_metric(name, summary=f"{goal},last")
        unasked = settings["mode"] == AUTO and not os.environ.get("WANDB_MODE")
        keeps = mode == OFFLINE and unasked and has_credentials()
        self._kept = str(Path(self._run.dir).parent) if keeps else ""

    def log(self, row: Mapping[str, float]) -> None:
        self._run.log(dict(row), step=int(row["step"]))

    def summarize(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update(flatten(summary))

    def image(self, name: str, path: Path) -> None:
        import wandb

        self._run.log({name: wandb.Image(str(path))})

    def table(self, name: str, frame: Any) -> None:
        import wandb

        cells = frame.astype(object).where(frame.notna(), None)
        self._run.log({name: wandb.Table(dataframe=cells)})

    def checkpoint(self, paths: Sequence[Path]) -> None:
        if not self._artifacts:
            return
        import wandb

        name = re.sub(r"[^A-Za-z0-9_.-]", "-", self._name)[-LONGEST_NAME:]  # its end is the id
        artifact = wandb.Artifact(name, type="model")
        for path in paths:
            artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def close(self, failed: bool = False) -> None:
        self._run.finish(exit_code=1 if failed else 0)
        if self._kept:
            print(
                f"Weights & Biases: recorded offline. `wandb sync {self._kept}` uploads this run; "
                "WANDB_MODE=online or tracker.mode=online uploads the next one while it runs."
            )


def group_of(settings: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The group of a run: as configured, else the sweep, else the data set."""
    return settings["group"] or os.environ.get(GROUP) or config["dataset"]["name"]


def chosen_mode(mode: Any) -> str:
    """`online`, `offline` or `disabled`: as configured; with `auto` as the environment says it.

    A stored key is no request to upload; an agent of a sweep is.

    Raises:
        ConfigError: If there is no such mode.
    """
    if mode not in MODES:
        raise ConfigError(
            f"tracker.mode={quoted(mode)}: must be one of {', '.join(MODES)}. tracker=none tracks "
            "nothing."
        )
    if mode != AUTO:
        return mode
    asked = os.environ.get("WANDB_MODE", "").lower()
    if asked == DISABLED or os.environ.get("WANDB_DISABLED", "").lower() in TRUE:
        return DISABLED
    if asked and asked not in ASKED_BY_MODE:
        raise ConfigError(f"WANDB_MODE={asked}: must be one of {', '.join(MODES[1:])}.")
    return ASKED_BY_MODE.get(asked, ONLINE if os.environ.get("WANDB_SWEEP_ID") else OFFLINE)


def has_credentials() -> bool:
    """Whether an API key is in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        hosts = netrc.netrc(os.environ.get("NETRC")).hosts
    except (OSError, netrc.NetrcParseError):
        return False
    return any("wandb" in host for host in hosts)
