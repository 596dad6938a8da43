"""How well maps find changes: means over test pairs with intervals, and mean curves."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap, cluster_pairs
from bench.analysis.numbers.comparisons import KEY, comparable, described
from bench.analysis.numbers.detected import COLUMNS as DIFFERENCES
from bench.analysis.numbers.detected import LABELS, differences_from_best
from bench.analysis.numbers.naming import variant_labels
from bench.analysis.numbers.pooled import interval_of, pooled_scores
from bench.analysis.reading.metrics import metric_order
from bench.analysis.reading.records import Records, reading_settings
from bench.config.identity import digest
from bench.errors import counted
from bench.scores.of_changes import MAIN, MAPS, POOLED
from bench.scores.registry import SCORES
from bench.store.layout import CLASSES, CURVES, PAIRS, VOXELS

TASK = "changes"
OF_TRUTH = ("within", "change", "components", "smallest")  # settings of the task
OF_METHOD = ("both_directions",)
DEFAULTS = {"smallest": 1}
COLUMNS = ["comparison", "dataset", "label", "metric", "weight", "seeds", "pairs", "run"]
HEIGHTS = ("tpr", "precision")
RELATIVE = "relative"  # the map that depends on controls, and the only one
AREAS = [name for name, score in SCORES.items() if score.kind == TASK and name.startswith("auc")]


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
            maps of all methods (`LABELS`), as of `differences_from_best`.
    """

    rows: pd.DataFrame
    curves: pd.DataFrame
    regions: pd.DataFrame
    differences: pd.DataFrame

    @property
    def unjudged(self) -> dict[str, list[str]]:
        """Labels of the methods by comparison, of those in which no change is known."""
        known = self.rows.filter(list(AREAS)).notna().any(axis=1)
        groups = self.rows.assign(known=known).groupby("comparison", sort=False)
        return {str(name): of["label"].tolist() for name, of in groups if not of["known"].any()}


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
        for alike, chosen, facts in _methods(records, compared):
            facts = {"comparison": name, **facts}
            first = pairs[alike[0]]
            clusters = cluster_pairs(first["moving"].tolist(), first["fixed"].tolist())
            bootstrap = Bootstrap(clusters.codes)
            order = pd.MultiIndex.from_frame(first[KEY])
            of_pairs = [pairs[run] for run in alike]
            known = [n for n, s in SCORES.items() if s.kind == TASK and n in of_pairs[0]]
            known = [n for n in known if SCORES[n].of_map in chosen]
            maps |= _by_map(of_pairs, known, facts["label"], chosen)
            facts_of_rows = {"seeds": len(alike), "pairs": len(first), "run": alike[0]}
            numbers = {
                **_means(of_pairs, known, order, bootstrap),
                **_pooled(
                    [voxels[run] for run in alike if run in voxels],
                    [records.summaries[run]["scores"] for run in alike],
                    chosen,
                    order,
                    clusters.codes,
                ),
            }
            found[0].append({**facts, **facts_of_rows, **numbers})
            for table, columns, by, several in (
                (curves, HEIGHTS, ["map", "rate"], found[1]),
                (classes, ("map_mean", "map_rank"), ["class"], found[2]),
            ):
                parts = [table[run] for run in alike if run in table]
                for key, part in pd.concat(parts).groupby(by, sort=False) if parts else ():
                    said = dict(zip(by, key, strict=True))
                    if said.get("map", MAIN) in chosen:
                        means = _means([part], columns, order, bootstrap)
                        several.append({**facts, **said, **means})
        differences.append(differences_from_best(maps).assign(comparison=name))
    rows, points, regions = map(pd.DataFrame, found)
    scores = [name for name in rows if name not in COLUMNS]
    return Detection(
        rows.reindex(columns=list(dict.fromkeys([*COLUMNS, "auc", *scores]))),
        points,
        regions,
        pd.concat([pd.DataFrame(columns=["comparison", *DIFFERENCES]), *differences]),
    )


def _by_map(
    tables: Sequence[pd.DataFrame], scores: Sequence[str], label: str, maps: Collection[str]
) -> dict[str, pd.Series]:
    """AUC of each test pair, seeds averaged, of those maps of a method that are compared.

    A label that stands for the map relative to controls alone says so itself.
    """
    means = pd.concat(tables).groupby(KEY).mean(numeric_only=True)
    words = {**LABELS, "auc_relative": "{}"} if maps == {RELATIVE} else LABELS
    return {words[name].format(label): means[name] for name in scores if name in words}


def _by_run(records: Records, file: str) -> dict[str, pd.DataFrame]:
    return {str(run): rows for run, rows in records.table(file).groupby("run")}


