"""TensorBoard: event files, a folder for each run."""

from collections.abc import Mapping
from importlib.util import find_spec
from numbers import Real
from pathlib import Path
from typing import Any

from bench.config.groups import installing
from bench.errors import ConfigError
from bench.store.escaping import for_markdown
from bench.store.tracker import Tracked, Tracker, flatten

FOLDER = "tensorboard"  # below the results


class TensorBoardTracker(Tracker):
    """The events of one run, in `tensorboard/NAME` below the results.

    A run that goes on or runs anew adds to them: TensorBoard hides the former values from the first
    step on that is logged again.

    Args:
        directory: The results.
        tracked: The run.
    """

    def __init__(self, directory: Path, tracked: Tracked) -> None:
        self._folder = directory / FOLDER / tracked.name
        self._tracked = tracked
        self._writer: Any = None
        self._steps = 0

    def log(self, row: Mapping[str, float]) -> None:
        step = int(row["step"])
        writer = self._open(step)
        for name, value in row.items():
            if name != "step" and isinstance(value, Real):
                writer.add_scalar(name, value, step)
        self._steps = step

    def summarize(self, summary: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard.summary import hparams

        writer = self._open()
        finals = {name: v for name, v in flatten(summary).items() if _is_number(v)}
        facts = {name: v for name, v in self._tracked.facts.items() if v is not None}
        metrics = {f"final/{name}": value for name, value in finals.items() if name not in facts}
        for part in hparams(facts, metrics):
            writer.file_writer.add_summary(part)
        for name, value in metrics.items():
            writer.add_scalar(name, value, self._steps)

    def image(self, name: str, path: Path) -> None:
        import matplotlib.image

        picture = matplotlib.image.imread(path)[..., :3]  # (H, W, 3), 0 to 1
        self._open().add_image(name, picture, self._steps, dataformats="HWC")

    def table(self, name: str, frame: Any) -> None:
        rows = [frame.columns, ["---"] * len(frame.columns), *frame.itertuples(index=False)]
        lines = (" | ".join(for_markdown(_short(cell)) for cell in row) for row in rows)
        self._open().add_text(name, "\n".join(f"| {line} |" for line in lines), self._steps)

    def close(self, failed: bool = False) -> None:
        self._open().add_text("status", "failed" if failed else "finished", self._steps)
        self._writer.close()

    def _open(self, step: int = 0) -> Any:
        """The writer, which is opened when the first step is known and tells the configuration."""
        if self._writer is None:
            import yaml
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=step)
            lines = yaml.safe_dump(dict(self._tracked.config), sort_keys=False).splitlines()
            self._writer.add_text("config", "\n".join(f"    {line}" for line in lines), step)
            self._writer.add_text("job_type", self._tracked.job_type, step)
        return self._writer


def _short(cell: Any) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)  # nan: not measured


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def check_installed() -> None:
    """Raises ConfigError if TensorBoard's package is missing."""
    if find_spec("tensorboard") is None:
        raise ConfigError(
            "tracker=tensorboard: its package is not installed. To install it, run "
            f"`{installing('tensorboard')}`."
        )
