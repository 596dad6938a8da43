"""A score: its names, direction and computation."""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.scores.case import Case

ARROWS = {"max": "↑", "min": "↓", None: ""}


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        name: Key in every file and table.
        title: Name in figures and tables.
        best: `max` or `min`; None if neither is better.
        digits: Decimals worth printing.
        description: One line on its definition; docs/scores.md has the formulas.
        kind: `overlap`, `landmarks`, `smoothness`, `consistency`, `similarity`, `cost`,
            `changes`, or `pooled` for one of all test pairs together; empty for a score of a task
            that is not of the suite.
        needs: What of a case it is computed from, of `bench.scores.case.GIVEN`.
        function: `package.module:name` of its function, which takes a `Case`. A reference, since
            finished runs are read without torch. Empty for a score that no single case has.
        per_class: The same for a function that returns a value for each class, background first;
            empty if it has none.
        of_map: Name of the map of a case that it judges, which its function takes, too; empty if
            it judges none.
        has_interval: Whether summaries have the 95 % interval of its mean, `low` and `high`, of
            pairs drawn anew.
        unit: Unit, empty for a ratio.
        in_spacing: Whether it is a length, in pixels where a data set has no spacing in mm.
        compared: Whether methods are ranked and tested by it.
        has_before: Whether unregistered pairs have it.
        in_validation: Whether it is measured on validation pairs, on which λ is chosen.
        quantile: Which quantile over pairs a run's summary has besides mean and deviation.
        in_short: Whether short tables have it: the list of runs, the end of a sweep, a report's
            main table; and figures.
        is_printed: Whether the table that a run prints has it.
        hides_zero: Whether tables leave it out where it is 0 in all of their cells.
    """

    name: str
    title: str
    best: str | None = None
    digits: int = 4
    description: str = ""
    kind: str = ""
    needs: tuple[str, ...] = ()
    function: str = ""
    per_class: str = ""
    of_map: str = ""
    has_interval: bool = False
    unit: str = ""
    in_spacing: bool = False
    compared: bool = True
    has_before: bool = True
    in_validation: bool = False
    in_short: bool = False
    quantile: float | None = None
    is_printed: bool = True
    hides_zero: bool = False

    def compute(self, case: "Case") -> float:
        """Its value on a case that has what it needs."""
        further = (self.of_map,) if self.of_map else ()
        return float(resolve(self.function)(case, *further))

    def applies_to(self, case: "Case") -> bool:
        """Whether a case has what it is computed from."""
        return (
            bool(self.function)
            and case.has(self.needs)
            and (not self.of_map or self.of_map in case.maps)
        )

    def compute_per_class(self, case: "Case") -> list[float]:
        """Its value on each class, background first."""
        return [float(value) for value in resolve(self.per_class)(case)]

    @property
    def quantile_name(self) -> str | None:
        """What records call the quantile over pairs, such as `p70`; None if there is none."""
        return None if self.quantile is None else f"p{round(100 * self.quantile)}"

    def heading(self, unit: str | None = None, quantile: bool = False) -> str:
        """Title with unit.

        Args:
            unit: In place of the usual one.
            quantile: Whether it heads the quantile over pairs.
        """
        unit = self.unit if unit is None else unit
        title = self.title
        if quantile and self.quantile is not None:
            title = f"{title} ({100 * self.quantile:g} % of pairs)"
        return f"{title} [{unit}]" if unit else title

    def directed(self, unit: str | None = None, quantile: bool = False) -> str:
        """The heading, with an arrow towards what is better; arguments as in `heading`."""
        return f"{self.heading(unit, quantile)} {ARROWS[self.best]}".rstrip()

    def is_better(self, value: float, other: float) -> bool:
        """Whether a value is better than another."""
        return value > other if self.best == "max" else self.best == "min" and value < other


def resolve(reference: str) -> Any:
    """What a reference `package.module:name` names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
