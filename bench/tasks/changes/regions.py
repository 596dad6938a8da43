"""How large a map is in each class of the fixed image's labels, away from the change."""

from collections.abc import Iterator, Sequence

import numpy as np

from bench.scores.case import Case
from bench.scores.of_changes import MAIN
from bench.tasks.task import Row


def region_rows(case: Case, class_names: Sequence[str]) -> Iterator[Row]:
    """A row for each class but background that the fixed image has among the voxels that count.

    Columns are `class`, `map_mean`, the mean of the map of the method, and `map_rank`, the mean
    rank of its values among all voxels that count and have not changed, from 0 to 1, ties at their
    mean rank. Nothing without labels, or without that map.

    Args:
        case: A pair with its maps.
        class_names: Background first.
    """
    from scipy.stats import rankdata

    if case.fixed is None or MAIN not in case.maps:
        return
    where = np.ones(case.fixed.shape, bool) if case.counted is None else case.counted.copy()
    if case.change is not None:
        where &= ~case.change
    labels, values = case.fixed[where], case.maps[MAIN][where]
    ranks = (rankdata(values) - 0.5) / max(len(values), 1)
    for number, name in enumerate(class_names):
        inside = labels == number
        if number and inside.any():
            mean, rank = float(values[inside].mean()), float(ranks[inside].mean())
            yield {"class": name, "map_mean": mean, "map_rank": rank}
