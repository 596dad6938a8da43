"""Tests trained networks again, on disturbed images."""

import functools
from collections.abc import Sequence

import pandas as pd

from bench.analysis.reading.rows import read_rows
from bench.inspection.corruptions import check_corruption, corrupt
from bench.runs.trained import load_run
from bench.store.files import ALTERED, is_as_written, write_checked_csv
from bench.store.folder import PAIRS, ROBUSTNESS, Folder
from bench.tasks.registration.testing import score_pairs


def retest(
    folder: Folder, corruption: str, levels: Sequence[float], trust: bool = False
) -> pd.DataFrame:
    """Registers a run's test pairs with disturbed images and scores them on its labels.

    Levels that have been tested are not tested again. Rows are added to the run's
    `robustness.csv`; one that is damaged is thrown away.

    Args:
        folder: A finished run.
        corruption: Of `bench.inspection.corruptions`.
        levels: How much of it.
        trust: Whether classes outside the suite are built from what the run has recorded.

    Returns:
        Rows of these levels: `corruption`, `level`, `moving`, `fixed` and scores.

    Raises:
        ConfigError: If there is no such corruption or level.
        StoreError: If the run has not finished, or its data are no longer what it was trained on.
    """
    check_corruption(corruption, tuple(levels))
    folder.finished()
    with folder.claim(wait=True):
        known = known_rows(folder)
        done = known.loc[known["corruption"] == corruption, "level"].unique()
        missing = [level for level in dict.fromkeys(levels) if level not in done]
        if missing:
            job = load_run(folder, trust)
        for level in missing:
            disturb = functools.partial(corrupt, corruption, level)
            rows = [
                {"corruption": corruption, "level": level}
                | {name: case.rows[PAIRS][0][name] for name in ("moving", "fixed")}
                | dict(case.scores)
                for case in score_pairs(
                    job.method,
                    job.objective,
                    job.dataset,
                    job.device,
                    disturb=disturb,
                    masks=job.masks,
                )
            ]
            known = pd.concat([known, pd.DataFrame(rows)], ignore_index=True)
            write_checked_csv(
                folder.file(ROBUSTNESS),
                [{str(k): v for k, v in row.items()} for row in known.to_dict("records")],
            )
    chosen = known[(known["corruption"] == corruption) & known["level"].isin(list(levels))]
    return chosen.sort_values("level", kind="stable")


def known_rows(folder: Folder) -> pd.DataFrame:
    """What a run's `robustness.csv` has; no rows if there is none, or it is damaged."""
    path = folder.file(ROBUSTNESS)
    if path.exists():
        try:
            if is_as_written(path):
                return read_rows(path)
            fault = ALTERED
        except (OSError, ValueError) as error:
            fault = f"cannot be read ({type(error).__name__})"
        print(f"{path}: {fault}; its levels are tested again when they are asked for")
    return pd.DataFrame({"corruption": pd.Series(dtype=str), "level": pd.Series(dtype=float)})
