"""Tests trained networks again, on disturbed images."""

import functools
from collections.abc import Sequence
from typing import Any

import pandas as pd

from bench.analysis.reading.rows import read_rows
from bench.inspection.corruptions import check_corruption, corrupt
from bench.runs.trained import finished_config, load_run
from bench.store.files import ALTERED, is_as_written, write_checked_csv
from bench.store.folder import Folder
from bench.store.layout import PAIRS, ROBUSTNESS
from bench.tasks.registration.registration import RegistrationJob
from bench.tasks.registration.testing import score_pairs


def check_runs(folders: Sequence[Folder], trust: bool = False, weight: float | None = None) -> None:
    """Refuses runs that `retest` would refuse by what they recorded, before any of them is tested.

    Raises:
        ConfigError: If a run names an untrusted class, or did not learn λ.
        StoreError: If a run has not finished, or is no registration.
    """
    for folder in folders:
        finished_config(folder, trust, weight)


def retest(
    folder: Folder,
    corruption: str,
    levels: Sequence[float],
    trust: bool = False,
    weight: float | None = None,
) -> pd.DataFrame:
    """Registers a run's test pairs with disturbed images and scores them on its labels.

    It tests each level once and adds rows to the run's `robustness.csv`; it discards a damaged
    file. It does not add rows for another λ.

    Args:
        folder: A finished run.
        corruption: Of `bench.inspection.corruptions`.
        levels: How much of it.
        trust: Whether to build classes outside the suite that the run recorded.
        weight: λ for a network that takes it; None for the run's.

    Returns:
        Rows of these levels: `corruption`, `level`, `moving`, `fixed` and scores.

    Raises:
        ConfigError: If there is no such corruption or level, or the run did not learn λ.
        StoreError: If the run has not finished, or its data have changed since the training.
    """
    check_corruption(corruption, tuple(levels))
    summary = folder.finished()
    if weight is not None and weight != summary["weight"]:
        job = load_run(folder, trust, weight)
        each = sorted(set(levels))
        return pd.DataFrame([row for level in each for row in _rows(job, corruption, level)])
    with folder.claim(wait=True):
        known = known_rows(folder)
        done = known.loc[known["corruption"] == corruption, "level"].unique()
        missing = [level for level in dict.fromkeys(levels) if level not in done]
        if missing:
            job = load_run(folder, trust)
        for level in missing:
            rows = pd.DataFrame(_rows(job, corruption, level))
            known = pd.concat([known, rows], ignore_index=True)
            write_checked_csv(
                folder.file(ROBUSTNESS),
                [{str(k): v for k, v in row.items()} for row in known.to_dict("records")],
            )
    chosen = known[(known["corruption"] == corruption) & known["level"].isin(list(levels))]
    return chosen.sort_values("level", kind="stable")


def _rows(job: RegistrationJob, corruption: str, level: float) -> list[dict[str, Any]]:
    """Scores of the test pairs with images disturbed so."""
    disturb = functools.partial(corrupt, corruption, level)
    cases = score_pairs(
        job.method, job.objective, job.dataset, job.device, disturb=disturb, masks=job.masks
    )
    return [
        {"corruption": corruption, "level": level}
        | {name: case.rows[PAIRS][0][name] for name in ("moving", "fixed")}
        | dict(case.scores)
        for case in cases
    ]


def known_rows(folder: Folder) -> pd.DataFrame:
    """The rows of a run's `robustness.csv`; none if it is missing or damaged."""
    path = folder.file(ROBUSTNESS)
    if path.exists():
        try:
            if is_as_written(path):
                return read_rows(path)
            fault = ALTERED
        except (OSError, ValueError) as error:
            fault = f"cannot be read ({type(error).__name__})"
        print(f"{path}: {fault}; its levels will be tested again on request")
    return pd.DataFrame({"corruption": pd.Series(dtype=str), "level": pd.Series(dtype=float)})
