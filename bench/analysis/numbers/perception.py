"""How metrics order images whose order is known: means over images with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap
from bench.analysis.numbers.comparisons import comparable, described
from bench.analysis.numbers.naming import variant_labels
from bench.analysis.reading.exported import PLACE
from bench.analysis.reading.metrics import metric_order
from bench.analysis.reading.records import Records, reading_settings
from bench.config.identity import digest
from bench.scores.of_images import BLIND, DISTORTIONS
from bench.store.layout import IMAGES, TASK_TABLES, WARNINGS

TASK = "perception"
LONGEST = 6  # numbers of a list that names state
CHANCE = 0.5  # of 2AFC
COUNT = "_n"  # of a score's column: over how many images, or references, its mean is
UNTRAINED = "extractor steps 0"  # in labels of random features
COLUMNS = ["comparison", "dataset", "label", "metric", "seeds", "seed_numbers", "warning", "images"]


@dataclass(frozen=True)
class Variant:
    """A metric in one way, on one data set.

    Attributes:
        label: The metric, with what else tells it from others.
        metric: Its name.
        seeds: Those of its runs, ascending.
        images: Scores by subject, means over seeds.
        steps: That its extractor trained, 0 for random features; None without an extractor.
        warning: What a run says of a metric that ignores the deformation; empty for others.
    """

    label: str
    metric: str
    seeds: Sequence[int]
    images: pd.DataFrame
    steps: int | None
    warning: str = ""


@dataclass(frozen=True)
class Perceived:
    """Metrics judged on the same images of the same data, distorted in the same ways.

    Attributes:
        name: The data set, with what tells it from others of this kind.
        dataset: Name of the data set.
        reading: How images were read and distorted.
        variants: In the order of figures.
    """

    name: str
    dataset: str
    reading: Mapping[str, Any]
    variants: Sequence[Variant]

    def trained(self) -> dict[str, list[Variant]]:
        """By metric, its variants without random features and those that ignore the deformation."""
        found: dict[str, list[Variant]] = {}
        for variant in self.variants:
            if variant.steps != 0 and not variant.warning:
                found.setdefault(variant.metric, []).append(variant)
        return found


def perception_runs(records: Records) -> list[str]:
    """The finished runs of perception."""
    return [run for run, summary in records.summaries.items() if summary.get("task") == TASK]


def perceived(records: Records) -> list[Perceived]:
    """The runs of perception, by what may be compared; empty without one."""
    runs = perception_runs(records)
    if not runs:
        return []
    tables = {str(run): rows for run, rows in records.table(IMAGES).groupby("run")}
    readings = {run: _reading(records, run) for run in runs}
    _name_tables(records, readings)
    subjects = {run: sorted(tables[run]["subject"]) for run in runs}
    found = []
    for name, alike in comparable(records, readings, subjects):
        dataset = records.summaries[alike[0]]["dataset"]
        variants = _variants(records, alike, tables)
        found.append(Perceived(name, dataset, readings[alike[0]], variants))
    return found


def perception_rows(found: Sequence[Perceived]) -> pd.DataFrame:
    """Scores of each metric on each data set.

    Args:
        found: Of `perceived`; seeds are averaged for each image first.

    Returns:
        `COLUMNS`, and for each score of images.csv its mean as NAME, NAME_low and NAME_high, a 95 %
        bootstrap interval over images, and NAME_n, how many images have it: for `persons` and
        `judged` how many references. Metrics in the order of figures. Empty without a run.
    """
    rows = [
        {
            "comparison": one.name,
            "dataset": one.dataset,
            "label": variant.label,
            "metric": variant.metric,
            "seeds": len(variant.seeds),
            "seed_numbers": " ".join(map(str, variant.seeds)),
            "warning": variant.warning,
            **_means(variant.images),
        }
        for one in found
        for variant in one.variants
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=COLUMNS)


def _reading(records: Records, run: str) -> dict[str, Any]:
    """How images were read and distorted; of lists, what tells them apart in few words."""
    config = records.configs[run]
    task = {key: v for key, v in config["task"].items() if key not in ("name", "_target_", "uses")}
    task["distortions"] = _distortions(task["distortions"])
    settings = {f"task.{key}": _few(value) for key, value in task.items()}
    return {**reading_settings(config), **settings}


def _distortions(names: Sequence[str]) -> str:
    """Those that are graded, or those that are not, whichever are fewer."""
    left_out = [name for name in DISTORTIONS if name not in names]
    if len(left_out) < len(names):
        return f"all but {' '.join(left_out)}" if left_out else "all"
    return " ".join(name for name in DISTORTIONS if name in names)


def _few(value: Any) -> Any:
    """A list of numbers; a long one by its ends, its length and its hash."""
    if not isinstance(value, list) or len(value) <= LONGEST:
        return value
    return f"{value[0]:g} to {value[-1]:g} ({len(value)}, {digest(value)})"


def _name_tables(records: Records, readings: Mapping[str, dict[str, Any]]) -> None:
    """Names the tables that runs read: those of one content by one name, others by others.

    Exported runs have no names of files; their tables go by content.
    """
    files: dict[str, str] = {}  # by content
    for run in readings:
        for option, content in records.summaries[run].get(TASK_TABLES, {}).items():
            path = PurePath(str(records.configs[run]["task"][option]))
            files.setdefault(str(content), "table" if path.name == PLACE else path.name)
    names = list(files.values())
    for run, reading in readings.items():
        for option, content in records.summaries[run].get(TASK_TABLES, {}).items():
            name = files[str(content)]
            mark = f" {str(content)[:8]}" if names.count(name) > 1 or name == "table" else ""
            reading[f"task.{option}"] = f"{name}{mark}"


def _variants(
    records: Records, runs: list[str], tables: Mapping[str, pd.DataFrame]
) -> list[Variant]:
    settings = {run: records.made_by(run) for run in runs}
    summaries = described(records, settings)
    labels = variant_labels(summaries, settings)
    alike: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for summary in summaries:
        alike.setdefault((summary["metric"], summary["variant"]), []).append(summary)
    found = []
    for key in sorted(alike, key=lambda key: (metric_order(key[0]), labels[key])):
        steps, label = steps_of_extractors(alike[key]), labels[key]
        if steps == 0 and UNTRAINED not in label:
            label = f"{label} {UNTRAINED}"
        images = _by_image(pd.concat([tables[summary["run"]] for summary in alike[key]]))
        seeds = sorted(int(summary["seed"]) for summary in alike[key])
        warnings = [text for summary in alike[key] for text in summary.get(WARNINGS, ())]
        warning = next((text for text in warnings if text.startswith(BLIND)), "")
        found.append(Variant(label, key[0], seeds, images, steps, warning))
    return found


def steps_of_extractors(runs: Sequence[Mapping[str, Any]]) -> int | None:
    """The fewest steps that an extractor of some runs trained; None without an extractor.

    Args:
        runs: Their summaries.
    """
    steps = [one["steps"] for run in runs for one in run.get("extractors", [])]
    return int(min(steps)) if steps else None


def _by_image(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores by subject, means over seeds; those that no image has are left out."""
    return rows.drop(columns="run").groupby("subject").mean().dropna(axis="columns", how="all")


def _means(images: pd.DataFrame) -> dict[str, float]:
    bootstrap = Bootstrap(np.arange(len(images)))
    whole = images["geometry"].count() if "geometry" in images else len(images)
    found: dict[str, float] = {"images": int(whole)}  # others have one score, such as of persons
    for name in images:
        low, high = bootstrap.interval(images[name].to_numpy(float))
        found |= {str(name): float(images[name].mean()), f"{name}_low": low, f"{name}_high": high}
        found[f"{name}{COUNT}"] = int(images[name].count())
    return found
