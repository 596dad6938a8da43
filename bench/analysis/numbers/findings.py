"""The numbers of a report, before it is written."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bench.analysis.numbers.agreement import Agreement, agreements
from bench.analysis.numbers.changes import Detection, detection
from bench.analysis.numbers.comparisons import Comparison, compare
from bench.analysis.numbers.conclusions import Conclusion, conclude
from bench.analysis.numbers.extractors import extractor_rows
from bench.analysis.numbers.fronts import FRONT_COLUMNS, compare_fronts
from bench.analysis.numbers.headlines import headlines
from bench.analysis.numbers.missing import COLUMNS, find_missing
from bench.analysis.numbers.noise import noise_losses
from bench.analysis.numbers.paired import compare_all, compare_pairwise
from bench.analysis.numbers.perception import perceived, perception_rows
from bench.analysis.numbers.results import class_rows, result_rows, without_result
from bench.analysis.numbers.synthesis import synthesis_rows
from bench.analysis.reading.expected import of_experiment, swept
from bench.analysis.reading.exported_tables import is_exported
from bench.analysis.reading.records import Records, collect
from bench.analysis.reading.results import read_results
from bench.config.commands import BENCH
from bench.store.listing import list_folders


@dataclass(frozen=True)
class Request:
    """The request for a report.

    Attributes:
        results: Folder of results, or of tables that were exported from one.
        runs: Which runs, by the names of their folders.
        experiment: Only the runs of this file of conf/experiment.
        select: How λ is chosen.
        published: Whether to add the papers' values and their statistical test.
    """

    results: Path
    runs: str = "*"
    experiment: str | None = None
    select: str = "val_dice"
    published: bool = False

    @property
    def command(self) -> str:
        """The command that makes the report."""
        parts = [f"{BENCH} report", f"--results {shlex.quote(str(self.results))}"]
        if self.runs != "*":
            parts.append(f"--runs {shlex.quote(self.runs)}")
        if self.experiment is not None:
            parts.append(f"--experiment {self.experiment}")
        parts.append(f"--select {self.select}")
        if self.published:
            parts.append("--published")
        return " ".join(parts)


@dataclass(frozen=True)
class Findings:
    """The numbers of a report.

    Attributes:
        records: The runs.
        comparisons: Groups of comparable runs.
        missing: Of `find_missing`, and the runs that an experiment lacks.
        rows: Of `result_rows`.
        unfinished: Of `without_result`.
        classes: Of `class_rows`, a frame for each comparison that has classes.
        pairs: Of `compare_pairwise`.
        friedman: Of `compare_all`.
        fronts: Of `compare_fronts`, means at equal smoothness.
        front_pairs: Of `compare_fronts`, every two methods.
        losses: Of `noise_losses`, means.
        headlines: Of `headlines`.
        conclusions: Of `conclude`.
        extractors: Of `extractor_rows`, those of the runs if not all are shown.
        perception: Of `perception_rows`.
        changes: Of `detection`.
        synthesis: Of `synthesis_rows`.
        agreements: Of `agreements`, of perception with registration.
    """

    records: Records
    comparisons: list[Comparison]
    missing: pd.DataFrame
    rows: pd.DataFrame
    unfinished: pd.DataFrame
    classes: list[pd.DataFrame]
    pairs: pd.DataFrame
    friedman: pd.DataFrame
    fronts: pd.DataFrame
    front_pairs: pd.DataFrame
    losses: pd.DataFrame
    headlines: list[Conclusion]
    conclusions: list[Conclusion]
    extractors: pd.DataFrame
    perception: pd.DataFrame
    changes: Detection
    synthesis: pd.DataFrame
    agreements: list[Agreement]


def find(request: Request) -> Findings:
    """Reads a folder of results and computes the numbers of a report.

    Raises:
        StoreError: If there are no such runs, or two cannot be told apart.
        ConfigError: If there is no such criterion or experiment.
    """
    no_runs = not (is_exported(request.results) or list_folders(request.results))
    if request.published and no_runs:
        records = collect([])  # the papers' values alone
    else:
        records = read_results(request.results, request.runs)
    lacking = pd.DataFrame(columns=COLUMNS)
    asked: Sequence[tuple[str, str]] = []
    if request.experiment is not None:
        records, not_run = of_experiment(records, request.experiment)
        lacking = not_run.assign(what="not run", reason="part of the experiment")[COLUMNS]
    elif request.runs == "*":
        asked = swept(request.results)
    comparisons = compare(records, request.select)
    columns = ["comparison", "dataset", "lead", "label"]
    rows = stack([result_rows(one) for one in comparisons], columns)
    pairs = stack([compare_pairwise(one) for one in comparisons], ["comparison", "score", "p_holm"])
    shown = perceived(records)
    at_equal_smoothness = [compare_fronts(one) for one in comparisons]
    fronts = stack([means for means, _ in at_equal_smoothness], FRONT_COLUMNS)
    front_pairs = stack([tests for _, tests in at_equal_smoothness], ["comparison", "level"])
    losses, loss_pairs = noise_losses(comparisons)
    selects = request.runs != "*" or request.experiment is not None
    return Findings(
        records,
        comparisons,
        stack([find_missing(records, comparisons, asked, shown), lacking], COLUMNS),
        rows,
        stack([without_result(records, one) for one in comparisons], [*columns, "state"]),
        [frame for one in comparisons if len(frame := class_rows(one))],
        pairs,
        stack([compare_all(one) for one in comparisons], ["comparison", "score"]),
        fronts,
        front_pairs,
        losses,
        headlines(comparisons, rows, pairs),
        conclude(comparisons, rows, pairs, (fronts, front_pairs), (losses, loss_pairs)),
        extractor_rows(request.results, records.summaries.values() if selects else None),
        perception_rows(shown),
        detection(records),
        synthesis_rows(records, request.select),
        agreements(comparisons, shown),
    )


def stack(frames: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """Frames below each other; without any row, an empty frame of the columns."""
    filled = [frame for frame in frames if len(frame)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(columns))
