"""Points of the ROC and of the precision-recall curves of a pair's maps."""

from collections.abc import Iterator

import numpy as np

from bench.scores.case import Case
from bench.scores.detection import judged, precisions, true_positive_rates
from bench.tasks.task import Row

RATES = np.array([0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, *np.linspace(0.1, 1, 19)])


def curve_points(case: Case) -> Iterator[Row]:
    """A row for each map and each of `RATES`; none where nothing or all has changed.

    Columns are `map`, `rate`, `tpr`, the true positive rate at a false positive rate of `rate`, and
    `precision` at a recall of `rate`.
    """
    if case.change is None:
        return
    for name in case.maps:
        values, positive = judged(case, name)
        if positive.any() and not positive.all():
            rates = true_positive_rates(values, positive, RATES)
            found = precisions(values, positive, RATES)
            for rate, tpr, precision in zip(RATES, rates, found, strict=True):
                point = {"rate": rate, "tpr": tpr, "precision": precision}
                yield {"map": name, **{key: round(float(v), 6) for key, v in point.items()}}
