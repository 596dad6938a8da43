"""Weighted sums of metrics."""

from collections.abc import Mapping

from torch import Tensor

from bench.config.terms import check_terms
from bench.models.method import reason_against
from bench.pair import Pair, each
from bench.similarity.base import Similarity


class WeightedSum(Similarity):
    """D = sum of factors[name] * terms[name](pair).

    Args:
        terms: Metrics by name; `supports` is optional.
        factors: A factor for each of them, by the same names.
    """

    def __init__(self, terms: Mapping[str, Similarity], factors: Mapping[str, float]) -> None:
        check_terms("metric", terms, factors)
        self.terms = dict(terms)
        self.factors = dict(factors)
        self.needs_landmarks = any(
            getattr(term, "needs_landmarks", False) for term in terms.values()
        )

    def coarser(self, factor: int) -> "WeightedSum":
        """The sum whose terms are those for images that are coarser; see `Objective.coarser`."""
        terms = {
            name: term.coarser(factor) if hasattr(term, "coarser") else term
            for name, term in self.terms.items()
        }
        return WeightedSum(terms, self.factors)

    def supports(self, ndim: int, channels: int, labels: bool) -> str | None:
        reasons = [
            f"{name}: {reason}"
            for name, term in self.terms.items()
            if (reason := reason_against(term, ndim, channels, labels))
        ]
        return "; ".join(reasons) or None

    def __call__(self, pair: Pair) -> Tensor:
        first, *others = (self.factors[name] * term(pair) for name, term in self.terms.items())
        return sum(others, start=first)

    def local(self, pair: Pair) -> Tensor | None:
        maps = [
            (self.factors[name], term.local(pair) if hasattr(term, "local") else None)
            for name, term in self.terms.items()
        ]
        known = [factor * values for factor, values in maps if values is not None]
        return sum(known[1:], start=known[0]) if len(known) == len(maps) else None

    def each(self, pair: Pair) -> Tensor:
        first, *others = (
            self.factors[name] * each(term, pair) for name, term in self.terms.items()
        )
        return sum(others, start=first)
