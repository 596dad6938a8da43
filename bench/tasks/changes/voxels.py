"""Voxels of a test pair that are drawn to be scored together with those of the others."""

from collections.abc import Iterator

import numpy as np

from bench.analysis.numbers.pooled import CHANGED
from bench.scores.case import Case
from bench.scores.detection import judged
from bench.seeding import derive_seed

MOST = 1000  # of a test pair; as arXiv:2106.08233 draws from a patient


def sampled_voxels(case: Case, seed: int, *names: str) -> Iterator[dict[str, float]]:
    """A row for each of at most `MOST` voxels: `changed`, 0 or 1, and the value of each map.

    Voxels that count are drawn evenly, without replacement. None without a mask of change.

    Args:
        case: A pair with its maps.
        seed: Determines which, together with the following.
        names: The pair's subjects.
    """
    if case.change is None or not case.maps:
        return
    columns = {}
    for name in case.maps:
        columns[name], columns[CHANGED] = judged(case, name)
    count = len(columns[CHANGED])
    random = np.random.default_rng(derive_seed(seed, "voxels", *names))
    for voxel in np.sort(random.choice(count, min(count, MOST), replace=False)):
        yield {
            CHANGED: int(columns[CHANGED][voxel]),
            **{name: float(f"{columns[name][voxel]:.5g}") for name in case.maps},
        }
