"""The numbers of the main table: a row for each way to register, means over test pairs."""

import math
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.bootstrap import Bootstrap
from bench.analysis.numbers.comparisons import Comparison, Entry
from bench.analysis.numbers.extractors import learned
from bench.analysis.numbers.paired import bootstrap_of, gains
from bench.analysis.reading.durations import training_seconds
from bench.analysis.reading.published_values import published_dice
from bench.analysis.reading.records import Records
from bench.scores.registry import SCORES
from bench.scores.summary import deviation
from bench.store.layout import REGISTRATION
from bench.store.standing import Status

UNREGISTERED = "unregistered"


def result_rows(comparison: Comparison) -> pd.DataFrame:
    """Test scores of each entry of a comparison, the unregistered pairs first.

    Every score is averaged over seeds for each test pair, then over the pairs that have it.

    Returns:
        Columns `comparison`, `dataset`, `lead` (the score that methods are judged by), `label`,
        `metric`, `model`, `weight`, `at_border`, `blind`, `seeds`, `n` and `left_out` (test pairs
        with and without that score), `units` (clusters of the `n`), `seed_std` (deviation of its
        mean over seeds), those of `gains`, `training_seconds`, `extractor` (how well it learned, in
        words), `published` and `difference` (the papers' Dice, and how far `dice_published` is
        above it); and for each score NAME, NAME_std over pairs, NAME_low and NAME_high (95 %
        interval of the mean), NAME_n, NAME_unit where runs record a unit, and NAME_p70 where a
        quantile over pairs is asked for.
    """
    before = {name: comparison.before(name) for name, score in SCORES.items() if score.has_before}
    bootstrap = bootstrap_of(comparison)
    lead = comparison.lead
    rows = [{"label": UNREGISTERED, **_scores(before, lead, bootstrap)}]
    gained = gains(comparison)
    columns = {name: comparison.scores(name) for name in SCORES}
    for entry in comparison.entries:
        ours = {name: columns[name][entry.label] for name in SCORES}
        scores = _scores(ours, lead, bootstrap, entry.batch)
        rows.append({**_facts(comparison, entry), **gained.loc[entry.label], **scores})
    frame = pd.DataFrame(rows)
    frame["difference"] = frame["dice_published"] - frame["published"]
    frame.insert(0, "comparison", comparison.name)
    frame.insert(1, "dataset", comparison.dataset)
    frame.insert(2, "lead", lead)
    for name, unit in comparison.units.items():
        frame[f"{name}_unit"] = unit
    return frame


def _facts(comparison: Comparison, entry: Entry) -> dict[str, Any]:
    by_seed = entry.pairs.groupby("seed")[comparison.lead].mean()
    seconds = [training_seconds([run]) for run in entry.choice.runs]
    noisy = bool(comparison.reading.get("added_noise"))  # the papers' values are of clean images
    return {
        "label": entry.label,
        "metric": entry.metric,
        "model": entry.choice.runs[0].get("model"),
        "weight": entry.choice.weight,
        "at_border": entry.choice.at_border,
        "blind": entry.choice.blind,
        "seeds": len(entry.choice.runs),
        "seed_std": by_seed.std(),
        "training_seconds": pd.Series(seconds, dtype=float).mean(skipna=False),
        "extractor": learned(entry.choice.runs),
        "published": math.nan if noisy else published_dice(comparison.dataset, entry.metric),
    }


def _scores(
    columns: dict[str, pd.Series], lead: str, bootstrap: Bootstrap, batch: int = 1
) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, column in columns.items():
        values = column.dropna().to_numpy()
        std = deviation(name, values, batch)
        low, high = bootstrap.interval(column.to_numpy())
        found |= {
            name: float(values.mean()) if len(values) else math.nan,
            f"{name}_std": math.nan if std is None else std,
            f"{name}_low": low,
            f"{name}_high": high,
            f"{name}_n": len(values),
        }
        score = SCORES[name]
        if score.quantile is not None and len(values):
            quantile = float(np.quantile(values, score.quantile))
            found[f"{name}_{score.quantile_name}"] = quantile
    n = found[f"{lead}_n"]
    units = len(bootstrap.averaged(columns[lead].to_numpy(float)))
    return {"n": n, "left_out": len(bootstrap.clusters) - n, "units": units, **found}


def without_result(records: Records, comparison: Comparison) -> pd.DataFrame:
    """Metrics that were tried on a comparison's data set and have no finished run there.

    Returns:
        Columns `comparison`, `dataset`, `label`, `metric`, `state`: what their runs are.
    """
    runs = records.runs[records.runs["task"] == REGISTRATION]
    runs = runs[runs["dataset"] == comparison.dataset]
    finished = set(runs.loc[runs["status"] == Status.FINISHED, "method"])
    rows = [
        {
            "comparison": comparison.name,
            "dataset": comparison.dataset,
            "label": metric,
            "metric": metric,
            "state": ", ".join(dict.fromkeys(tried["status"])),
        }
        for metric, tried in runs[~runs["method"].isin(finished)].groupby("method", sort=True)
    ]
    return pd.DataFrame(rows, columns=["comparison", "dataset", "label", "metric", "state"])


def class_rows(comparison: Comparison) -> pd.DataFrame:
    """Dice and HD95 of each class, averaged over seeds and then over the pairs that have it.

    Returns:
        Columns `comparison`, `class`, `label`, `n`, `dice`, `dice_std`, `hd95`, `hd95_std`; the
        unregistered pairs first.
    """
    tables = [(entry.label, entry.classes) for entry in comparison.entries if len(entry.classes)]
    if not tables:
        return pd.DataFrame()
    before = tables[0][1].drop(columns=["dice", "hd95"])
    before = before.rename(columns={"dice_before": "dice", "hd95_before": "hd95"})
    rows = []
    for label, table in [(UNREGISTERED, before), *tables]:
        values = class_values(table)
        for name in comparison.classes:
            of_class = values[values["class"] == name]
            rows.append(
                {
                    "comparison": comparison.name,
                    "class": name,
                    "label": label,
                    "n": int(of_class["dice"].notna().sum()),
                    "dice": of_class["dice"].mean(),
                    "dice_std": of_class["dice"].std(),
                    "hd95": of_class["hd95"].mean(),
                    "hd95_std": of_class["hd95"].std(),
                }
            )
    return pd.DataFrame(rows)


def class_values(rows: pd.DataFrame) -> pd.DataFrame:
    """Dice and HD95 of each test pair and class, averaged over seeds; NaN if one seed lacks it."""
    grouped = rows.groupby(["moving", "fixed", "class"], sort=True)[["dice", "hd95"]]
    complete = grouped.count().eq(grouped.size(), axis=0)
    return grouped.mean().where(complete).reset_index()
