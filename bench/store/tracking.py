"""Weights & Biases. A tracker that fails is switched off with one line; the run goes on.

What the user's environment says (`WANDB_MODE`, `WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_DIR`) counts
where the configuration leaves it open. Nothing is uploaded that nobody has asked for.
"""

import contextlib
import netrc
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.errors import ConfigError

GROUP = "WANDB_RUN_GROUP"  # the variable that W&B itself knows; sweeps set it
PROJECT = "registration-bench"
AUTO, ONLINE, OFFLINE, DISABLED = "auto", "online", "offline", "disabled"
MODES = (AUTO, ONLINE, OFFLINE, DISABLED)
ASKED_BY_MODE = {"online": ONLINE, "run": ONLINE, "offline": OFFLINE, "dryrun": OFFLINE}
TRUE = ("true", "1", "yes", "on")


class Tracker:
    """Takes what a run reports; this one keeps nothing (`tracker=none`)."""

    def log(self, row: Mapping[str, float]) -> None:
        """Logs one row of the history; `step` is the optimizer step."""

    def summarize(self, summary: Mapping[str, Any]) -> None:
        """Sets the final values."""

    def image(self, name: str, path: Path) -> None:
        """Logs a figure."""

    def table(self, name: str, frame: Any) -> None:
        """Logs a pandas frame."""

    def close(self, failed: bool = False) -> None:
        """Ends the run; `failed` marks it so."""


class WandbTracker(Tracker):
    """One Weights & Biases run.

    Args:
        settings: The `tracker` section: project, entity, mode, group.
        directory: Where offline files go, unless `WANDB_DIR` says where.
        run_id: Identity of the run; going on with a run goes on with its record when online.
        name: Name shown.
        job_type: `registration` or `extractor`.
        config: The run's configuration.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        directory: Path,
        run_id: str,
        name: str,
        job_type: str,
        config: Mapping[str, Any],
    ) -> None:
        self._run: Any = None
        self._failed = False
        self._kept = ""
        mode: Any = chosen_mode(settings["mode"])

        def start() -> None:
            import wandb

            place = Path(os.environ.get("WANDB_DIR") or directory)
            place.mkdir(parents=True, exist_ok=True)
            self._run = wandb.init(
                project=settings["project"] or os.environ.get("WANDB_PROJECT") or PROJECT,
                entity=settings["entity"] or os.environ.get("WANDB_ENTITY"),
                group=settings["group"],
                job_type=job_type,
                id=run_id,
                name=name,
                config=dict(config),
                dir=str(place),
                mode=mode,
                resume="allow" if mode == "online" else None,
                reinit="create_new",
                settings=wandb.Settings(silent=True, console="off"),
            )
            unasked = settings["mode"] == AUTO and not os.environ.get("WANDB_MODE")
            if mode == OFFLINE and unasked and has_credentials():
                self._kept = str(Path(self._run.dir).parent)

        self._attempt(start)

    def log(self, row: Mapping[str, float]) -> None:
        self._attempt(lambda: self._run.log(dict(row), step=int(row["step"])))

    def summarize(self, summary: Mapping[str, Any]) -> None:
        self._attempt(lambda: self._run.summary.update(flatten(summary)))

    def image(self, name: str, path: Path) -> None:
        def log() -> None:
            import wandb

            self._run.log({name: wandb.Image(str(path))})

        self._attempt(log)

    def table(self, name: str, frame: Any) -> None:
        def log() -> None:
            import wandb

            self._run.log({name: wandb.Table(dataframe=frame)})

        self._attempt(log)

    def close(self, failed: bool = False) -> None:
        if self._run is None:
            return
        if self._failed:
            with contextlib.suppress(Exception):
                self._run.finish(exit_code=1)
        else:
            self._attempt(lambda: self._run.finish(exit_code=1 if failed else 0))
        if self._kept and not self._failed:
            print(
                f"Weights & Biases: kept here. `wandb sync {self._kept}` uploads it; with "
                "WANDB_MODE=online or tracker.mode=online the next run is uploaded as it goes."
            )

    def _attempt(self, action: Callable[[], None]) -> None:
        """Does something with the run; after the first failure nothing is tried any more."""
        if self._failed:
            return
        try:
            action()
        except Exception as error:
            self._failed = True
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            print(f"Weights & Biases: {line}; the run goes on without it", file=sys.stderr)


def open_tracker(
    settings: Mapping[str, Any],
    results: Path,
    run_id: str,
    name: str,
    job_type: str,
    config: Mapping[str, Any],
) -> Tracker:
    """The tracker that the `tracker` section asks for."""
    if settings["name"] == "none" or chosen_mode(settings["mode"]) == DISABLED:
        return Tracker()
    group = settings["group"] or os.environ.get(GROUP) or config["dataset"]["name"]
    return WandbTracker({**settings, "group": group}, results, run_id, name, job_type, config)


def chosen_mode(mode: Any) -> str:
    """`online`, `offline` or `disabled`: as configured; with `auto` as the environment says it.

    A stored key is no request to upload; an agent of a sweep is.

    Raises:
        ConfigError: If there is no such mode.
    """
    if mode not in MODES:
        raise ConfigError(
            f"tracker.mode={mode}: must be one of {', '.join(MODES)}. tracker=none tracks nothing."
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


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined by `/`."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}/")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
