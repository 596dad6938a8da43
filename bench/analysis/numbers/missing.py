"""What a report lacks: unfinished runs, missing seeds and metrics."""

from collections.abc import Iterable, Sequence

import pandas as pd

from bench.analysis.numbers.agreement import not_compared, with_registrations
from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.noise import without_noise
from bench.analysis.numbers.perception import TASK as PERCEPTION
from bench.analysis.numbers.perception import Perceived
from bench.analysis.reading.metrics import method_of
from bench.analysis.reading.records import Records
from bench.errors import counted
from bench.scores.registry import SCORES
from bench.store.layout import WARNINGS
from bench.store.standing import Status

NOTE = "note"  # on what is there
APART = (NOTE, Status.SKIPPED)  # what is no result that should be there
COLUMNS = ["what", "dataset", "metric", "weight", "seed", "reason"]
UNFINISHED = {
    Status.INTERRUPTED: "stopped before it finished; the same command continues it",
    Status.RUNNING: "has not finished yet",
}
NAMED = (Status.DAMAGED, Status.FAILED)  # whose ids readers need, to look at or repeat runs


def find_missing(
    records: Records,
    comparisons: list[Comparison],
    swept: Iterable[tuple[str, str]] = (),
    perceived: Sequence[Perceived] = (),
) -> pd.DataFrame:
    """Everything missing that a reader of the report must know.

    Args:
        records: From `read_records`.
        comparisons: From `compare`.
        swept: Of `swept`, data sets and metrics that a sweep had.
        perceived: Of `bench.analysis.numbers.perception.perceived`.

    Returns:
        Rows of `COLUMNS`; `what` is a run's status, `no seed`, `no run`, `no value`, or
        `NOTE` for a data set whose runs cannot all be compared, or a run that warns.
    """
    rows = [*_split(comparisons), *_unfinished(records.runs), *_seeds(comparisons)]
    rows += [*_never_run(records, swept), *_values(comparisons), *_warned(records)]
    rows += [*_seeds_of_images(perceived)]
    return _table([*rows, *_apart(comparisons, with_registrations(perceived, comparisons))])


def missing_of(records: Records, task: str) -> pd.DataFrame:
    """The runs of a task that have not finished or warn, as rows of `find_missing`."""
    return _table(_of_task(records, task))


def missing_of_perception(
    records: Records,
    perceived: Sequence[Perceived],
    comparisons: Sequence[Comparison],
    compared: Sequence[Perceived],
) -> pd.DataFrame:
    """What a reader of perception must know, as rows of `find_missing`.

    Args:
        records: From `read_records`.
        perceived: Of `bench.analysis.numbers.perception.perceived`.
        comparisons: Of registrations.
        compared: What of `perceived` is to be compared with these.
    """
    rows = [*_of_task(records, PERCEPTION), *_seeds_of_images(perceived)]
    return _table([*rows, *_apart(comparisons, compared)])


def _of_task(records: Records, task: str) -> list[dict]:
    unfinished = _unfinished(records.runs[records.runs["task"] == task])
    return [*unfinished, *_warned(records, task)]


def _table(rows: list[dict]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COLUMNS).astype(object).where(lambda v: v.notna(), "")


def _split(comparisons: list[Comparison]) -> list[dict]:
    by_dataset: dict[str, list[str]] = {}
    for comparison in comparisons:
        if without_noise(comparison, comparisons) is None:  # noise is compared by what it costs
            by_dataset.setdefault(comparison.dataset, []).append(comparison.name)
    reason = "runs differ in data or test pairs, so each of these has separate tables: {}"
    return [
        {"what": NOTE, "dataset": dataset, "reason": reason.format("; ".join(names))}
        for dataset, names in by_dataset.items()
        if len(names) > 1
    ]


def _unfinished(runs: pd.DataFrame) -> list[dict]:
    rows = runs[runs["status"] != Status.FINISHED]
    return [
        {
            "what": str(row["status"]),
            "metric": row["method"],
            **{name: row[name] for name in ("dataset", "weight", "seed")},
            "reason": _reason(row),
        }
        for _, row in rows.iterrows()
    ]


