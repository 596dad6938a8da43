"""Rows of exported results: of test pairs, of the images of perception, and of changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bench.analysis.reading.exported_tables import (
    CHANGES_TABLE,
    IMAGES_TABLE,
    PAIRS_TABLE,
    POOLED_TABLE,
    SCORES_TABLE,
    fault,
    read_table,
)
from bench.scores.registry import SCORES

IMAGE_TEXTS = ("run", "subject")
CHANGE_TEXTS = ("run", "moving", "fixed")
POOLED_TEXTS = ("run", "score")
POOLED_NUMBERS = ("mean", "low", "high", "n", "voxels")
PAIR_TEXTS = ("pairs", "moving", "fixed")
ALWAYS = "geometry"  # a score that every run of perception has; others depend on its images


def read_pairs(folder: Path, finished: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as those of `bench.store.layout.PAIRS`, of all finished runs."""
    before = read_table(folder / PAIRS_TABLE, PAIR_TEXTS, None)
    after = read_table(folder / SCORES_TABLE, ("run",), None).rename(columns={"run": "id"})
    for table, file in ((before, PAIRS_TABLE), (after, SCORES_TABLE)):
        if "pair" not in table:
            raise fault(folder / file, "is not a table of results: it lacks the column pair")
    runs = pd.DataFrame(
        [{"id": row["id"], "run": name, "pairs": row["pairs"]} for name, row in finished.items()],
        columns=["id", "run", "pairs"],
    )
    unknown = runs[~runs["pairs"].isin(before["pairs"])]
    if len(unknown):
        raise fault(folder / PAIRS_TABLE, f"lacks the test pairs of {unknown['run'].iloc[0]}")
    expected = runs.merge(before, on="pairs")
    found = after[after["id"].isin(runs["id"])]
    rows = expected.merge(found, on=["id", "pair"], how="outer", indicator=True)
    odd = rows.loc[(rows["_merge"] != "both") | rows.duplicated(["id", "pair"]), "id"]
    if len(odd):
        run = runs.set_index("id")["run"][odd.iloc[0]]
        raise fault(folder / SCORES_TABLE, f"does not have one row for each test pair of {run}")
    order = {name: place for place, name in enumerate(runs["id"])}
    rows = rows.sort_values(["id", "pair"], key=lambda c: c.map(order) if c.name == "id" else c)
    return rows.drop(columns=["id", "pairs", "pair", "_merge"]).reset_index(drop=True)


def read_images(folder: Path, finished: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as those of `bench.store.layout.IMAGES`, of finished runs of the task perception."""
    rows = _read_cases(folder / IMAGES_TABLE, "image", IMAGE_TEXTS, finished)
    if finished and ALWAYS not in rows:
        raise fault(
            folder / IMAGES_TABLE, f"is not a table of results: it lacks the column {ALWAYS}"
        )
    return rows


def read_changes(folder: Path, finished: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as those of `bench.store.layout.PAIRS`, of finished runs of the task changes."""
    return _read_cases(folder / CHANGES_TABLE, "test pair", CHANGE_TEXTS, finished)


def read_pooled(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Scores of all test pairs together: by the id of a run and the name of a score, as summaries
    have them. Runs without a known change have none."""
    path = folder / POOLED_TABLE
    if not path.exists():
        return {}
    rows = read_table(path, POOLED_TEXTS, POOLED_NUMBERS)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows.to_dict("records"):
        known = {name: float(row[name]) for name in POOLED_NUMBERS if row[name] == row[name]}
        of_run, score = found.setdefault(row["run"], {}), row["score"]
        if score not in SCORES:
            raise fault(path, f"has {score!r} for a score")
        if score in of_run:
            raise fault(path, f"has {score} of {row['run']} twice")
        if "mean" not in known:
            raise fault(path, f"has no mean of {score} of {row['run']}")
        of_run[score] = known
    return found


def _read_cases(
    path: Path, noun: str, texts: tuple[str, ...], finished: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Rows of a task's table, which has the id of a run in its first column.

    Args:
        path: The table.
        noun: What a row is for.
        texts: Its columns that are no numbers, and tell its rows apart.
        finished: Rows of the finished runs of the task, by name.
    """
    if not finished:
        return pd.DataFrame({name: [] for name in texts})
    if not path.exists():
        raise fault(path, "is missing")
    rows = read_table(path, texts, None)
    names = {str(row["id"]): name for name, row in finished.items()}
    rows = rows[rows["run"].isin(list(names))]
    lacking = [name for run, name in names.items() if run not in set(rows["run"])]
    if lacking:
        raise fault(path, f"has no {noun} of {lacking[0]}")
    if rows.duplicated(list(texts)).any():
        twice = " to ".join(rows.loc[rows.duplicated(list(texts)), list(texts[1:])].iloc[0])
        raise fault(path, f"has {twice} of a run twice")
    return rows.assign(run=rows["run"].map(names)).reset_index(drop=True)
