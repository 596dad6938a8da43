"""Sentences on a score of one comparison; each rests on a test over the same test pairs."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from bench.analysis.numbers.comparisons import Comparison
from bench.analysis.numbers.measure import Measure
from bench.analysis.numbers.over_datasets import is_learned
from bench.analysis.numbers.standing import Difference, Standing, against, fewest_tests, too_few
from bench.analysis.numbers.wording import pairs_in_groups

TOO_FEW = " With so few pairs no difference can be significant"


def best_of(
    where: str, measure: Measure, means: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    """The best mean, the methods that do not differ significantly from it, and the worse ones.

    Args:
        where: What begins the sentence.
        measure: What is compared.
        means: By label: `mean`, `low`, `high`, `n`, `units`.
        tests: Of `pairwise`.
    """
    standing = Standing.of(means, tests, measure.direction)
    if standing is None:
        return
    behind = standing.behind
    text = f"{where}{standing.best} has the {measure.best} {measure.title}, "
    text += f"{measure.value(standing.mean['mean'])} ({certainty(measure, standing.mean)})."
    if standing.undecidable:
        differences = [f"{label} {measure.change(one.mean)}" for label, one in behind.items()]
        text += f"{TOO_FEW}: {', '.join(differences)}."
    elif standing.alike:
        alike = [f"{label} ({measure.change(behind[label].mean)})" for label in standing.alike]
        text += f" Not significantly {measure.worse}: {', '.join(alike)}."
    if standing.worse:
        worse = [
            f"{label} ({measure.change(behind[label].mean)}, {p_value(behind[label].p)})"
            for label in standing.worse
        ]
        text += f" Significantly {measure.worse}: {', '.join(worse)}."
    yield text


def of_learned(
    one: Comparison, measure: Measure, means: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    """How metrics of intensities compare with the best learned features, if one can be said.

    Args:
        one: What is concluded on.
        measure: What is compared.
        means: By label: `mean` and `units`.
        tests: Of `pairwise`.
    """
    references = {entry.label for entry in one.entries if entry.is_reference}
    known = means.dropna(subset=["mean"]).sort_values(
        "mean", ascending=measure.direction == "min", kind="stable"
    )
    metrics = [label for label in map(str, known.index) if label not in references]
    learned = [label for label in metrics if is_learned(label)]
    if not learned or len(learned) == len(metrics):
        return
    best = learned[0]
    if too_few(known["units"].max(), fewest_tests(tests, best)):
        return
    others = {label: against(tests, label, best) for label in metrics if not is_learned(label)}
    yield (
        f"{best} is the best metric with learned features: {measure.title} "
        f"{measure.value(known['mean'][best])}. {sorted_out(measure, others)}"
    )


def over_references(
    one: Comparison, measure: Measure, means: pd.DataFrame, tests: pd.DataFrame
) -> Iterator[str]:
    """Metrics that are better than each method without a metric, such as affine and SyN."""
    known = means.dropna(subset=["mean"])
    references = [e.label for e in one.entries if e.is_reference and e.label in known.index]
    metrics = [e.label for e in one.entries if not e.is_reference and e.label in known.index]
    for reference in references if metrics else ():
        if too_few(known["units"].max(), fewest_tests(tests, reference)):
            continue
        others = {label: against(tests, label, reference) for label in metrics}
        mean = measure.value(known["mean"][reference])
        yield f"{reference} has a {measure.title} of {mean}. {sorted_out(measure, others)}"


def sorted_out(measure: Measure, others: Mapping[str, Difference]) -> str:
    """A sentence each on who is significantly better, worse, and not different, and by how much."""
    words: dict[str, list[str]] = {
        f"Significantly {measure.better}": [],
        f"Significantly {measure.worse}": [],
        "Not significantly different": [],
    }
    better, worse, alike = words
    for label, difference in others.items():
        above = (difference.mean > 0) == (measure.direction == "max")
        kind = alike if not difference.significant else better if above else worse
        facts = [measure.change(difference.mean), *limits_of(measure, difference)]
        words[kind].append(f"{label} ({', '.join([*facts, p_value(difference.p)])})")
    return " ".join(f"{kind}: {', '.join(labels)}." for kind, labels in words.items() if labels)


def certainty(measure: Measure, mean: Mapping[str, float]) -> str:
    """Interval, if there is one, and number of test pairs of a mean."""
    known = mean["low"] == mean["low"]
    limits = [measure.limits(mean["low"], mean["high"])] if known else []
    return ", ".join([*limits, pairs_in_groups(int(mean["n"]), int(mean["units"]))])


def limits_of(measure: Measure, difference: Difference, name: str = "") -> list[str]:
    """The interval of a difference, with its name; empty if it is unknown."""
    if difference.low != difference.low:
        return []
    return [f"{name}{measure.change_limits(difference.low, difference.high)}"]


def p_value(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def listed(labels: Sequence[str]) -> str:
    *first, last = labels
    return f"{', '.join(first)} and {last}" if first else last
