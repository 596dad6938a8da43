"""The best method on the same test pairs, and those not significantly different from it."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bench.analysis.numbers.paired import ALPHA


@dataclass(frozen=True)
class Difference:
    """How far the mean of one method is above another's, on the same test pairs.

    Attributes:
        mean: Mean difference.
        low: Lower limit of its 95 % interval; NaN if it is not known.
        high: Upper limit.
        p: Of Wilcoxon's signed-rank test, corrected by Holm's method.
    """

    mean: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether it is significant at 5 %."""
        return self.p < ALPHA


@dataclass(frozen=True)
class Standing:
    """The best mean, the methods that do not differ significantly from it, and the worse ones.

    Attributes:
        best: Its label.
        mean: Its mean, with the limits of its interval and the numbers of test pairs and clusters.
        behind: By label of the others, from the better to the worse: their mean less the best.
        undecidable: Whether so few test pairs can make no difference significant.
    """

    best: str
    mean: Mapping[str, float]
    behind: Mapping[str, Difference]
    undecidable: bool

    @classmethod
    def of(cls, means: pd.DataFrame, tests: pd.DataFrame, direction: str) -> "Standing | None":
        """None if fewer than two have a mean.

        Args:
            means: By label: `mean`, `low`, `high`, `n`, `units`.
            tests: Of `pairwise`.
            direction: What is best, `max` or `min`.
        """
        known = means.dropna(subset=["mean"])
        known = known.sort_values("mean", ascending=direction == "min", kind="stable")
        if len(known) < 2:
            return None
        best, *others = map(str, known.index)
        behind = {label: against(tests, label, best) for label in others}
        first = {str(name): float(value) for name, value in known.iloc[0].items()}
        return cls(best, first, behind, too_few(first["units"], fewest_tests(tests, best)))

    @property
    def alike(self) -> list[str]:
        """Those that are not significantly worse."""
        return [label for label, difference in self.behind.items() if not difference.significant]

    @property
    def worse(self) -> list[str]:
        """Those that are significantly worse."""
        return [label for label, difference in self.behind.items() if difference.significant]


def against(tests: pd.DataFrame, first: str, second: str) -> Difference:
    """The first method less the second, of the rows of `pairwise`."""
    for row in tests.to_dict("records"):
        mean, low, high = row["difference"], row["low"], row["high"]
        if (row["first"], row["second"]) == (first, second):
            return Difference(mean, low, high, row["p_holm"])
        if (row["first"], row["second"]) == (second, first):
            return Difference(-mean, -high, -low, row["p_holm"])
    raise KeyError(f"{first} and {second} were not compared")


def fewest_tests(tests: pd.DataFrame, label: str) -> int:
    """Over how few tests those of a method are corrected, of the rows of `pairwise`."""
    return int(tests.loc[tests[["first", "second"]].isin([label]).any(axis=1), "tests"].min())


def too_few(units: float, tests: int = 1) -> bool:
    """Whether no difference can be significant, even if it has one sign on all test pairs.

    Args:
        units: Number of independent test pairs, or clusters of them.
        tests: Number of tests that Holm's method corrects for.
    """
    return tests * 2 / 2**units >= ALPHA
