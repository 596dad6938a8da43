"""What a run does: build, train, test, record."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.assembly import build_parts
from bench.checkpoints import load_network
from bench.config import Experiment
from bench.data.augmentation import Augmentation
from bench.data.loading import TrainingPairs, read_pairs
from bench.data.prepared import PreparedDataset
from bench.devices import device_name, network_precision, single_device
from bench.environment import environment
from bench.evaluation import summarize
from bench.extractors.obtain import train_or_load
from bench.extractors.transfer import Origin
from bench.registration import Registration, TestedPair, register, score_test_pairs
from bench.scores import SCORES
from bench.seeding import derive_seed
from bench.spatial import warp
from bench.store import BEST, CLASSES, FIGURE, PAIRS, Folder, write_csv
from bench.tracking import Tracker, open_tracker
from bench.training import fit


def execute(
    experiment: Experiment,
    dataset: PreparedDataset,
    data: Mapping[str, Any],
    transfers: Mapping[str, Origin],
    header: Mapping[str, Any],
    config: str,
    folder: Folder,
) -> dict[str, Any]:
    """Runs an experiment and records it.

    Args:
        experiment: The experiment.
        dataset: Its data.
        data: Settings and fingerprint of the data.
        transfers: Origins of extractors that learn on other data.
        header: What the run's summary begins with.
        config: The resolved configuration as YAML.
        folder: Where it is recorded; claimed by the caller.

    Returns:
        The summary.

    Raises:
        Unsupported: If metric, data and model do not go together; nothing has been written.
    """
    parts = build_parts(experiment, dataset, transfers)
    training = TrainingPairs(
        dataset,
        Augmentation.from_config(experiment["dataset"]["augmentation"]),
        experiment.seed,
    )
    if experiment["force"]:
        folder.set_aside()
    folder.start(dict(header), config, environment(device_name(experiment.settings)))
    for network, section, origin in parts.surrogates:
        train_or_load(network, origin or Origin(experiment, section, dataset, data))
    description = {
        "network": {
            **experiment["model"],
            "ndim": dataset.ndim,
            "image_channels": dataset.channels,
        },
        "run": dict(header),
    }
    task = Registration(
        f"{header['metric']} on {dataset.name}",
        parts.model,
        description,
        parts.similarity,
        parts.regularizer,
        experiment.weight,
        training,
    )
    tracker = open_tracker(
        experiment["tracker"],
        experiment.results,
        run_id=header["id"],
        name=folder.path.name,
        job_type="registration",
        config=experiment.config,
    )
    try:
        seed = derive_seed(experiment.seed, dataset.name, "registration")
        fitted = fit(task, experiment.settings, folder.path, seed, tracker.log)
        model = load_model(folder, parts.model, experiment)
        tested = list(score_test_pairs(model, dataset, single_device(experiment.settings)))
        write_rows(folder, tested, dataset.class_names)
        names = list(SCORES)
        summary = {
            **header,
            "steps": fitted.steps,
            "best_step": fitted.best_step,
            "scores": summarize([pair.after for pair in tested], names),
            "scores_before": summarize([pair.before for pair in tested], names),
            "validation": fitted.best,
            "training_seconds": fitted.seconds,
            "data": dataset.fingerprint,
            "classes": dataset.class_names,
        }
        draw_run(folder, model, dataset, tested, experiment)
        folder.finish(summary)
    except BaseException:
        tracker.close(failed=True)
        raise
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
    from bench.analysis.figures import draw_registration

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
