"""Conclusions of a report, in sentences; each rests on a test over the same test pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.fronts import COMMON
from bench.analysis.numbers.leading import column_of, gains_of, leading, rows_of
from bench.analysis.numbers.measure import Measure
from bench.analysis.numbers.over_datasets import by_noise, conclude_over
from bench.analysis.numbers.paired import clusters_of
from bench.analysis.numbers.results import UNREGISTERED
from bench.analysis.numbers.sentences import (
    TOO_FEW,
    best_of,
    listed,
    of_learned,
    over_references,
    sorted_out,
)
from bench.analysis.numbers.standing import against, fewest_tests, too_few
from bench.analysis.numbers.wording import signed
from bench.store.layout import NETWORK

NOT_INDEPENDENT = (
    "The test pairs share images, as neighbouring sections and frames do, which the tests take as "
    "independent: each p is somewhat too small."
)


@dataclass(frozen=True)
class Conclusion:
    """A sentence or two.

    Attributes:
        about: The comparison, or several, see `by_noise`.
        text: The conclusion.
    """

    about: str
    text: str


def conclude(
    comparisons: Sequence[Comparison],
    rows: pd.DataFrame,
    pairs: pd.DataFrame,
    fronts: tuple[pd.DataFrame, pd.DataFrame],
    losses: tuple[pd.DataFrame, pd.DataFrame],
) -> list[Conclusion]:
    """The conclusions on the leading score: of each comparison, then over data sets.

    "Significantly" means p < 0.05 by Wilcoxon's signed-rank test with Holm's correction.

    Args:
        comparisons: From `compare`.
        rows: Of `result_rows`.
        pairs: Of `compare_pairwise`.
        fronts: Of `compare_fronts`, of all comparisons.
        losses: Of `noise_losses`.
    """
    found: list[Conclusion] = []
    for one in comparisons:
        measure = Measure.leading(one)
        means, tests = leading(one, rows, pairs)
        of_fronts = [rows_of(frame, comparison=one.name) for frame in fronts]
        texts = [
            *best_of("", measure, means, tests),
            *of_learned(one, measure, means, tests),
            *_at_equal_smoothness(one, measure, *of_fronts),
            *_over_unregistered(measure, rows_of(rows, comparison=one.name)),
            *_at_borders(one),
            *over_references(one, measure, means, tests),
            *_under_noise(one, measure, *(rows_of(frame, comparison=one.name) for frame in losses)),
        ]
        if any("Significantly" in text for text in texts) and clusters_of(one).share:
            texts.append(NOT_INDEPENDENT)
        found += [Conclusion(one.name, text) for text in texts]
    for about, group in by_noise(comparisons).items():
        found += [Conclusion(about, text) for text in conclude_over(group, fronts[1])]
    return found


def _at_equal_smoothness(
    one: Comparison, measure: Measure, fronts: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    for level in dict.fromkeys(fronts["level"]) if len(fronts) else ():
        rows = rows_of(fronts, level=level)
        smoothness = rows["sdlogj"].iloc[0]
        own = rows_of(tests, level=level)
        means = rows.set_index("label")[["mean", "low", "high", "n", "units"]]
        if level == COMMON:
            where = f"At equal smoothness (SD log J {smoothness:.3f}) "
            lacking = [e.label for e in one.entries if e.several and e.label not in means.index]
            for text in best_of(where, measure, means, own):
                yield text + (
                    f" No λ of {listed(lacking)} reaches this smoothness." if lacking else ""
                )
            for text in of_learned(one, measure, means, own):
                yield f"At equal smoothness {text}"
            continue
        others = {str(n): against(own, str(n), str(level)) for n in means.index if n != level}
        text = f"At the smoothness of {level} (SD log J {smoothness:.3f}), {level} has a "
        text += f"{measure.title} of {measure.value(means['mean'][level])}. "
        few = too_few(means["units"].max(), fewest_tests(own, str(level)))
        yield f"{text}{sorted_out(measure, others)}{f'{TOO_FEW}.' if few else ''}"


def _over_unregistered(measure: Measure, rows: pd.DataFrame) -> Iterator[str]:
    """Methods that are better than no registration."""
    gains = gains_of(rows)
    few = too_few(rows["units"].max(), len(gains))
    if not gains or (few and len(gains) > 1):
        return
    before = column_of(rows, measure.score.name)[UNREGISTERED]
    text = f"Unregistered pairs have a {measure.title} of {measure.value(before)}. "
    yield f"{text}{sorted_out(measure, gains)}{f'{TOO_FEW}.' if few else ''}"


def _at_borders(one: Comparison) -> Iterator[str]:
    """Methods whose best λ may lie beyond those tried, and which know further ones."""
    entries = [entry for entry in one.entries if entry.choice.at_border]
    shared = [entry.label for entry in entries if any(NETWORK in run for run in entry.choice.runs)]
    if entries:
        yield (
            f"The best λ of {listed([entry.label for entry in entries])} is the smallest or "
            "largest tried. A λ beyond it may be better."
        ) + (
            f" Within model.lambda_range, {listed(shared)} can be tested there without training."
            if shared
            else ""
        )


def _under_noise(
    one: Comparison, measure: Measure, losses: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    """What noise costs each method, and which lose more than the metric that loses least."""
    if len(losses) < 2:
        return
    ordered = losses.sort_values("loss", kind="stable").set_index("label")
    references = {entry.label for entry in one.entries if entry.is_reference}
    metrics = [str(label) for label in ordered.index if label not in references]
    least = metrics[0] if metrics else str(ordered.index[0])
    listed, more = [], []
    for label, row in ordered.iterrows():
        change, low, high = row["loss"], row["low"], row["high"]
        if measure.direction == "max":
            change, low, high = -change, -high, -low
        listed.append(
            f"{label} {measure.change(change)} ({measure.change_limits(low, high)}; "
            f"SD log J {signed(row['roughening'])})"
        )
        if label != least:
            difference = against(tests, str(label), least)
            if difference.significant and difference.mean > 0:
                more.append(str(label))
    text = f"Noise of {ordered['noise'].iloc[0]:g} changes {measure.title}: {', '.join(listed)}."
    if more:
        text += f" Significantly larger losses than {least}: {', '.join(more)}."
    elif too_few(tests["units"].max(), fewest_tests(tests, least)):
        text += f"{TOO_FEW}."
    yield text
