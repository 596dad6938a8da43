"""Tables about the report itself: its runs, and missing results."""

from collections.abc import Iterable, Sequence

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.grading import FLOORS, grade
from bench.analysis.numbers.missing import NOTE
from bench.analysis.numbers.paired import clusters_of
from bench.analysis.reading.durations import duration, training_seconds
from bench.analysis.reading.metrics import method_of
from bench.analysis.reading.records import Records
from bench.analysis.report.markup import NONE, Cell, Table
from bench.errors import counted
from bench.store.standing import Status

SHORT = 8  # characters of a commit


def missing_table(missing: pd.DataFrame) -> Table:
    """What the report lacks, of `find_missing`."""
    kinds = {"skipped run": Status.SKIPPED, "note": NOTE}
    found = {words: int((missing["what"] == kind).sum()) for words, kind in kinds.items()}
    counts = {"missing result": len(missing) - sum(found.values()), **found}
    *first, last = [counted(n, what) for what, n in counts.items() if n] or ["nothing missing"]
    caption = f"{' and '.join(filter(None, [', '.join(first), last]))}."
    headings = ["what", "data set", "method", "λ", "seed", "reason"]
    table = Table("missing", caption, headings, texts=6)
    table.sections.append(
        [[_cell(value) for value in row] for row in missing.itertuples(index=False)]
    )
    return table


def _cell(value: object) -> Cell:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return Cell(text, text or None)


def overview_table(records: Records, comparisons: Sequence[Comparison]) -> Table:
    """Runs and their data, a row for each comparison."""
    headings = ["data set", "data", "schema", "methods", "λ", "seeds", "runs", "steps"]
    headings += ["test pairs", "classes", "bootstrap draws"]
    table = Table("overview", "What is compared with what.", headings, texts=1)
    body = []
    for one in comparisons:
        first = records.summaries[one.entries[0].choice.runs[0]["run"]]
        clusters = clusters_of(one)
        paths = pd.concat([entry.path for entry in one.entries])
        runs = [run for entry in one.entries for run in entry.choice.runs]
        steps = {run["steps"] for run in runs if run.get("steps") is not None}
        texts = [
            one.name,
            str(first.get("data"))[:8],
            str(first["schema"]),
            str(len(one.entries)),
            _span(entry.path["weight"].nunique() for entry in one.entries),
            _span(int(count) for count in paths["seeds"]),
            str(int(paths["seeds"].sum())),
            _span(steps),
            str(len(one.subjects)),
            str(len(one.classes)),
            f"{clusters.count} {clusters.unit}",
        ]
        body.append([Cell(text, text) for text in texts])
    table.sections.append(body)
    return table


def provenance_table(records: Records, runs: Sequence[str] | None = None) -> Table:
    """Devices and durations of finished runs.

    Args:
        records: What was read.
        runs: Which; None for the registrations.
    """
    caption = "Version, commit and device of all runs; times are sums over runs and test pairs."
    headings = ["version", "commit", "device", "PyTorch", "days", "data sets", "methods", "runs"]
    table = Table("provenance", caption, [*headings, "trained", "registered"], texts=7)
    seconds = records.pairs.groupby("run")["seconds"].sum()
    used: dict[tuple[str, ...], list[str]] = {}
    for run in records.registrations if runs is None else runs:
        ran_in = records.environments[run]
        facts = [ran_in.get(name) or NONE for name in ("bench", "commit", "device")]
        commit = facts[1][:SHORT] + ("+" if facts[1].endswith("+") else "")
        version = ran_in.get("packages", {}).get("torch") or NONE
        used.setdefault((facts[0], commit, facts[2], version), []).append(run)
    body = []
    for facts_of, alike in sorted(used.items()):
        days = records.runs.loc[alike, "date"] if "date" in records.runs else pd.Series(dtype=str)
        known = sorted({day for day in days if day})
        trained = training_seconds(records.summaries[run] for run in alike)
        cells = [Cell(text, text) for text in facts_of]
        cells.append(Cell(" to ".join(dict.fromkeys([*known[:1], *known[-1:]])) or NONE))
        summaries = [records.summaries[run] for run in alike]
        for named in ([s["dataset"] for s in summaries], sorted(map(method_of, summaries))):
            cells.append(Cell(", ".join(dict.fromkeys(named))))
        cells += [Cell(str(len(alike)), len(alike)), _time(trained)]
        body.append([*cells, _time(float(seconds.reindex(alike).sum()) or None)])
    table.sections.append(body)
    return table


def extractors_table(extractors: pd.DataFrame) -> Table:
    """How well extractors learned, of `extractor_rows`."""
    caption = (
        "Extractors, and how well they learned their task, on validation images: Dice of "
        "segmenters, root mean squared error of autoencoders, share of places that contrastive "
        f"ones matched. A Dice below {FLOORS['dice']:g} or a share below "
        f"{FLOORS['matched']:g} counts as poor."
    )
    headings = ["data set", "task", "channels", "noise", "seed", "steps", "best at", "training"]
    told = ["settings"] if extractors["settings"].notna().any() else []
    table = Table("extractors", caption, [*headings, "score", *told], texts=3)
    table.sections.append(
        [
            [
                Cell(row["dataset"] or row["extractor"], row["dataset"]),
                Cell(row["task"] or NONE, row["task"]),
                Cell(" ".join(map(str, row["channels"] or [])) or NONE),
                Cell(f"{row['noise'] or 0:g}", row["noise"] or 0),
                *(_number(row[name]) for name in ("seed", "steps", "best_step")),
                _time(row["training_seconds"]),
                Cell(grade(row["score"], row["value"]), row["value"]),
                *(Cell(row[name] or NONE, row[name]) for name in told),
            ]
            for row in extractors.astype(object).where(extractors.notna(), None).to_dict("records")
        ]
    )
    return table


def _number(value: int | None) -> Cell:
    return Cell(NONE) if value is None else Cell(f"{value:.0f}", value)


def _time(seconds: float | None) -> Cell:
    return Cell(NONE) if seconds is None else Cell(duration(seconds), seconds)


def _span(values: Iterable[int]) -> str:
    known = sorted(set(values))
    if not known:
        return NONE
    return str(known[0]) if len(known) == 1 else f"{known[0]} to {known[-1]}"
