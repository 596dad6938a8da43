"""Who is best on the same test pairs, and who cannot be told from it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bench.analysis.numbers.paired import ALPHA
from bench.analysis.numbers.wording import interval


@dataclass(frozen=True)
class Standing:
    """Who has the highest mean, who cannot be told from it, and who is lower.

    Attributes:
        best: Its label.
        mean: Its mean, with the limits of its interval and the number of test pairs.
        behind: By label of the others, by descending mean: their mean less the best, and p.
    """

    best: str
    mean: Mapping[str, float]
    behind: Mapping[str, tuple[float, float]]

    @classmethod
    def of(cls, means: pd.DataFrame, tests: pd.DataFrame) -> "Standing | None":
        """None if fewer than two have a mean.

        Args:
            means: By label: `mean`, `low`, `high`, `n`.
            tests: Of `pairwise`.
        """
        known = means.dropna(subset=["mean"])
        known = known.sort_values("mean", ascending=False, kind="stable")
        if len(known) < 2:
            return None
        best, *others = map(str, known.index)
        behind = {}
        for label in others:
            difference, p = against(tests, best, label)
            behind[label] = (-difference, p)
        first = {str(name): float(value) for name, value in known.iloc[0].items()}
        return cls(best, first, behind)

    @property
    def alike(self) -> list[str]:
        """Those that are not significantly lower."""
        return [label for label, (_, p) in self.behind.items() if not p < ALPHA]

    @property
    def lower(self) -> list[str]:
        """Those that are significantly lower."""
        return [label for label, (_, p) in self.behind.items() if p < ALPHA]

    @property
    def numbers(self) -> str:
        """Interval and number of test pairs of the best."""
        low, high = self.mean["low"], self.mean["high"]
        return f"95 % interval {interval(low, high)}, {self.mean['n']:.0f} test pairs"


def against(tests: pd.DataFrame, first: str, second: str) -> tuple[float, float]:
    """Mean difference, first less second, and its corrected p, of the rows of `pairwise`."""
    for row in tests.to_dict("records"):
        if {row["first"], row["second"]} == {first, second}:
            sign = 1 if row["first"] == first else -1
            return sign * row["difference"], row["p_holm"]
    raise KeyError(f"{first} and {second} were not compared")


def too_few(pairs: float) -> bool:
    """Whether Wilcoxon's test cannot be significant, even if all differences have one sign."""
    return 2 / 2**pairs >= ALPHA
