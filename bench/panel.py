"""The qualitative panel: one test pair under several trained networks."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from bench.analysis.plots.panel import Registered, draw_panel
from bench.analysis.style import save, styled
from bench.data.loading import PairBatch, read_pairs
from bench.data.prepared import PreparedDataset
from bench.devices import single_device
from bench.errors import StoreError
from bench.registration import register
from bench.robustness import load_run
from bench.spatial import jacobian_determinant, warp
from bench.store import PAIRS, PANELS, Folder

UNREGISTERED = "unregistered"


def draw(
    folders: Sequence[Folder], pair: str | None, out: Path | None, results: Path
) -> list[Path]:
    """Writes the panel as PNG and PDF.

    Args:
        folders: Finished runs on the same test pairs.
        pair: MOVING,FIXED; None for the test pair of median Dice.
        out: Where to, without suffix; None for `panels/DATASET` in the results.
        results: Folder of the results.

    Returns:
        The files.

    Raises:
        StoreError: If a run has not finished, runs have different test pairs, or there is no such
            pair.
    """
    moving, fixed = median_pair(folders) if pair is None else _split(pair)
    batch, columns = register_pair(folders, moving, fixed)
    labels = None if batch.read_segmentations is None else batch.read_segmentations()[1]
    summary = folders[0].summary()
    assert summary is not None
    out = out or results / PANELS / summary["dataset"]
    out.parent.mkdir(parents=True, exist_ok=True)
    with styled():
        figure = draw_panel(
            batch.fixed[0, 0].cpu().numpy(),
            None if labels is None else labels[0, 0].cpu().numpy(),
            columns,
            f"{moving} to {fixed}, {summary['dataset']}",
        )
        save(figure, out)
    return [out.with_suffix(".png"), out.with_suffix(".pdf")]


def _split(pair: str) -> tuple[str, str]:
    parts = pair.split(",")
    if len(parts) != 2:
        raise StoreError(f"--pair {pair}: must be MOVING,FIXED.")
    return parts[0], parts[1]


def median_pair(folders: Sequence[Folder]) -> tuple[str, str]:
    """Moving and fixed subject of the test pair of median Dice, averaged over runs.

    Without labels, the first pair.

    Args:
        folders: Finished runs on the same test pairs.

    Raises:
        StoreError: If a run has not finished, or runs have different test pairs.
    """
    tables = []
    for folder in folders:
        if folder.summary() is None:
            raise StoreError(f"{folder.path.name}: has not finished; there is nothing to draw.")
        rows = pd.read_csv(folder.file(PAIRS), dtype={"moving": str, "fixed": str})
        tables.append(rows.set_index(["moving", "fixed"]))
    for folder, table in zip(folders, tables, strict=True):
        if not table.index.equals(tables[0].index):
            raise StoreError(
                f"{folder.path.name}: has other test pairs than {folders[0].path.name}; a panel "
                "shows one pair."
            )
    if "dice" not in tables[0]:
        return tuple(tables[0].index[0])
    dice = sum(table["dice"] for table in tables).sort_values(kind="stable").dropna()
    return tuple(dice.index[len(dice) // 2])


def register_pair(
    folders: Sequence[Folder], moving: str, fixed: str
) -> tuple[PairBatch, list[Registered]]:
    """The pair as it is, and how each run's network registers it, the unregistered one first.

    Args:
        folders: Finished runs on one data set.
        moving: A subject.
        fixed: Another one.

    Raises:
        StoreError: If there is no such test pair.
    """
    columns: list[Registered] = []
    for folder in folders:
        summary = folder.summary()
        assert summary is not None
        experiment, dataset, model = load_run(folder, summary["data"])
        batch = read_pairs(
            dataset, [_find(dataset, moving, fixed)], single_device(experiment.settings)
        )
        u, _ = register(model, batch)
        if not columns:
            columns.append(_registered(UNREGISTERED, batch, torch.zeros_like(u)))
        columns.append(_registered(f"{summary['metric']}\nλ = {summary['weight']:g}", batch, u))
    return batch, columns


def _find(dataset: PreparedDataset, moving: str, fixed: str) -> tuple[int, int]:
    pairs = [(dataset.ids[m], dataset.ids[f]) for m, f in dataset.pairs("test")]
    if (moving, fixed) not in pairs:
        raise StoreError(
            f"--pair {moving},{fixed}: is no test pair of {dataset.name}. They are named "
            "MOVING,FIXED; pairs.csv of a run lists them."
        )
    return dataset.pairs("test")[pairs.index((moving, fixed))]


def _registered(label: str, batch: PairBatch, u: torch.Tensor) -> Registered:
    labels = None
    if batch.read_segmentations is not None:
        moving, _ = batch.read_segmentations()
        labels = warp(moving, u, mode="nearest")[0, 0].cpu().numpy()
    return Registered(
        label,
        warp(batch.moving, u)[0, 0].cpu().numpy(),
        labels,
        u[0].cpu().numpy(),
        jacobian_determinant(u)[0].cpu().numpy(),
    )
