"""How well maps find changes: means over test pairs with intervals, and mean curves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap, cluster_pairs
from bench.analysis.numbers.comparisons import KEY, comparable, described
from bench.analysis.numbers.detected import COLUMNS as DIFFERENCES
from bench.analysis.numbers.detected import JACOBIAN, differences_from_best
from bench.analysis.numbers.naming import variant_labels
from bench.analysis.numbers.pooled import interval_of, pooled_scores
from bench.analysis.reading.metrics import metric_order
from bench.analysis.reading.records import Records, reading_settings, training_settings
from bench.scores.of_changes import MAIN
from bench.scores.registry import SCORES
from bench.store.folder import CLASSES, CURVES, PAIRS, VOXELS

TASK = "changes"
OF_TRUTH = ("within", "change", "components", "smallest")  # settings of the task
OF_METHOD = ("both_directions", "controls")
DEFAULTS = {"smallest": 1}
COLUMNS = ["comparison", "dataset", "label", "metric", "weight", "seeds", "pairs", "run"]
HEIGHTS = ("tpr", "precision")


@dataclass(frozen=True)
class Detection:
    """What a report says of changes.

    Attributes:
        rows: `COLUMNS`, `auc`, which may be NaN, and each score of changes that runs have as NAME,
            NAME_low and NAME_high, its mean over test pairs, or of voxels of all test pairs
            together, with a 95 % bootstrap interval over test pairs; `run` is one of those that
            are averaged.
        curves: `comparison`, `label`, `metric`, `map`, `rate`, and `HEIGHTS` likewise.
        regions: `comparison`, `label`, `metric`, `class`, `map_mean` and `map_rank` likewise.
        differences: `comparison`, and how the map with the largest AUC compares with the other
            maps, as of `differences_from_best`: those of the methods, and the Jacobians.
    """

    rows: pd.DataFrame
    curves: pd.DataFrame
    regions: pd.DataFrame
    differences: pd.DataFrame


def detection(records: Records) -> Detection:
    """The runs of the task, seeds averaged first; those are compared that share data and truth."""
    runs = [run for run, summary in records.summaries.items() if summary.get("task") == TASK]
    pairs = _by_run(records, PAIRS)
    readings = {run: _reading(records.configs[run]) for run in runs}
    subjects = {run: sorted(pairs[run][KEY].to_numpy().tolist()) for run in runs}
    curves, classes = _by_run(records, CURVES), _by_run(records, CLASSES)
    voxels = _by_run(records, VOXELS)
    found: tuple[list[dict[str, Any]], ...] = ([], [], [])
    differences = []
    for name, compared in comparable(records, readings, subjects):
        maps: dict[str, pd.Series] = {}
        for alike, facts in _methods(records, compared):
            facts = {"comparison": name, **facts}
            first = pairs[alike[0]]
            clusters = cluster_pairs(first["moving"].tolist(), first["fixed"].tolist())
            bootstrap = Bootstrap(clusters.codes)
            order = pd.MultiIndex.from_frame(first[KEY])
            of_pairs = [pairs[run] for run in alike]
            maps |= _by_map(of_pairs, str(facts["label"]))
            known = [n for n, s in SCORES.items() if s.kind == TASK and n in of_pairs[0]]
            facts_of_rows = {"seeds": len(alike), "pairs": len(first), "run": alike[0]}
            sampled = [voxels[run] for run in alike if run in voxels]
            numbers = {
                **_means(of_pairs, known, order, bootstrap),
                **_pooled(sampled, order, clusters.codes),
            }
            found[0].append({**facts, **facts_of_rows, **numbers})
            for table, columns, by, several in (
                (curves, HEIGHTS, ["map", "rate"], found[1]),
                (classes, ("map_mean", "map_rank"), ["class"], found[2]),
            ):
                parts = [table[run] for run in alike if run in table]
                for key, part in pd.concat(parts).groupby(by, sort=False) if parts else ():
                    said = dict(zip(by, key, strict=True))
                    several.append({**facts, **said, **_means([part], columns, order, bootstrap)})
        differences.append(differences_from_best(maps).assign(comparison=name))
    rows, points, regions = map(pd.DataFrame, found)
    scores = [name for name in rows if name not in COLUMNS]
    return Detection(
        rows.reindex(columns=list(dict.fromkeys([*COLUMNS, "auc", *scores]))),
        points,
        regions,
        pd.concat([pd.DataFrame(columns=["comparison", *DIFFERENCES]), *differences]),
    )


def _by_map(tables: Sequence[pd.DataFrame], label: str) -> dict[str, pd.Series]:
    """AUC of each test pair, seeds averaged, of the map of a method and of its Jacobian."""
    means = pd.concat(tables).groupby(KEY).mean(numeric_only=True)
    labels = {"auc": label, "auc_jacobian": f"{JACOBIAN}{label}"}
    return {text: means[column] for column, text in labels.items() if column in means}


def _by_run(records: Records, file: str) -> dict[str, pd.DataFrame]:
    return {str(run): rows for run, rows in records.table(file).groupby("run")}


def _reading(config: Mapping[str, Any]) -> dict[str, Any]:
    """How images were read, and what maps are judged by."""
    task = {key: config["task"].get(key, DEFAULTS.get(key)) for key in OF_TRUTH}
    task = {key: value for key, value in task.items() if value != DEFAULTS.get(key)}
    return {**reading_settings(config), **{f"task.{key}": value for key, value in task.items()}}


def _methods(records: Records, runs: list[str]) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """Runs that differ in the seed alone, and what tells them from others."""
    settings = {
        run: {
            **training_settings(records.configs[run]),
            **{f"task.{key}": records.configs[run]["task"].get(key) for key in OF_METHOD},
        }
        for run in runs
    }
    summaries = described(records, settings)
    labels = variant_labels(summaries, settings)
    alike: dict[tuple[str, str, float | None], list[str]] = {}
    for one in summaries:
        alike.setdefault((one["metric"], one["variant"], one["weight"]), []).append(one["run"])
    weights = {key[:2]: {k[2] for k in alike if k[:2] == key[:2]} for key in alike}
    for key in sorted(alike, key=lambda k: (metric_order(k[0]), labels[k[:2]], k[2] or 0.0)):
        label = labels[key[:2]]
        if len(weights[key[:2]]) > 1:
            label += f", λ = {key[2]:g}"
        dataset = records.summaries[alike[key][0]]["dataset"]
        facts = {"dataset": dataset, "label": label, "metric": key[0], "weight": key[2]}
        yield alike[key], facts


def _means(
    tables: Sequence[pd.DataFrame],
    columns: Sequence[str],
    order: pd.MultiIndex,
    bootstrap: Bootstrap,
) -> dict[str, float]:
    """Means over test pairs of columns that are averaged over seeds first, with intervals.

    Args:
        tables: Rows of each seed.
        columns: Of which.
        order: The test pairs as the bootstrap has them; those without a row are left out.
        bootstrap: Draws test pairs.
    """
    by_pair = pd.concat(tables).groupby(KEY)[list(columns)].mean().reindex(order)
    found: dict[str, float] = {}
    for name in columns:
        values = by_pair[name].to_numpy(float)
        low, high = bootstrap.interval(values)
        mean = float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
        found |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return found


def _pooled(
    tables: Sequence[pd.DataFrame], order: pd.MultiIndex, clusters: np.ndarray
) -> dict[str, float]:
    """Scores of voxels of all test pairs together, averaged over seeds, with intervals.

    Args:
        tables: Sampled voxels of each seed.
        order: The test pairs.
        clusters: The cluster of each.
    """
    values: dict[str, list[np.ndarray]] = {}
    for table in tables:
        pairs = order.get_indexer(pd.MultiIndex.from_frame(table[KEY]))
        for name, value, draws in pooled_scores(table.assign(pair=pairs), clusters):
            values.setdefault(name, []).append(np.append(value, draws))
    found: dict[str, float] = {}
    for name, of_seeds in values.items():
        mean, *draws = np.mean(of_seeds, axis=0)
        low, high = interval_of(np.array(draws))
        found |= {name: float(mean), f"{name}_low": low, f"{name}_high": high}
    return found


def main_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Those of the maps of the methods."""
    return curves[curves["map"] == MAIN] if len(curves) else curves