def _reading(config: Mapping[str, Any]) -> dict[str, Any]:
    """How images were read, and what maps are judged by."""
    task = {key: config["task"].get(key, DEFAULTS.get(key)) for key in OF_TRUTH}
    task = {key: value for key, value in task.items() if value != DEFAULTS.get(key)}
    return {**reading_settings(config), **{f"task.{key}": value for key, value in task.items()}}


def _methods(
    records: Records, runs: list[str]
) -> Iterator[tuple[list[str], set[str], dict[str, Any]]]:
    """Runs that differ in the seed alone, the maps that are theirs, and what tells them apart.

    Where methods differ only in the number of controls, one of them stands for the maps that do not
    depend on controls, and each for its map relative to them.
    """
    settings, controls = {}, {}
    for run in runs:
        task = records.configs[run]["task"]
        of_method = {f"task.{key}": task.get(key) for key in OF_METHOD}
        settings[run] = {**records.made_by(run), **of_method}
        controls[run] = task.get("controls") or 0
    summaries = _apart_from_controls(described(records, settings), settings, controls)
    labels = variant_labels(summaries, settings)
    alike: dict[tuple[str, str, float | None], dict[int, list[str]]] = {}
    for one in summaries:
        key = (one["metric"], one["variant"], one["weight"])
        alike.setdefault(key, {}).setdefault(controls[one["run"]], []).append(one["run"])
    weights = {key[:2]: {k[2] for k in alike if k[:2] == key[:2]} for key in alike}
    for key in sorted(alike, key=lambda k: (metric_order(k[0]), labels[k[:2]], k[2] or 0.0)):
        label = labels[key[:2]]
        if len(weights[key[:2]]) > 1:
            label += f", λ = {key[2]:g}"
        by_controls = dict(sorted(alike[key].items()))
        first = next(iter(by_controls.values()))
        dataset = records.summaries[first[0]]["dataset"]
        facts = {"dataset": dataset, "label": label, "metric": key[0], "weight": key[2]}
        if len(by_controls) == 1:
            yield first, set(MAPS), facts
            continue
        yield first, set(MAPS) - {RELATIVE}, facts
        for number, of_number in by_controls.items():
            if number:
                said = f"{label}, relative to {counted(number, 'control')}"
                yield of_number, {RELATIVE}, {**facts, "label": said}


def _apart_from_controls(
    summaries: Sequence[dict[str, Any]],
    settings: Mapping[str, Mapping[str, Any]],
    controls: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Summaries whose `variant` is the same where methods differ only in the number of controls."""
    variants: dict[tuple[str, str], dict[int, set[str]]] = {}
    keys = {one["run"]: (one["metric"], digest(settings[one["run"]])) for one in summaries}
    for one in summaries:
        by_controls = variants.setdefault(keys[one["run"]], {})
        by_controls.setdefault(controls[one["run"]], set()).add(one["variant"])

    def common(one: dict[str, Any]) -> str:
        of_controls = variants[keys[one["run"]]]
        if any(len(several) > 1 for several in of_controls.values()):
            return str(one["variant"])  # no setting tells these apart
        return min(of_controls[min(of_controls)])

    return [{**one, "variant": common(one)} for one in summaries]


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
    tables: Sequence[pd.DataFrame],
    summaries: Sequence[Mapping[str, Any]],
    maps: Collection[str],
    order: pd.MultiIndex,
    clusters: np.ndarray,
) -> dict[str, float]:
    """Scores of voxels of all test pairs together, averaged over seeds, with intervals.

    Exported results have no voxels, but the scores and, of a single seed, the intervals.

    Args:
        tables: Sampled voxels of each seed.
        summaries: Scores of each seed, in case there are no voxels.
        maps: Of which maps.
        order: The test pairs.
        clusters: The cluster of each.
    """
    values: dict[str, list[np.ndarray]] = {}
    for table in tables:
        pairs = order.get_indexer(pd.MultiIndex.from_frame(table[KEY]))
        kept = table.drop(columns=[name for name in MAPS if name in table and name not in maps])
        for name, value, draws in pooled_scores(kept.assign(pair=pairs), clusters):
            values.setdefault(name, []).append(np.append(value, draws))
    found: dict[str, float] = {}
    for name, of_seeds in values.items():
        mean, *draws = np.mean(of_seeds, axis=0)
        low, high = interval_of(np.array(draws))
        found |= {name: float(mean), f"{name}_low": low, f"{name}_high": high}
    for name in () if tables else (name for one in maps for name in POOLED[one]):
        known = [scores[name] for scores in summaries if name in scores]
        if known and len(known) == len(summaries):
            limits = known[0] if len(known) == 1 else {}
            found[name] = float(np.mean([one["mean"] for one in known]))
            found |= {f"{name}_{end}": limits.get(end, float("nan")) for end in ("low", "high")}
    return found


def main_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Those of the maps of the methods."""
    return curves[curves["map"] == MAIN] if len(curves) else curves
