"""TensorBoard: what a run leaves there, read back by its reader of events."""

import io
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
import yaml

from .conftest import DEMO, Command, at, only_run, read_rows, read_summary, run_folders

RUN = [*(word for word in DEMO if not word.startswith("tracker=")), "metric=mse"]
TRACKED = "tracker=tensorboard"


@pytest.fixture
def _installed() -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard has it")


def events(results: Path, name: str) -> Any:
    """All that is recorded of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(results / "tensorboard" / name)).Reload()


def text(found: Any, name: str) -> str:
    [event] = found.Tensors(f"{name}/text_summary")
    return event.tensor_proto.string_val[0].decode()


@pytest.mark.usefixtures("_installed")
def test_run_is_tracked_with_configuration_history_scores_and_figure(
    results: Path, run: Command
) -> None:
    outcome = run(*RUN, TRACKED, at(results))
    assert (outcome.code, outcome.err) == (0, "")
    folder = only_run(results)
    summary, found = read_summary(folder), events(results, folder.name)
    rows = read_rows(folder / "history.csv")
    for name in ("val_loss", "train_loss", "val_dice", "lr"):
        logged = [(event.step, event.value) for event in found.Scalars(name)]
        assert logged == [(int(row["step"]), pytest.approx(float(row[name]))) for row in rows]
    [dice] = found.Scalars("final/scores/dice/mean")
    assert dice.value == pytest.approx(summary["scores"]["dice"]["mean"])
    [seconds] = found.Scalars("final/train_seconds")
    assert seconds.value == pytest.approx(summary["training_seconds"])
    [image] = found.Images("registration")
    drawn = matplotlib.image.imread(folder / "figure.png")
    shown = matplotlib.image.imread(io.BytesIO(image.encoded_image_string))
    assert (shown[..., :3] == drawn[..., :3]).all()
    assert yaml.safe_load(text(found, "config"))["metric"]["name"] == "mse"
    assert text(found, "status") == "finished"
    table = text(found, "pairs").splitlines()
    pairs = read_rows(folder / "pairs.csv")
    assert table[0].strip("| ").split(" | ") == list(pairs[0])
    assert len(table) == 2 + len(pairs)
    assert all(pair["moving"] in row for pair, row in zip(pairs, table[2:], strict=True))
    plugin = found.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert plugin.plugin_name == "hparams"
    assert b"pyramid" in plugin.content


@pytest.mark.usefixtures("_installed")
def test_rerun_replaces_what_the_first_one_logged(results: Path, run: Command) -> None:
    for _ in range(2):
        assert run(*RUN, TRACKED, "force=true", at(results)).code == 0
    found = events(results, only_run(results).name)
    assert [event.step for event in found.Scalars("val_loss")] == [5, 6]


@pytest.mark.usefixtures("_installed")
def test_failed_run_is_tracked_as_failed(results: Path, run: Command) -> None:
    metric = ["metric.name=custom", "metric._target_=custom_parts.NanFrom", "+metric.first=6"]
    assert run(*RUN, *metric, TRACKED, at(results)).code == 1
    found = events(results, only_run(results).name)
    assert text(found, "status") == "failed"
    assert [event.step for event in found.Scalars("val_loss")] == [5]


def test_missing_package_is_said_before_anything_is_trained(
    results: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.store.tensorboard.find_spec", lambda name: None)
    assert run(*RUN, TRACKED, at(results)).line == (
        "tracker=tensorboard: its package is not installed. To install it, run `pip install "
        '-c constraints.txt -e ".[tensorboard]"`.'
    )
    assert run_folders(results) == []
