"""Measurements during the registration of a pair."""

from bench.scores.case import Case


def seconds(case: Case) -> float:
    """Time of the registration."""
    assert case.seconds is not None
    return case.seconds


def similarity(case: Case) -> float:
    """D of the pair."""
    assert case.similarity is not None
    return case.similarity
