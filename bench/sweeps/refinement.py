"""Further weights for metrics of a sweep whose best weight is at the border."""

import math
from collections.abc import Sequence

from bench.analysis.numbers.selection import choose
from bench.config.conditioning import WeightRange
from bench.config.synthesis import FACTOR
from bench.sweeps.cells import Cell, summaries_of


def beyond(cells: Sequence[Cell]) -> list[list[str]]:
    """The overrides of runs with one more λ, wherever the chosen one is the least or largest tried.

    The new λ is as far from the border as the border is from its neighbour, as a ratio; with a
    network of all λ it stays within those that are learned.

    Args:
        cells: The runs of a sweep, all looked up.

    Returns:
        For each such metric, variant and seed the overrides of its run.
    """
    found = []
    for (dataset, metric, variant), choice in choose(
        summaries_of(cells), cells[0].experiment["select"]
    ).items():
        if not choice.at_border:
            continue
        neighbour = choice.weights[1 if choice.weight == choice.weights[0] else -2]
        if not choice.weight or not neighbour:
            continue  # λ = 0 has no ratio to anything
        further = float(f"{choice.weight * choice.weight / neighbour:.6g}")
        for cell in cells:
            summary = cell.folder.summary() if cell.folder else None
            if summary and cell.experiment.tuned == choice.weight:
                names = (summary["dataset"], summary["metric"], summary.get("variant", ""))
                weight = _learned(further, cell.experiment.conditioned)
                is_new = not math.isclose(weight, choice.weight, rel_tol=1e-5)
                if names == (dataset, metric, variant) and is_new:
                    found.append(_with_weight(cell, weight))
    return [list(overrides) for overrides in dict.fromkeys(map(tuple, found))]


def _learned(weight: float, weights: WeightRange | None) -> float:
    """λ, or the nearest one that a network of all λ has learned."""
    return weight if weights is None else min(max(weight, weights.low), weights.high)


def _with_weight(cell: Cell, weight: float) -> list[str]:
    """The overrides of a run with another λ, or c."""
    has_factor = cell.experiment["task"].get(FACTOR) is not None
    option = f"task.{FACTOR}" if has_factor else "regularizer.weight"
    given = (f"{option}=", "regularizer.scale=")
    return [*(o for o in cell.overrides if not o.startswith(given)), f"{option}={weight!r}"]
