"""Which of several means is best, and which second."""

import pandas as pd

from bench.scores.registry import score_of

FEWEST_DATASETS, FEWEST_METRICS = 4, 3


def enough_for_ranks(means: pd.DataFrame) -> bool:
    """Whether there are 4 data sets and 3 metrics, below which mean ranks tell nothing."""
    return len(means) >= FEWEST_DATASETS and means.shape[1] >= FEWEST_METRICS


def rank(means: pd.Series, score: str) -> dict[str, str]:
    """Which of several labels are `best` and `second` by their means; equal means share a place."""
    known = means.dropna()
    if len(known) < 2:
        return {}
    places = known.rank(method="dense", ascending=score_of(score).best == "min")
    names = {1: "best", 2: "second"}
    return {str(label): names[int(place)] for label, place in places.items() if place in names}
