"""Groups runs that may be compared, and chooses λ for each way to register."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.numbers.naming import (
    Ground,
    comparison_names,
    minimizing_models,
    variant_labels,
)
from bench.analysis.numbers.selection import Choice, choose
from bench.analysis.reading.metrics import method_of, metric_order
from bench.analysis.reading.records import (
    BEFORE,
    Records,
    reading_settings,
)
from bench.config.commands import BENCH
from bench.config.identity import digest
from bench.errors import StoreError
from bench.scores.registry import SCORES
from bench.scores.summary import batch_of
from bench.store.layout import CLASSES, HISTORY, ROBUSTNESS

KEY = ["moving", "fixed"]
LEADING = ("dice", "tre")  # the first of them that test pairs have is what methods are judged by


@dataclass(frozen=True)
class Entry:
    """One way to register in a comparison, under its chosen λ.

    Attributes:
        label: The method, with the settings that distinguish it from others of the same metric.
        metric: Name of the metric, or of the model where it uses none.
        choice: The chosen λ and its runs.
        pairs: Rows per seed and test pair: `seed`, `pair` (number of the test pair), scores.
        tested: The same under every tried λ, with the column `weight`.
        classes: Rows per seed, test pair and class; empty without labels.
        histories: Rows per seed and validation.
        robustness: Rows per seed, corruption, level and test pair; empty without such tests.
        path: Means over seeds for every λ, ascending: `weight`, `seeds`, `val_dice`,
            `val_folding`, and the test scores.
        batch: Most pairs that one of the chosen runs registered at once.
    """

    label: str
    metric: str
    choice: Choice
    pairs: pd.DataFrame
    tested: pd.DataFrame
    classes: pd.DataFrame
    histories: pd.DataFrame
    robustness: pd.DataFrame
    path: pd.DataFrame
    batch: int

    @property
    def is_reference(self) -> bool:
        """Whether it uses no metric, such as affine and SyN, and so serves as a reference."""
        return self.metric == self.choice.runs[0].get("model")

    @property
    def is_trained(self) -> bool:
        """Whether its runs trained a network, of the model or of the metric, from a seed."""
        return any(run.get("steps") or run.get("extractors") for run in self.choice.runs)

    @property
    def several(self) -> bool:
        """Whether it ran under more than one λ."""
        return len(self.choice.weights) > 1

    @cached_property
    def means(self) -> pd.DataFrame:
        """Scores by test pair: the mean over seeds, NaN if it is NaN for one."""
        names = [name for name in self.pairs if str(name).removesuffix(BEFORE) in SCORES]
        by_pair = self.pairs[names].astype(float).groupby(self.pairs["pair"])
        return by_pair.mean().where(by_pair.count().eq(by_pair.size(), axis=0))


@dataclass(frozen=True)
class Comparison:
    """Runs on the same test pairs of the same data, by the same version of the store.

    Attributes:
        name: The data set, with the settings that distinguish it from other comparisons on the same
            one.
        dataset: Name of the data set.
        classes: Names of the foreground classes.
        reading: How the data set was read, see `reading_settings`.
        units: Units of scores, where they are not the usual ones.
        subjects: Moving and fixed subject of each test pair, by its number.
        entries: In the order of tables and figures.
    """

    name: str
    dataset: str
    classes: list[str]
    reading: Mapping[str, Any]
    units: Mapping[str, str]
    subjects: pd.DataFrame
    entries: list[Entry]

    @cached_property
    def lead(self) -> str:
        """The score that ranks methods: Dice; TRE where no pair has it."""
        known = [n for n in LEADING if any(e.means[n].notna().any() for e in self.entries)]
        return known[0] if known else LEADING[0]

    def scores(self, name: str) -> pd.DataFrame:
        """One score, test pairs by labels: the mean over seeds, NaN if it is NaN for one."""
        return pd.DataFrame({entry.label: entry.means[name] for entry in self.entries})

    def before(self, name: str) -> pd.Series:
        """One score of u = 0 for each test pair; NaN where D differs between methods."""
        first, *others = (entry.means[name + BEFORE] for entry in self.entries)
        if SCORES[name].kind != "similarity":
            return first
        first, *others = [one for one in (first, *others) if one.notna().any()] or [first]
        same = [np.isclose(first, other, rtol=1e-3, equal_nan=True) for other in others]
        return first.where(np.all(same, axis=0)) if same else first


def compare(records: Records, criterion: str = "val_dice") -> list[Comparison]:
    """Splits finished registrations into comparisons and chooses λ in each, on validation scores.

    Runs are never averaged over data sets, contents of the data, the way they were read, test
    pairs or versions of the store.

    Args:
        records: From `read_records`.
        criterion: How λ is chosen, see `bench.analysis.numbers.selection`.

    Raises:
        ConfigError: If there is no such criterion.
        StoreError: If two runs cannot be told apart.
    """
    choose((), criterion)  # refuses an unknown criterion even if nothing has finished
    numbered = _number_pairs(records.pairs)
    readings = {run: reading_settings(config) for run, config in records.configs.items()}
    subjects = {
        str(run): rows[KEY].to_numpy().tolist() for run, rows in numbered.groupby("run", sort=False)
    }
    models = minimizing_models(records.summaries[run] for run in subjects)
    return [
        _comparison(records, numbered, runs, name, criterion, models)
        for name, runs in comparable(records, readings, subjects)
    ]


def comparable(
    records: Records, readings: Mapping[str, Mapping[str, Any]], subjects: Mapping[str, list[Any]]
) -> list[tuple[str, list[str]]]:
    """Groups of runs that may be compared, each with the name of its comparison, by names.

    Args:
        records: From `read_records`.
        readings: The settings that runs of a comparison share, by run.
        subjects: What each run was tested on, in one order.
    """
    grounds = {
        run: _ground(records.summaries[run], readings[run], on) for run, on in subjects.items()
    }
    roots = {key: records.configs[run]["dataset"].get("root") or "" for run, key in grounds.items()}
    names = comparison_names({key: readings[run] for run, key in grounds.items()}, roots)
    return [
        (name, [run for run, key in grounds.items() if key == ground])
        for ground, name in sorted(names.items(), key=lambda item: item[1])
    ]


def _number_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Numbers the test pairs of each run in the order of their subjects' names."""
    ordered = pairs.sort_values(["run", *KEY], kind="stable")
    return ordered.assign(pair=ordered.groupby("run").cumcount())


