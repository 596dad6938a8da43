"""The scores of one image, from the distances of what was made of it."""

import math
from collections.abc import Sequence

from bench.scores.of_images import DISTORTIONS
from bench.scores.perception import along_path, average_precision, rank_correlation, two_afc
from bench.tasks.perception.nature import NATURAL
from bench.tasks.perception.series import GEOMETRY, GRADED, JND, PATH
from bench.tasks.task import Row

POOLED = {GRADED: "2afc", GEOMETRY: "geometry"}  # names of scores by test
MEANS = {"2afc": GRADED, "2afc_adjacent": GRADED, "rank": GRADED, "geometry": GEOMETRY}


def scores_of(rows: Sequence[Row]) -> dict[str, float]:
    """The scores of one image, a pure function of its distances.

    Args:
        rows: `test`, `distortion`, `order` and `distance` of each.

    Returns:
        Scores by name. Those of a distortion of fewer than two levels are NaN, those of a test that
        was not made are left out.
    """
    series: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["order"]):
        series.setdefault((row["test"], row["distortion"]), []).append(row)
    of_each: dict[str, float] = {}
    for (test, name), found in series.items():
        distances = [row["distance"] for row in found]
        if test == GRADED:
            of_each[f"2afc_adjacent_{name}"] = two_afc(distances, adjacent=True)
            of_each[f"rank_{name}"] = rank_correlation(distances)
        if test in POOLED:
            of_each[f"{POOLED[test]}_{name}"] = two_afc(distances)
    tests = {test for test, _ in series}
    pooled = {
        kind: _mean([v for n, v in of_each.items() if n in {f"{kind}_{d}" for d in DISTORTIONS}])
        for kind, test in MEANS.items()
        if test in tests
    }
    if "geometry" in pooled:
        pooled["appearance"] = 1 - pooled["geometry"]
    for (test, _), found in series.items():
        distances, order = ([row[key] for row in found] for key in ("distance", "order"))
        if test == JND:
            pooled["jnd"] = average_precision(distances, [place == 0 for place in order])
        if test == PATH:
            pooled |= along_path(distances)
        if test in NATURAL:
            pooled[test] = two_afc(distances, order=order)
    return pooled | of_each


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
