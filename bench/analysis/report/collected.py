"""The rows of exported tables, collected from folders of results."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.numbers.extractors import DAMAGED, extractor_rows
from bench.analysis.reading.exported import (
    ALSO_RECORDED,
    CHANGES,
    EXTRACTOR_NUMBERS,
    EXTRACTOR_TEXTS,
    PERCEPTION,
    RECORD,
    RECORDED,
    RUN_NUMBERS,
    RUN_TEXTS,
    SETTING_TEXTS,
    UNTRAINED,
    VALIDATION,
    read_extractors,
)
from bench.analysis.reading.exported_cases import (
    CHANGE_TEXTS,
    IMAGE_TEXTS,
    PAIR_TEXTS,
    POOLED_NUMBERS,
    POOLED_TEXTS,
)
from bench.analysis.reading.exported_tables import (
    CHANGES_TABLE,
    EXTRACTORS_TABLE,
    IMAGES_TABLE,
    PAIRS_TABLE,
    POOLED_TABLE,
    RUNS_TABLE,
    SCORES_TABLE,
    SETTINGS_TABLE,
    is_exported,
)
from bench.analysis.reading.records import BEFORE, Records
from bench.analysis.report.cells import (
    Row,
    as_table,
    as_yaml,
    date_of,
    filled,
    in_order,
    written,
)
from bench.analysis.report.placeless import placeless_section, placeless_text
from bench.config.groups import GROUPS
from bench.config.identity import digest
from bench.errors import StoreError
from bench.scores.of_images import PERCEPTION as PERCEIVED
from bench.scores.registry import SCORES
from bench.store.files import as_csv, read_json
from bench.store.layout import ENVIRONMENT, EXTRACTORS, IMAGES, PAIRS, REGISTRATION, RUNS, SUMMARY
from bench.store.standing import Status

EXPORTED = (  # the scores; the others stay with the runs
    *("dice", "dice_published", "hd95", "tre", "tre_median", "rtre", "nearer"),
    *("folding", "sdlogj", "seconds"),
)
DETECTED = [name for name, score in SCORES.items() if score.kind == CHANGES]
IN_ALL = [name for name, score in SCORES.items() if score.kind == "pooled"]
KEYS = ("subject", "moving", "fixed")  # what names an image or a pair
TOLERANCE = 1e-4  # relative, of means that tables hold with six digits
TASKS = (REGISTRATION, PERCEPTION, CHANGES)  # whose runs are exported
LEFT_OUT = "of other tasks, which are not exported"
SECTIONS = [group for group in GROUPS if group != "tracker"]


class Collected:
    """Rows of the tables, collected from several folders.

    Attributes:
        runs: Rows of the table of runs, by the names of their folders.
        counts: How many runs were found, by status, those left out among them.
    """

    def __init__(self) -> None:
        self.runs: dict[str, Row] = {}
        self.found: dict[str, tuple[Path, Mapping[str, float]]] = {}  # where, with which means
        self.counts: dict[str, int] = {}
        self.pairs: dict[str, list[Row]] = {}
        self.scores: dict[str, list[Row]] = {}
        self.settings: dict[str, list[Row]] = {}
        self.extractors: dict[str, list[Row]] = {}
        self.images: dict[str, list[Row]] = {}
        self.changes: dict[str, list[Row]] = {}
        self.pooled: dict[str, list[Row]] = {}

    def add(self, folder: Path, records: Records) -> None:
        """Takes down the runs and extractors of a folder, except those that an earlier one has.

        Args:
            folder: Of results, or of exported tables.
            records: What was read from it.

        Raises:
            StoreError: If two runs have one id.
        """
        known = set(self.extractors)
        for extractor in _extractors(folder):
            if extractor["score"] == DAMAGED:
                self.counts["damaged extractor"] = self.counts.get("damaged extractor", 0) + 1
            elif extractor["extractor"] not in known:
                self.extractors.setdefault(extractor["extractor"], []).append(extractor)
        by_run = dict(iter(records.pairs.groupby("run", sort=False)))
        for row in records.runs.reset_index(names="run").to_dict("records"):
            name = str(row["run"])
            means = _means(records.summaries.get(name, {}))
            if name in self.runs:
                first, known_means = self.found[name]
                if not _agree(known_means, means):
                    print(f"{name}: {folder} has other scores than {first}, which are exported")
                continue
            ends = row["status"] in (Status.FINISHED, Status.SKIPPED) and name in records.configs
            kept = ends and row["task"] in TASKS
            counted = LEFT_OUT if ends and not kept else row["status"]
            self.counts[counted] = self.counts.get(counted, 0) + 1
            if kept:
                self.found[name] = folder, means
                self.runs[name] = self._run(folder, records, row, by_run.get(name))
                if row["task"] != REGISTRATION:
                    is_perceived = row["task"] == PERCEPTION
                    kept_rows = self.images if is_perceived else self.changes
                    table = records.table(IMAGES if is_perceived else PAIRS)
                    scores_of = [*PERCEIVED] if is_perceived else DETECTED
                    self._cases(kept_rows, str(row["id"]), table[table["run"] == name], scores_of)
                if row["task"] == CHANGES:
                    scores = records.summaries.get(name, {}).get("scores", {})
                    self._pooled(str(row["id"]), scores)

    def _run(
        self, folder: Path, records: Records, row: Mapping[Any, Any], pairs: pd.DataFrame | None
    ) -> Row:
        name = str(row["run"])
        config, summary = records.configs[name], records.summaries.get(name, {})
        environment = records.environments[name]
        validation = summary.get("validation") or {}
        regularizer = config.get("regularizer", {})
        sections = {
            group: placeless_section(group, config[group]) for group in SECTIONS if group in config
        }
        if summary:
            sections[RECORD] = {key: summary.get(key, {}) for key in RECORDED}
            sections[RECORD] |= {key: summary[key] for key in ALSO_RECORDED if key in summary}
        learned = [self._extractor(one, config) for one in summary.get("extractors", [])]
        said = {
            **{key: row[key] for key in ("run", "status", "dataset", "metric", "model")},
            "error": placeless_text(str(row["error"]), config, folder),
            **{key: row[key] for key in ("id", "weight", "seed")},
            **{key: summary.get(key) for key in ("variant", "steps", "best_step")},
            "scale": regularizer.get("scale"),
            "noise": config["dataset"].get("added_noise"),
            **{VALIDATION + key: validation.get(key) for key in ("dice", "folding", "similarity")},
            "training_seconds": summary.get("training_seconds"),
            "settings": " ".join(self._section(group, sections[group]) for group in sections),
            "extractors": " ".join(learned),
            "pairs": "" if pairs is None else self._pairs(str(row["id"]), pairs),
            **_ran_in(environment),
            "torch": environment.get("packages", {}).get("torch"),
            "date": row.get("date") or date_of(folder / RUNS / name / SUMMARY),
        }
        return {key: written(said[key]) for key in (*RUN_TEXTS, *RUN_NUMBERS)}

    def _section(self, group: str, content: Mapping[str, Any]) -> str:
        """Takes a section down once, and identifies it."""
        values = {key: as_yaml(value) for key, value in content.items()}
        identifier = digest([group, values])
        self.settings[identifier] = [
            dict(zip(SETTING_TEXTS, (identifier, group, key, value), strict=True))
            for key, value in values.items()
        ]
        return identifier

    def _pairs(self, run: str, pairs: pd.DataFrame) -> str:
        """Takes a run's scores down, and once what they were before; identifies the pairs."""
        ordered = pairs.sort_values(["moving", "fixed"], kind="stable")
        before = [name for name in EXPORTED if SCORES[name].has_before and name != "seconds"]
        first, after = [], []
        for number, row in enumerate(ordered.to_dict("records")):
            names = {key: row[key] for key in ("moving", "fixed")}
            scores = {key + BEFORE: written(row[key + BEFORE]) for key in before}
            first.append({"pair": str(number), **names, **scores})
            scores = {key: written(row[key]) for key in EXPORTED}
            after.append({"run": run, "pair": str(number), **scores})
        _refuse_twice(run, self.scores)
        identifier = digest(first)
        self.pairs[identifier] = [{"pairs": identifier, **row} for row in first]
        self.scores[run] = after
        return identifier

    def _cases(
        self, kept: dict[str, list[Row]], run: str, table: pd.DataFrame, names: Sequence[str]
    ) -> None:
        """Takes down the scores of a run's images or pairs, in the order of their subjects."""
        if table.empty:
            return
        _refuse_twice(run, kept)
        keys = [key for key in KEYS if key in table]
        kept[run] = [
            {"run": run, **{key: row[key] for key in keys}}
            | {name: written(row.get(name)) for name in names}
            for row in table.sort_values(keys, kind="stable").to_dict("records")
        ]

    def _pooled(self, run: str, scores: Mapping[str, Mapping[str, Any]]) -> None:
        """Takes down the scores of a run over voxels of all its test pairs together."""
        for name in IN_ALL:
            known = scores.get(name, {})
            if known.get("mean") is not None:
                numbers = {key: written(known.get(key)) for key in POOLED_NUMBERS}
                self.pooled.setdefault(run, []).append({"run": run, "score": name, **numbers})

    def _extractor(self, used: Mapping[str, Any], config: Mapping[str, Any]) -> str:
        """The name of an extractor that a run used; what no folder holds is as the run says."""
        if "name" not in used:
            return f"{UNTRAINED}{used['task']}"
        name = str(used["name"])
        if name not in self.extractors:
            facts = {key: used[key] for key in ("task", "steps")}
            facts |= {"extractor": name, "dataset": config["dataset"]["name"]}
            facts |= {"noise": config["dataset"].get("added_noise"), "seed": config["seed"]}
            scores = used.get("scores") or {"": None}
            self.extractors[name] = [
                _extractor_row({**facts, "score": score, "value": value})
                for score, value in scores.items()
            ]
        return name

    def texts(self) -> dict[str, str]:
        """The tables, by the names of their files."""
        runs = [self.runs[name] for name in sorted(self.runs)]
        texts = {
            RUNS_TABLE: as_csv(runs),
            PAIRS_TABLE: as_table(filled(in_order(self.pairs)), (*PAIR_TEXTS, "pair")),
            SCORES_TABLE: as_table(filled(in_order(self.scores)), ("run", "pair")),
            SETTINGS_TABLE: as_csv(in_order(self.settings)),
            EXTRACTORS_TABLE: as_table(
                in_order(self.extractors), (*EXTRACTOR_TEXTS, *EXTRACTOR_NUMBERS)
            ),
        }
        for table, rows, columns in (
            (IMAGES_TABLE, filled(in_order(self.images)), IMAGE_TEXTS),
            (CHANGES_TABLE, filled(in_order(self.changes)), CHANGE_TEXTS),
            (POOLED_TABLE, in_order(self.pooled), POOLED_TEXTS),
        ):
            if rows:
                texts[table] = as_table(rows, columns)
        return texts


