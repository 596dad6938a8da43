"""The registered scores of a case."""

from collections.abc import Iterable

from bench.scores.case import Case
from bench.scores.registry import SCORES
from bench.scores.score import Score


def score_case(case: Case, scores: Iterable[Score] | None = None) -> dict[str, float]:
    """Every score that applies to a case, by name.

    Args:
        case: The case.
        scores: Which scores; None for all of the registry.
    """
    chosen = SCORES.values() if scores is None else scores
    return {score.name: score.compute(case) for score in chosen if score.applies_to(case)}


def class_scores(case: Case, scores: Iterable[Score] | None = None) -> list[dict[str, float]]:
    """The scores of each class, background first; empty if none applies.

    Args:
        case: The case.
        scores: Which scores; None for all of the registry.
    """
    chosen = SCORES.values() if scores is None else scores
    columns = {
        score.name: score.compute_per_class(case)
        for score in chosen
        if score.per_class and case.has(score.needs)
    }
    if not columns:
        return []
    return [{name: values[i] for name, values in columns.items()} for i in range(case.classes)]


def score_labels(
    case: Case, scores: Iterable[Score]
) -> tuple[dict[str, float], list[dict[str, float]]]:
    """`score_case` and `class_scores`, which share what they need of each class.

    Args:
        case: With label maps.
        scores: Which scores; another process does not know those that were added in this one.
    """
    chosen = list(scores)
    return score_case(case, chosen), class_scores(case, chosen)
