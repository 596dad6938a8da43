"""The qualitative panel: one test pair under several trained networks."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from bench.analysis.plots.panel import Registered, draw_panel
from bench.analysis.plots.style import save, styled
from bench.analysis.reading.rows import read_rows
from bench.config.experiment import Experiment
from bench.config.identity import DEFAULT_MODEL
from bench.data.batches.loading import read_pairs
from bench.errors import StoreError
from bench.models.method import displacement_by
from bench.pair import Pair
from bench.runs.trained import finished_summary, load_run
from bench.spatial.displacement import warp
from bench.spatial.jacobian import jacobian_determinant
from bench.store.files import make_folder
from bench.store.folder import Folder
from bench.store.layout import PAIRS
from bench.tasks.registration.figure import landmarks_of

UNREGISTERED = "unregistered"


def draw(folders: Sequence[Folder], pair: str | None, out: Path, trust: bool = False) -> list[Path]:
    """Writes the panel as PNG and PDF.

    Args:
        folders: Finished runs on the same test pairs.
        pair: MOVING,FIXED; None for the test pair of median Dice.
        out: Output path, without suffix.
        trust: Whether to build classes outside the suite that the runs recorded.

    Returns:
        The files.

    Raises:
        StoreError: If a run has not finished or is no registration, runs have different test
            pairs, or there is no such pair.
    """
    moving, fixed = find_pair(folders, pair)
    batch, columns = register_pair(folders, moving, fixed, trust)
    labels = batch.segmentations[1] if batch.has_labels else None
    summary = finished_summary(folders[0])
    make_folder(out.parent)
    with styled():
        figure = draw_panel(
            batch.fixed[0].cpu().numpy(),
            None if labels is None else labels[0, 0].cpu().numpy(),
            columns,
            f"{moving} to {fixed}, {summary['dataset']}",
            summary["classes"],
        )
        save(figure, out)
    return [out.with_suffix(".png"), out.with_suffix(".pdf")]


def find_pair(folders: Sequence[Folder], pair: str | None) -> tuple[str, str]:
    """Moving and fixed subject of a test pair that all runs have.

    Args:
        folders: Finished runs on the same test pairs.
        pair: MOVING,FIXED; None for the test pair of median Dice.

    Raises:
        StoreError: If a run has not finished or is no registration, runs have different test
            pairs, or there is no such pair.
    """
    tables = _test_pairs(folders)
    if pair is None:
        return median_pair(tables)
    parts = pair.split(",")
    if len(parts) != 2:
        raise StoreError(f"--pair {pair}: must be MOVING,FIXED.")
    if tuple(parts) not in tables[0].index:
        raise StoreError(
            f"--pair {pair}: is not a test pair of {folders[0].path.name}. Name one as "
            "MOVING,FIXED; pairs.csv of the run lists them."
        )
    return parts[0], parts[1]


def _test_pairs(folders: Sequence[Folder]) -> list[pd.DataFrame]:
    """Scores of the runs by moving and fixed subject."""
    tables = []
    for folder in folders:
        finished_summary(folder)
        rows = read_rows(folder.file(PAIRS))
        tables.append(rows.set_index(["moving", "fixed"]))
    for folder, table in zip(folders, tables, strict=True):
        if not table.index.equals(tables[0].index):
            raise StoreError(
                f"{folder.path.name}: has other test pairs than {folders[0].path.name}, but a "
                "figure shows one pair. Name runs with the same test pairs."
            )
    return tables


def median_pair(tables: Sequence[pd.DataFrame]) -> tuple[str, str]:
    """The test pair of median Dice, averaged over runs; without labels, the first pair.

    Args:
        tables: Scores of runs by moving and fixed subject.
    """
    if "dice" not in tables[0]:
        return tuple(tables[0].index[0])
    dice = pd.concat([table["dice"] for table in tables], axis=1).sum(axis=1, skipna=False)
    dice = dice.sort_values(kind="stable").dropna()
    return tuple(dice.index[len(dice) // 2])


def register_pair(
    folders: Sequence[Folder], moving: str, fixed: str, trust: bool = False
) -> tuple[Pair, list[Registered]]:
    """The unregistered pair, then the pair as each run's network registers it.

    Args:
        folders: Finished runs on one data set.
        moving: Moving subject of a test pair.
        fixed: Its fixed subject.
        trust: Whether to build classes outside the suite that the runs recorded.
    """
    columns: list[Registered] = []
    for folder in folders:
        job = load_run(folder, trust)
        experiment, dataset = job.setup.experiment, job.dataset
        names = [(dataset.ids[m], dataset.ids[f]) for m, f in dataset.pairs("test")]
        pair = dataset.pairs("test")[names.index((moving, fixed))]
        batch = read_pairs(dataset, [pair], job.device)
        u = displacement_by(job.method, batch, job.objective)
        if not columns:
            columns.append(_registered(UNREGISTERED, batch, torch.zeros_like(u)))
        label = run_label(experiment)
        columns.append(_registered(label, batch, u))
    return batch, columns


def _registered(label: str, batch: Pair, u: torch.Tensor) -> Registered:
    labels = None
    if batch.has_labels:
        moving, _ = batch.segmentations
        labels = warp(moving, u, mode="nearest")[0, 0].cpu().numpy()
    return Registered(
        label,
        warp(batch.moving, u)[0].cpu().numpy(),
        labels,
        u[0].cpu().numpy(),
        jacobian_determinant(u)[0].cpu().numpy(),
        landmarks_of(batch.at(u)),
    )


def run_label(experiment: Experiment) -> str:
    """Label of a run: its metric, its model unless that is the usual one, its λ.

    For a network that learned a range of λ, that too.
    """
    uses, model = experiment.shaped_by, experiment["model"]["name"]
    parts = [experiment["metric"]["name"]] if "metric" in uses else []
    if "metric" not in uses or model != DEFAULT_MODEL:
        parts.append(model)
    label = " ".join(parts)
    if "regularizer" not in uses:
        return label
    learned = f" of {experiment.conditioned}" if experiment.conditioned else ""
    return f"{label}\nλ = {experiment.weight:g}{learned}"
