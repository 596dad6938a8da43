"""Words for a score in sentences and tables: its name, unit, decimals and direction."""

from dataclasses import dataclass

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.wording import interval, signed, signed_interval
from bench.scores.registry import score_of
from bench.scores.score import Score

WORDS = {"max": ("highest", "higher", "lower"), "min": ("lowest", "lower", "higher")}


@dataclass(frozen=True)
class Measure:
    """A score in words.

    Attributes:
        score: The score.
        unit: Its unit on a data set; empty for a ratio.
    """

    score: Score
    unit: str = ""

    @classmethod
    def leading(cls, comparison: Comparison) -> "Measure":
        """The score that a comparison is judged by."""
        score = score_of(comparison.lead)
        return cls(score, comparison.units.get(score.name, score.unit))

    @property
    def title(self) -> str:
        """Its name."""
        return self.score.title

    @property
    def heading(self) -> str:
        """Its name with its unit."""
        return self.score.heading(self.unit)

    @property
    def direction(self) -> str:
        """What is best, `max` or `min`."""
        return self.score.best or "max"

    @property
    def best(self) -> str:
        """`highest` or `lowest`, what the best mean is."""
        return WORDS[self.direction][0]

    @property
    def better(self) -> str:
        """`higher` or `lower`, what a better mean is."""
        return WORDS[self.direction][1]

    @property
    def worse(self) -> str:
        """`lower` or `higher`, what a worse mean is."""
        return WORDS[self.direction][2]

    def value(self, mean: float) -> str:
        """A mean with its unit."""
        return f"{mean:.{self.score.digits}f} {self.unit}".rstrip()

    def limits(self, low: float, high: float) -> str:
        """The interval of a mean."""
        return f"95 % interval {interval(low, high, self.score.digits)}"

    def change(self, difference: float) -> str:
        """A difference, with its sign."""
        return signed(difference, self.score.digits)

    def change_limits(self, low: float, high: float) -> str:
        """The interval of a difference."""
        return signed_interval(low, high, self.score.digits)