def _warned(records: Records, task: str | None = None) -> list[dict]:
    """What finished runs should be distrusted for; of one task, or of all."""
    return [
        {
            "what": NOTE,
            "metric": method_of(summary),
            **{name: summary.get(name) for name in ("dataset", "weight", "seed")},
            "reason": warning,
        }
        for summary in records.summaries.values()
        if task in (None, summary.get("task"))
        for warning in summary.get(WARNINGS, ())
    ]


def _reason(run: pd.Series) -> str:
    """Why a run has not finished, or cannot be read."""
    reason = UNFINISHED.get(run["status"], run["error"])
    return f"run {run['id']}: {reason}" if run["status"] in NAMED else reason


def _seeds(comparisons: list[Comparison]) -> list[dict]:
    """Weights that were run with fewer seeds than the comparison has, of methods that train."""
    rows = []
    for comparison in comparisons:
        most = max(entry.path["seeds"].max() for entry in comparison.entries)
        for entry in filter(lambda entry: entry.is_trained, comparison.entries):
            fewer = entry.path[entry.path["seeds"] < most]
            counts = [
                f"{seeds:.0f}" + (f" under λ = {weight:g}" if weight == weight else "")
                for weight, seeds in zip(fewer["weight"], fewer["seeds"], strict=True)
            ]
            if counts:
                row = {"what": "no seed", "dataset": comparison.name, "metric": entry.label}
                reason = f"of {counted(int(most), 'seed')}, {', '.join(counts)}"
                rows.append({**row, "reason": reason})
    return rows


def _seeds_of_images(perceived: Sequence[Perceived]) -> list[dict]:
    """Metrics that lack seeds of others; a seed draws the distortions, so each metric needs it."""
    rows = []
    for one in perceived:
        every = sorted({seed for variant in one.variants for seed in variant.seeds})
        for variant in one.variants:
            lacking = [seed for seed in every if seed not in variant.seeds]
            if lacking:
                reason = (
                    f"of seeds {_listed(every)}, not {_listed(lacking)}; a seed draws the "
                    "distortions, so other metrics saw other images"
                )
                row = {"what": "no seed", "dataset": one.name, "metric": variant.label}
                rows.append({**row, "reason": reason})
    return rows


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def _apart(comparisons: Sequence[Comparison], perceived: Sequence[Perceived]) -> list[dict]:
    """Data sets on which perception is not compared with registration."""
    return [
        {"what": NOTE, "dataset": name, "reason": reason}
        for name, reason in not_compared(comparisons, perceived)
    ]


def _never_run(records: Records, swept: Iterable[tuple[str, str]]) -> list[dict]:
    """Metrics that a sweep had on a data set, and that were not even tried there."""
    tried = set(zip(records.runs["dataset"], records.runs["method"], strict=True))
    lacking: dict[str, list[str]] = {}
    for dataset, metric in swept:
        if (dataset, metric) not in tried:
            lacking.setdefault(dataset, []).append(metric)
    reason = "part of the last sweep, but not run: {}"
    return [
        {"what": "no run", "dataset": dataset, "reason": reason.format(", ".join(metrics))}
        for dataset, metrics in lacking.items()
    ]


def _values(comparisons: list[Comparison]) -> list[dict]:
    """Test pairs whose leading score could not be measured, and classes that no pair has."""
    rows = []
    for comparison in comparisons:
        scores, title = comparison.scores(comparison.lead), SCORES[comparison.lead].title
        for label in scores:
            lacking = int(scores[label].isna().sum())
            if lacking:
                reason = (
                    f"{title} of {lacking} of {len(scores)} test pairs is not a number; the means "
                    "leave them out"
                )
                rows.append(
                    {
                        "what": "no value",
                        "dataset": comparison.name,
                        "metric": label,
                        "reason": reason,
                    }
                )
        for name in absent_classes(comparison):
            reason = f"class {name} is absent from all test pairs"
            rows.append({"what": "no value", "dataset": comparison.name, "reason": reason})
    return rows


def absent_classes(comparison: Comparison) -> list[str]:
    """Classes whose Dice is defined for no test pair of any metric."""
    tables = [entry.classes for entry in comparison.entries if len(entry.classes)]
    if not tables:
        return []
    rows = pd.concat(tables)
    present = set(rows.loc[rows["dice"].notna(), "class"])
    return [name for name in comparison.classes if name not in present]
