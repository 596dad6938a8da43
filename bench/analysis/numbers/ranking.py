"""Which of several means is best, and which second."""

import pandas as pd

from bench.scores.registry import score_of


def rank(means: pd.Series, score: str) -> dict[str, str]:
    """Which of several labels are `best` and `second` by their means; equal means share a place."""
    known = means.dropna()
    if len(known) < 2:
        return {}
    places = known.rank(method="dense", ascending=score_of(score).best == "min")
    names = {1: "best", 2: "second"}
    return {str(label): names[int(place)] for label, place in places.items() if place in names}
