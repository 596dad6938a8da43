"""Metrics on a test pair: their values along a shift, and the features that they compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.analysis.plots.features import Maps, draw_features
from bench.analysis.plots.landscape import draw_landscape
from bench.analysis.plots.registered import plane_to_show
from bench.analysis.plots.style import save, styled
from bench.data.batches.loading import read_pairs
from bench.data.cache.prepared import PreparedDataset
from bench.errors import StoreError
from bench.inspection.panel import find_pair
from bench.pair import Pair
from bench.runs.trained import load_run
from bench.similarity.building import extractors_of
from bench.store.files import make_folder
from bench.store.folder import Folder

LARGEST_SHIFT = 8.0  # voxels
STEPS = 33


def landscape(
    folders: Sequence[Folder], pair: str | None, out: Path, trust: bool = False
) -> list[Path]:
    """Draws the value of each run's metric while the moving image of a test pair is shifted.

    Args:
        folders: Finished runs on the same test pairs, each of another metric.
        pair: MOVING,FIXED; None for the test pair of median Dice.
        out: Output path, without suffix.
        trust: Whether to build classes outside the suite that the runs recorded.

    Returns:
        The files.

    Raises:
        StoreError: If a run has not finished, there is no such pair, or a metric comes twice.
    """
    moving, fixed = find_pair(folders, pair)
    curves: dict[str, list[np.ndarray]] = {}
    amounts = torch.linspace(-LARGEST_SHIFT, LARGEST_SHIFT, STEPS)
    for folder in folders:
        metric, dataset, similarity, batch = _load(folder, moving, fixed, trust)
        if metric in curves:
            raise StoreError(
                f"{folder.path.name}: is a second run of {metric}. Name one run per metric."
            )
        curves[metric] = [
            np.array([_value(similarity, batch, dataset, axis, amount) for amount in amounts])
            for axis in range(dataset.ndim)
        ]
    with styled():
        figure = draw_landscape(amounts.numpy(), curves, f"{moving} to {fixed}, {dataset.name}")
        return _save(figure, out)


def features(
    folders: Sequence[Folder], pair: str | None, out: Path, trust: bool = False
) -> list[Path]:
    """Draws feature maps of the fixed image of a test pair, of each run's extractors.

    Args:
        folders: Finished runs on the same test pairs, of metrics with extractors.
        pair: MOVING,FIXED; None for the test pair of median Dice.
        out: Output path, without suffix.
        trust: Whether to build classes outside the suite that the runs recorded.

    Returns:
        The files.

    Raises:
        StoreError: If a run has not finished, there is no such pair, or a metric has no extractor.
    """
    moving, fixed = find_pair(folders, pair)
    rows: list[Maps] = []
    for folder in folders:
        metric, dataset, similarity, batch = _load(folder, moving, fixed, trust)
        extractors = extractors_of(similarity)
        if not extractors:
            raise StoreError(
                f"{folder.path.name}: {metric} has no extractor, so it has no features."
            )
        image = batch.fixed[0].cpu().numpy()
        labels = None
        if batch.has_labels:
            labels = batch.segmentations[1][0, 0].cpu().numpy()
        place = plane_to_show(image, labels)
        for extractor in extractors:
            with torch.no_grad():
                pyramid = extractor(batch.fixed)
            for number, (level, factor) in enumerate(
                zip(pyramid, extractor.factors, strict=True), start=1
            ):
                maps = level[0].float().cpu().numpy()
                rows.append(Maps(f"{metric}\nlevel {number}", _cut(maps, place, factor)))
    with styled():
        figure = draw_features(image[(slice(None), *place)], rows, f"{fixed}, {dataset.name}")
        return _save(figure, out)


def _load(
    folder: Folder, moving: str, fixed: str, trust: bool
) -> tuple[str, PreparedDataset, Any, Pair]:
    job = load_run(folder, trust)
    if job.objective.similarity is None:
        raise StoreError(f"{folder.path.name}: {job.name} uses no metric.")
    dataset = job.dataset
    names = [(dataset.ids[m], dataset.ids[f]) for m, f in dataset.pairs("test")]
    pair = dataset.pairs("test")[names.index((moving, fixed))]
    batch = read_pairs(dataset, [pair], job.device)
    return job.setup.experiment["metric"]["name"], dataset, job.objective.similarity, batch


@torch.no_grad()
def _value(
    similarity: Any, pair: Pair, dataset: PreparedDataset, axis: int, amount: torch.Tensor
) -> float:
    """D of the moving image shifted along an axis and the fixed one."""
    u = torch.zeros(1, dataset.ndim, *pair.fixed.shape[2:], device=pair.fixed.device)
    u[:, axis] = amount
    return float(similarity(pair.at(u)))


def _cut(maps: np.ndarray, place: tuple[slice | int, ...], factor: int) -> np.ndarray:
    """The plane of the image in maps (C, *S) that are coarser than it."""
    index: list[slice | int] = [slice(None)]
    for part, size in zip(place, maps.shape[1:], strict=True):
        index.append(part if isinstance(part, slice) else min(part // factor, size - 1))
    return maps[tuple(index)]


def _save(figure: Any, out: Path) -> list[Path]:
    make_folder(out.parent)
    save(figure, out)
    return [out.with_suffix(".png"), out.with_suffix(".pdf")]
