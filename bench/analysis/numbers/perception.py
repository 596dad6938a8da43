"""How metrics order images whose order is known: means over images with intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap
from bench.analysis.numbers.comparisons import described
from bench.analysis.numbers.naming import Ground, comparison_names, variant_labels
from bench.analysis.numbers.wording import interval
from bench.analysis.reading.metrics import metric_order
from bench.analysis.reading.records import Records, reading_settings, training_settings
from bench.config.identity import digest
from bench.store.folder import IMAGES

TASK = "perception"
CHANCE = 0.5  # of 2AFC
COLUMNS = ["comparison", "dataset", "label", "metric", "seeds", "images"]


def perception_rows(records: Records) -> pd.DataFrame:
    """Scores of each metric on each data set.

    Seeds are averaged for each image first; runs are compared that distorted the same images of the
    same data in the same ways.

    Returns:
        `COLUMNS`, and for each score of images.csv its mean as NAME, and NAME_low and NAME_high, a
        95 % bootstrap interval over images; metrics in the order of figures. Empty without a run.
    """
    runs = [run for run, summary in records.summaries.items() if summary.get("task") == TASK]
    if not runs:
        return pd.DataFrame(columns=COLUMNS)
    tables = {str(run): rows for run, rows in records.table(IMAGES).groupby("run")}
    readings = {run: _reading(records.configs[run]) for run in runs}
    grounds = {run: _ground(records.summaries[run], readings[run], tables[run]) for run in runs}
    roots = {grounds[run]: records.configs[run]["dataset"].get("root") or "" for run in runs}
    names = comparison_names({grounds[run]: readings[run] for run in runs}, roots)
    rows: list[dict[str, Any]] = []
    for ground, name in sorted(names.items(), key=lambda item: item[1]):
        alike = [run for run in runs if grounds[run] == ground]
        rows += _of_comparison(records, alike, tables, name)
    return pd.DataFrame(rows)


def _reading(config: Mapping[str, Any]) -> dict[str, Any]:
    """How images were read and distorted."""
    task = {key: v for key, v in config["task"].items() if key not in ("name", "_target_", "uses")}
    return {**reading_settings(config), **{f"task.{key}": value for key, value in task.items()}}


def _ground(summary: Mapping[str, Any], reading: Mapping[str, Any], rows: pd.DataFrame) -> Ground:
    subjects = sorted(rows["subject"])
    return Ground(
        summary["dataset"],
        summary["schema"],
        str(summary.get("data")),
        digest(reading),
        len(subjects),
        digest(subjects),
    )


def _of_comparison(
    records: Records, runs: list[str], tables: Mapping[str, pd.DataFrame], name: str
) -> list[dict[str, Any]]:
    settings = {run: training_settings(records.configs[run]) for run in runs}
    summaries = described(records, settings)
    labels = variant_labels(summaries, settings)
    alike: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for summary in summaries:
        key = summary["metric"], summary["variant"]
        alike.setdefault(key, []).append(tables[summary["run"]])
    rows = []
    for key in sorted(alike, key=lambda key: (metric_order(key[0]), labels[key])):
        rows.append(
            {
                "comparison": name,
                "dataset": records.summaries[runs[0]]["dataset"],
                "label": labels[key],
                "metric": key[0],
                "seeds": len(alike[key]),
                **_means(pd.concat(alike[key])),
            }
        )
    return rows


def _means(images: pd.DataFrame) -> dict[str, float]:
    by_image = images.drop(columns="run").groupby("subject").mean()
    bootstrap = Bootstrap(np.arange(len(by_image)))
    found: dict[str, float] = {"images": len(by_image)}
    for name in by_image:
        low, high = bootstrap.interval(by_image[name].to_numpy(float))
        found |= {str(name): float(by_image[name].mean()), f"{name}_low": low, f"{name}_high": high}
    return found


def perception_sentences(rows: pd.DataFrame) -> list[str]:
    """Which metrics order deformations rightly under changed appearance, a sentence a data set.

    Args:
        rows: Of `perception_rows`; data sets of one image have no interval, and no sentence.
    """
    several = rows[rows["images"] > 1]
    return [_sentence(str(name), one) for name, one in several.groupby("comparison", sort=False)]


def _sentence(comparison: str, rows: pd.DataFrame) -> str:
    known = rows.sort_values("geometry", ascending=False, kind="stable")
    right, wrong = known["geometry_low"] > CHANCE, known["geometry_high"] < CHANCE
    said = [
        f"{what} {_listed(known[chosen])}"
        for what, chosen in (
            ("the less deformed is nearer by", right),
            ("the more deformed, which differs less in appearance, is nearer by", wrong),
            ("intervals leave open which is nearer by", ~(right | wrong)),
        )
        if chosen.any()
    ]
    return f"{comparison}: of two deformed images of one MSE {'; '.join(said)}."


def _listed(rows: pd.DataFrame) -> str:
    columns = (rows[name] for name in ("label", "geometry", "geometry_low", "geometry_high"))
    texts = [
        f"{label} ({mean:.3f}, {interval(low, high)})"
        for label, mean, low, high in zip(*columns, strict=True)
    ]
    return ", ".join(texts)
