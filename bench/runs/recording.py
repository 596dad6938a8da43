"""What is kept of a trained run: scores of its test pairs, a figure, the summary."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.config.experiment import Experiment
from bench.data.batches.loading import read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.runs.run import Run
from bench.scores.evaluation import summarize
from bench.scores.registry import SCORES
from bench.spatial import warp
from bench.store.checkpoints import load_network
from bench.store.folder import BEST, CLASSES, FIGURE, PAIRS, Folder, write_csv
from bench.store.tracking import Tracker
from bench.tasks.registration.task import TestedPair, register, score_test_pairs
from bench.training.devices import network_precision, single_device
from bench.training.trainee import Fitted


def record(
    run: Run,
    fitted: Fitted,
    memory: int,
    model: nn.Module,
    dataset: PreparedDataset,
    tracker: Tracker,
) -> dict[str, Any]:
    """Tests the best checkpoint and writes rows, figure and, last of all, the summary.

    Args:
        run: The run.
        fitted: How it was trained.
        memory: Bytes that its training took.
        model: The network, to be filled with the best weights.
        dataset: The data.
        tracker: Gets the summary, and is closed.
    """
    experiment, folder = run.experiment, run.folder
    trained = load_model(folder, model, experiment)
    tested = list(score_test_pairs(trained, dataset, single_device(experiment.settings)))
    write_rows(folder, tested, dataset.class_names)
    names = list(SCORES)
    summary = {
        **run.header,
        "steps": fitted.steps,
        "best_step": fitted.best_step,
        "scores": summarize([pair.after for pair in tested], names),
        "scores_before": summarize([pair.before for pair in tested], names),
        "validation": fitted.best,
        "training_seconds": fitted.seconds,
        "training_memory": memory,
        "data": dataset.fingerprint,
        "classes": dataset.class_names,
    }
    draw_run(folder, trained, dataset, tested, experiment)
    folder.finish(summary)
    report(tracker, summary, folder)
    return folder.summary() or summary


def load_model(folder: Folder, model: nn.Module, experiment: Experiment) -> nn.Module:
    """The model with its best weights, on the device, in the precision of training."""
    load_network(folder.file(BEST), model)
    device = single_device(experiment.settings)
    precision = network_precision(experiment.settings)
    return Inference(model.to(device).eval(), device, precision)


class Inference(nn.Module):
    """A trained model under the precision it was trained in.

    Args:
        model: The registration network, in eval mode.
        device: Its device.
        precision: Precision of its layers.
    """

    def __init__(self, model: nn.Module, device: torch.device, precision: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.device = device
        self.precision = precision

    def forward(self, moving: Tensor, fixed: Tensor) -> Tensor:
        """Displacement (B, D, *S) in voxels."""
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            return self.model(moving, fixed)


def write_rows(folder: Folder, tested: Sequence[TestedPair], class_names: Sequence[str]) -> None:
    """Writes a row per test pair, and a row per test pair and foreground class."""
    pairs, classes = [], []
    for pair in tested:
        who = {"moving": pair.moving, "fixed": pair.fixed}
        before = {f"{name}_before": value for name, value in pair.before.items()}
        pairs.append({**who, **pair.after, **before})
        for i in range(1, len(pair.classes_after)):
            before = {f"{name}_before": v for name, v in pair.classes_before[i].items()}
            classes.append({**who, "class": class_names[i], **pair.classes_after[i], **before})
    for name, rows in ((PAIRS, pairs), (CLASSES, classes)):
        if rows:
            write_csv(folder.file(name), rows)


def draw_run(
    folder: Folder,
    model: nn.Module,
    dataset: PreparedDataset,
    tested: Sequence[TestedPair],
    experiment: Experiment,
) -> None:
    """Writes the figure of the test pair of median Dice (the first without labels)."""
    from bench.analysis.plots.registered import draw_registration

    order = sorted(range(len(tested)), key=lambda i: tested[i].after.get("dice", 0.0))
    chosen = order[len(order) // 2]
    batch = read_pairs(dataset, [dataset.pairs("test")[chosen]], single_device(experiment.settings))
    u, _ = register(model, batch)
    labels: list[Any] = [None, None, None]
    if batch.read_segmentations is not None:
        moving, fixed = batch.read_segmentations()
        warped = warp(moving, u, mode="nearest")
        labels = [label[0, 0].cpu().numpy() for label in (moving, fixed, warped)]
    draw_registration(
        folder.file(FIGURE),
        images=[i[0, 0].cpu().numpy() for i in (batch.moving, batch.fixed, warp(batch.moving, u))],
        labels=labels,
        displacement=u[0].cpu().numpy(),
        title=f"{experiment['metric']['name']} on {dataset.name}, "
        f"{tested[chosen].moving} to {tested[chosen].fixed}",
    )


def report(tracker: Tracker, summary: Mapping[str, Any], folder: Folder) -> None:
    """Hands summary and figure to the tracker and closes it."""
    tracker.image("registration", folder.file(FIGURE))
    tracker.summarize({**summary, **{name: s["mean"] for name, s in summary["scores"].items()}})
    tracker.close()