def _ground(summary: Mapping[str, Any], reading: Mapping[str, Any], subjects: list[Any]) -> Ground:
    return Ground(
        summary["dataset"],
        summary["schema"],
        str(summary.get("data")),
        digest(reading),
        len(subjects),
        digest(subjects),
    )


def described(records: Records, settings: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Summaries with their `run`, `metric` (the model for a method without) and `variant`.

    Args:
        records: From `read_records`.
        settings: Those of the method, by run.
    """
    return [
        {
            **records.summaries[run],
            "run": run,
            "metric": method_of(records.summaries[run]),
            "variant": records.summaries[run].get("variant") or digest(settings[run]),
        }
        for run in settings
    ]


def _comparison(
    records: Records,
    pairs: pd.DataFrame,
    runs: list[str],
    name: str,
    criterion: str,
    models: Collection[str],
) -> Comparison:
    trainings = {run: records.made_by(run) for run in runs}
    summaries = [{**one, "dataset": name} for one in described(records, trainings)]
    _refuse_doubles(summaries)
    labels = variant_labels(summaries, trainings, models)
    entries = [
        _entry(records, pairs, labels[str(key[1]), key[2]], choice, summaries)
        for key, choice in choose(summaries, criterion).items()
    ]
    first = records.summaries[runs[0]]
    subjects = pairs[pairs["run"] == runs[0]].set_index("pair")[KEY]
    entries.sort(key=lambda entry: (metric_order(entry.metric), entry.label))
    return Comparison(
        name,
        first["dataset"],
        list(first["classes"][1:]),
        reading_settings(records.configs[runs[0]]),
        first.get("units", {}),
        subjects,
        entries,
    )


def _refuse_doubles(summaries: Iterable[Mapping[str, Any]]) -> None:
    seen: dict[tuple[Any, ...], str] = {}
    for summary in summaries:
        key = (summary["metric"], summary["variant"], summary["weight"], summary["seed"])
        if key in seen:
            raise StoreError(
                f"{seen[key]} and {summary['run']} have the same metric, settings, weight and seed "
                "but are different runs, so their mean would mean nothing. Leave one out with "
                f"--runs, or delete it with `{BENCH} runs rm ID`."
            )
        seen[key] = summary["run"]


def _entry(
    records: Records,
    pairs: pd.DataFrame,
    label: str,
    choice: Choice,
    summaries: list[dict[str, Any]],
) -> Entry:
    seeds = {run["run"]: run["seed"] for run in choice.runs}
    first = choice.runs[0]
    alike = [s for s in summaries if all(s[k] == first[k] for k in ("metric", "variant"))]

    def rows(table: pd.DataFrame) -> pd.DataFrame:
        chosen = table[table["run"].isin(list(seeds))]
        return chosen.assign(seed=chosen["run"].map(seeds))

    numbered = rows(pairs)
    return Entry(
        label,
        first["metric"],
        choice,
        numbered,
        _under_all_weights(pairs, alike),
        rows(records.table(CLASSES)),
        rows(records.table(HISTORY)),
        rows(records.table(ROBUSTNESS)),
        _path(alike),
        max(batch_of(records.configs[run]) for run in seeds),
    )


def _under_all_weights(pairs: pd.DataFrame, summaries: list[dict[str, Any]]) -> pd.DataFrame:
    runs = pd.DataFrame(summaries)[["run", "seed", "weight"]].astype({"weight": float})
    return pairs.drop(columns=["seed", "weight"], errors="ignore").merge(runs, on="run")


def _path(summaries: list[dict[str, Any]]) -> pd.DataFrame:
    rows = [
        {
            "weight": summary["weight"],
            "seed": summary["seed"],
            "val_dice": summary["validation"].get("dice"),
            "val_folding": summary["validation"].get("folding"),
            **{name: summary["scores"].get(name, {}).get("mean") for name in SCORES},
        }
        for summary in summaries
    ]
    frame = pd.DataFrame(rows).astype(float)
    by_weight = frame.groupby("weight", dropna=False)
    means = by_weight.mean().drop(columns="seed")
    return means.assign(seeds=by_weight.size()).reset_index()
