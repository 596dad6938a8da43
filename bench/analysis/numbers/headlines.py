"""The answer of each comparison in a sentence."""

from collections.abc import Sequence

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.conclusions import Conclusion
from bench.analysis.numbers.leading import column_of, gains_of, leading, rows_of
from bench.analysis.numbers.measure import Measure
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.numbers.sentences import TOO_FEW, certainty, limits_of, listed, p_value
from bench.analysis.numbers.standing import Standing, too_few
from bench.analysis.numbers.wording import pairs_in_groups


def headlines(
    comparisons: Sequence[Comparison], rows: pd.DataFrame, pairs: pd.DataFrame
) -> list[Conclusion]:
    """The answer in a sentence for each comparison: its first conclusion, shorter.

    Args:
        comparisons: From `compare`.
        rows: Of `result_rows`.
        pairs: Of `compare_pairwise`.
    """
    found = []
    for one in comparisons:
        measure = Measure.leading(one)
        standing = Standing.of(*leading(one, rows, pairs), measure.direction)
        of_one = rows_of(rows, comparison=one.name)
        text = _of_many(measure, standing, of_one) if standing else _of_single(measure, of_one)
        if text:
            found.append(Conclusion(one.name, f"{text}."))
    return found


def _of_many(measure: Measure, standing: Standing, rows: pd.DataFrame) -> str:
    """The best mean, and the methods that do not differ significantly from it."""
    before = column_of(rows, measure.score.name)[UNREGISTERED]
    best, title = measure.best, measure.title
    text = f"{standing.best} has the {best} mean {title}, "
    if measure.score.is_better(before, standing.mean["mean"]):
        text = (
            f"Unregistered pairs have the {best} mean {title}. The best method is {standing.best} "
            "with "
        )
    text += f"{measure.value(standing.mean['mean'])} ({certainty(measure, standing.mean)}; "
    text += f"unregistered {measure.value(before)})"
    if standing.undecidable:
        following, difference = next(iter(standing.behind.items()))
        return f"{text}.{TOO_FEW} (next: {following} {measure.change(difference.mean)})"
    if standing.alike:
        text += f". Not significantly {measure.worse}: {listed(standing.alike)}"
    return text + (f". All others are significantly {measure.worse}" if standing.worse else "")


def _of_single(measure: Measure, rows: pd.DataFrame) -> str:
    """What the only method changes; empty if it has no value."""
    if not gains_of(rows):
        return ""
    ((label, gain),) = gains_of(rows).items()
    means = column_of(rows, measure.score.name)
    before, after = measure.value(means[UNREGISTERED]), measure.value(means[label])
    pairs, units = (int(column_of(rows, name)[label]) for name in ("n", "units"))
    facts = [measure.change(gain.mean), *limits_of(measure, gain, "95 % interval ")]
    if too_few(units):
        verb, ending = "changes", "So few pairs cannot show a significant change"
    else:
        facts.append(p_value(gain.p))
        verb = "raises" if gain.mean > 0 else "lowers"
        ending = "No other method was run"
        if not gain.significant:
            verb, ending = "changes", f"The change is not significant. {ending}"
    said = ", ".join([*facts, pairs_in_groups(pairs, units)])
    return (
        f"{label} {verb} {measure.title} from {before} unregistered to {after} ({said}). {ending}"
    )