def _refuse_twice(run: str, known: Mapping[str, Any]) -> None:
    if run in known:
        raise StoreError(f"Two runs have the id {run}. Leave one out with --runs.")


def _means(summary: Mapping[str, Any]) -> dict[str, float]:
    """Mean scores that a second run of the same would repeat, up to rounding."""
    scores = summary.get("scores", {})
    means = {name: one["mean"] for name, one in scores.items() if name in EXPORTED}
    return {name: mean for name, mean in means.items() if mean is not None}


def _agree(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    """Whether means that both know are the same to the digits that tables have."""
    both = first.keys() & second.keys() - {"seconds"}
    return all(math.isclose(first[name], second[name], rel_tol=TOLERANCE) for name in both)


def _extractors(folder: Path) -> Iterator[Row]:
    """The rows of the extractors of a folder of results, or of exported tables."""
    rows = read_extractors(folder) if is_exported(folder) else extractor_rows(folder)
    for row in rows.astype(object).where(rows.notna(), None).to_dict("records"):
        if is_exported(folder):
            yield _extractor_row(row)
            continue
        trained = folder / EXTRACTORS / row["extractor"]
        ran_in = _ran_in(read_json(trained / ENVIRONMENT) or {})
        yield _extractor_row({**row, **ran_in, "date": date_of(trained / SUMMARY)})


def _extractor_row(row: Mapping[Any, Any]) -> Row:
    said = {**row, "channels": " ".join(map(str, row.get("channels") or []))}
    return {key: written(said.get(key)) for key in (*EXTRACTOR_TEXTS, *EXTRACTOR_NUMBERS)}


def _ran_in(environment: Mapping[str, Any]) -> dict[str, Any]:
    return {key: environment.get(key) for key in ("bench", "commit", "python", "device")}
